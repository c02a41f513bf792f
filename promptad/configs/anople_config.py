"""Hyperparameters of AnoPLe as it is rebuilt here; see ``promptad/methods/anople.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from promptad.configs.method_config import ClassSetting, Task, TowerFacts, layer_list_problems
from promptad.configs.method_configs import PromptLearningConfig, between
from promptad.configs.shared_config import PoolsCategories, problems_below

QUARTERS = 4
"""Views of an image beside the whole of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnoPLeConfig(PoolsCategories, PromptLearningConfig):
    """AnoPLe (Lee et al., arXiv 2408.13516), rebuilt from its abstract, its captions and notes on its second version.

    Only the form of prompts and losses is known. Numbers and choices without a source are ours.
    """

    n_text_tokens: int = 2
    """Learnable tokens of the text tower's own, in front of both classes and in each block with prompts; 0: none."""
    n_visual_tokens: int = 2
    """Learnable tokens of the image tower's own, in each block with prompts; 0: none."""
    prompt_depth: int | None = None
    """J: how many blocks of either tower have prompts; None: 9 of 12, scaled to the shallower tower and rounded up."""
    coupling: Literal["both", "text_to_image", "image_to_text", "none"] = "both"
    """Which tower's tokens are mapped, by a linear layer for each block, and stand beside the other's own."""
    normal_words: Literal["object", "normal_object"] = "object"
    """Words of the normal class behind the context: ``{object}``, or ``normal {object}`` as in our MaPLe."""

    views: Literal["whole", "whole_and_quarters"] = "whole_and_quarters"
    """What is trained on: each support image, or also the four quarters of it at twice the tower's size."""
    view_signal: Literal["tower", "decoder", "none"] = "tower"
    """Where the learnable row of a view enters: as a token in the image tower's first block, or added to what the
    decoder reads (where there is none, to the local features themselves)."""
    views_per_step: int = 1
    """Views of each support image in a step; fewer than there are: drawn anew for each step. Five take five times as
    long as one."""

    pixel_anomalies: bool = True
    """Each view also with a pseudo-anomaly pasted on its pixels."""
    pixel_kinds: tuple[Literal["perlin_texture", "cut_paste"], ...] = ("perlin_texture", "cut_paste")
    """Kinds of pseudo-anomalies (``promptad/images/pseudo_anomalies.py``), drawn with equal chances."""
    latent_anomalies: bool = True
    """Each view's local features also with noise where Perlin noise is high."""
    latent_noise: float = 0.1
    """Standard deviation of that noise, in root mean squares of the view's local features."""

    decoder: Literal["windows", "patches", "none"] = "windows"
    """What makes vectors for the map of local features: two convolutions of 3 x 3 or of single patches; nothing."""
    decoder_width: int = 256
    """Channels between the two convolutions."""
    decoder_rate: float = 0.001
    """Adam's learning rate for the decoder: constant, whatever ``learning_rate_schedule`` is."""
    pixel_loss: bool = True
    """Dice and focal loss of the maps."""
    focal_power: float = 2.0
    """gamma of the focal loss."""
    local_alignment: bool = True
    """Alignment of a pseudo-anomaly's global feature with the decoder's vectors, weighted by the map."""

    memory: bool = True
    """Visual memory of the unprompted tower, fused with map and score by the harmonic mean."""
    memory_layers: tuple[int, ...] | None = None
    """As PromptAD's."""
    memory_tap: Literal["block_output", "after_next_attention"] = "block_output"
    """D20, as PromptAD's."""

    setting: ClassSetting = "one_class"
    """A model for each category, or one that learns from the support images of all."""

    @property
    def text_context_length(self) -> int:
        """Learnable tokens in front of a class: the text tower's own, and those mapped to it."""
        return self.n_text_tokens + (self.n_visual_tokens if self.maps_to_text else 0)

    @property
    def maps_to_text(self) -> bool:
        """Whether the image tower's tokens are mapped to the text tower."""
        return self.coupling in ("both", "image_to_text")

    @property
    def maps_to_image(self) -> bool:
        """Whether the text tower's tokens are mapped to the image tower."""
        return self.coupling in ("both", "text_to_image")

    @property
    def named_memory_layers(self) -> tuple[int, ...] | None:
        """The memory layers that the config names, or None."""
        return self.memory_layers

    def uses_memory_layers(self, task: Task) -> bool:  # noqa: ARG002
        """Both tasks look at the memory, if there is one."""
        return self.memory

    def missing_parts(self) -> list[str]:
        """Maps, losses and rows without what they are made of."""
        problems = []
        if self.maps_to_image and not self.n_text_tokens:
            problems.append(f"coupling {self.coupling} needs text tokens to map: set n_text_tokens")
        if self.maps_to_text and not self.n_visual_tokens:
            problems.append(f"coupling {self.coupling} needs visual tokens to map: set n_visual_tokens")
        if not (self.n_text_tokens or self.n_visual_tokens):
            problems.append("prompts need tokens: set n_text_tokens or n_visual_tokens")
        if self.local_alignment and not self.pixel_anomalies:
            problems.append("local_alignment needs pseudo-anomalies with a global feature: set pixel_anomalies")
        if self.latent_anomalies and not self.pixel_loss:
            problems.append("latent_anomalies need a loss of maps: set pixel_loss")
        if self.view_signal == "decoder" and not (self.pixel_loss or self.local_alignment):
            problems.append(
                "rows that the decoder reads need a loss: set pixel_loss or local_alignment, or view_signal to tower"
            )
        if self.decoder != "none" and not (self.pixel_loss or self.local_alignment):
            problems.append("a decoder needs a loss: set pixel_loss or local_alignment, or decoder to none")
        return problems

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain; the towers' depth is checked later, with the backbone."""
        problems = [
            *PromptLearningConfig.domain_problems(self),
            *between(0, 32, self, "n_text_tokens"),
            *between(0, 32, self, "n_visual_tokens"),
            *between(1, 1 + QUARTERS, self, "views_per_step"),
            *problems_below(self, {"decoder_width": 1}),
            *layer_list_problems(self.memory_layers),
            *self.setting_problems(),
        ]
        if self.prompt_depth is not None and self.prompt_depth < 1:
            problems.append(f"prompt_depth must be at least 1, but got {self.prompt_depth}")
        if not self.pixel_kinds or len(set(self.pixel_kinds)) < len(self.pixel_kinds):
            problems.append(f"pixel_kinds must be different and at least one, but got {self.pixel_kinds}")
        problems += [
            f"{name} must be finite and not negative, but got {getattr(self, name)}"
            for name in ("latent_noise", "focal_power")
            if not 0 <= getattr(self, name) < float("inf")
        ]
        if not 0 < self.decoder_rate < float("inf"):
            problems.append(f"decoder_rate must be positive and finite, but got {self.decoder_rate}")
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """One training serves both tasks: maps' branch matters to images too, unless nothing is learned of maps."""
        inert = PromptLearningConfig.inert(self, task) - {"transformation"}
        if task == "image" and (self.epochs == 0 or not (self.pixel_loss or self.local_alignment)):
            inert |= {"transformation"}
        if self.views == "whole":
            inert |= {"views_per_step"}
        if not self.pixel_anomalies:
            inert |= {"pixel_kinds"}
        if not self.latent_anomalies:
            inert |= {"latent_noise"}
        if self.decoder == "none":
            inert |= {"decoder_width", "decoder_rate"}
        if not self.pixel_loss:
            inert |= {"focal_power"}
        if not self.memory:
            inert |= {"memory_layers", "memory_tap"}
        if self.epochs == 0:
            inert |= {"views", "views_per_step", "pixel_anomalies", "pixel_kinds", "latent_anomalies", "latent_noise"}
            inert |= {"decoder", "decoder_width", "decoder_rate", "pixel_loss", "focal_power", "local_alignment"}
            inert |= {"setting"}
        return inert

    def spelled_out(self, task: Task, tower: TowerFacts) -> Self:
        """Depth and memory layers are the backbone's defaults where they are left open."""
        reduced = self.canonical(task)
        if not reduced.prompt_depth:
            reduced = reduced.with_changes({"prompt_depth": tower.default_prompt_depth})
        if reduced.memory and reduced.memory_layers is None:
            reduced = reduced.with_changes({"memory_layers": tower.default_memory_layers})
        return reduced

    def tower_problems(self, arm: str, tower: TowerFacts) -> Iterator[str]:
        """Each block with prompts is one of both towers."""
        if tower.prompt_blocks is not None and (self.prompt_depth or 1) > tower.prompt_blocks:
            yield (
                f"prompt_depth must be between 1 and {tower.prompt_blocks} for {tower.text}, but arm {arm} has "
                f"{self.prompt_depth}"
            )
