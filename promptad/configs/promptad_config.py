"""The config of a PromptAD experiment: one frozen, typed value with every default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from promptad.configs.method_config import (
    ClassSetting,
    MethodConfig,
    Task,
    TowerFacts,
    layer_list_problems,
    tau_problems,
)
from promptad.configs.shared_config import PoolsCategories
from promptad.configs.transformation_table import TRANSFORMATIONS, transformation_problems, unlearned
from promptad.texts.templates import N_TEMPLATES

MOST_PROMPTS = 1000
"""Upper bound on prompts of one kind: every pair of them is a text to encode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptADConfig(PoolsCategories, MethodConfig):
    """Hyperparameters and protocol of one PromptAD training.

    The defaults are what the paper prints, and ours where it is silent or contradicts itself: docs/protocols.md says
    of each field which it is.

    The second half are the axes on which the authors' released code departs from the paper; ``protocol.py`` names
    them D1-D20 and derives from a config which of them are in force.
    """

    learns: ClassVar[bool] = True

    # The method's parts (Table 3, Table 7).
    sc: bool = True
    """Semantic concatenation (section 4.2). Without it: CoOp's two-class form, see ``prompts/sequences.py``."""
    eam: bool = True
    """Explicit anomaly margin, eq. 13."""
    margin: float = 0.0
    """Added to the difference of eq. 13's two distances, in their unit; section 4.3 fixes it to zero."""
    margin_weight: float = 1.0
    """Weight of eq. 13 in the sum of the losses; the paper prints none."""
    vad: bool = True
    """Vision-guided branch, eq. 8, fused by eq. 17-18. Without it the prompt-guided scores are final."""
    pad: bool = True
    """Prompt-guided branch, eq. 16. Without it the vision-guided scores are final, and nothing is learned."""
    prompts: Literal["learned", "ensemble"] = "learned"
    """Learned prompts, or CPE: WinCLIP's ensemble of fixed texts, which needs no training (``templates.py``)."""
    ensemble_templates: int = 22
    """How many templates the ensemble combines with its 11 states: WinCLIP's 22, or up to 84 (924 texts)."""
    maps: bool = True
    """Manual anomaly prompts (only with ``sc``)."""
    laps: bool = True
    """Learnable anomaly prompts (only with ``sc``)."""
    transformation: str = "vv"
    """CLIP transformation of the local branch (Table 5): a name of ``transformation_table.py``."""
    memory_layers: tuple[int, ...] | None = None
    """Blocks (1-based; ResNet: stages) whose patches are the visual memory; None: the backbone's default."""

    # Sizes and optimisation (supplement A).
    n_normal_prompts_image: int = 1
    """N of the image task's training: number of learnable normal prefixes."""
    n_normal_prompts_pixel: int = 1
    """N of the pixel task's training."""
    n_normal_tokens: int = 4
    """E_N: learnable tokens in a normal prefix."""
    n_anomaly_suffixes: int = 4
    """L: number of learnable anomaly suffixes."""
    n_anomaly_tokens: int = 1
    """E_A: learnable tokens in an anomaly suffix."""
    align_weight: float = 0.001
    """lambda of eq. 15."""
    learning_rate: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.0005
    epochs: int = 100
    """Full-batch SGD steps. The paper does not state it; 100 is the released code's."""
    initial_deviation: float = 0.02
    """Standard deviation of the normal distribution that learnable tokens are drawn from."""
    own_suffixes: tuple[str, ...] | None = None
    """Manual suffixes of the user's, in place of the category's own (each with one ``{}``)."""
    setting: ClassSetting = "one_class"
    """Prompts for each category, or one set of learnable tokens for all; memory and manual suffixes are each one's."""

    # The protocol: the default first (printed, or ours where the paper is silent), then the released code's.
    temperature: Literal["exponential", "raw_parameter"] = "exponential"
    """D1: logits are multiplied by exp(logit_scale), or by the raw parameter."""
    tau: float | None = None
    """The paper's tau as a number, in place of CLIP's own (then ``temperature`` does not matter); None: CLIP's own."""
    learnable_suffix_position: Literal["after_object", "before_object"] = "after_object"
    """D4: [P][obj.][A] of eq. 11, or [P][A][obj.]."""
    generic_suffixes: Literal["paper", "reference"] = "paper"
    """D5: the five generic suffixes of Figure 7, or the released code's eight."""
    margin_distance: Literal["euclidean", "squared_over_second_axis"] = "euclidean"
    """D6: distance of eq. 13."""
    alignment: Literal["normalised_means", "means_of_normalised"] = "normalised_means"
    """D7: order of mean and normalisation in eq. 15."""
    pairing: Literal["all", "modulo"] = "all"
    """D8: every normal prefix with every learnable suffix, or index i mod N with i mod L."""
    visual_maximum: Literal["patch_grid", "map_size"] = "patch_grid"
    """D14: eq. 18's maximum of M_v is taken on the patch grid, or after upsampling to ``map_size``."""
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    """D16: constant, or cosine annealing over the epochs down to 1e-5."""
    training: Literal["per_task", "joint"] = "per_task"
    """D17: one training per task, or one that sums both tasks' losses."""
    prompt_text: Literal["bare", "mapped_with_full_stop"] = "bare"
    """D19: category name as it is, or the released code's mapped names and a full stop."""
    memory_tap: Literal["block_output", "after_next_attention"] = "block_output"
    """D20: memory features are a block's output, or that plus the next block's attention (see ``towers.py``)."""

    @property
    def learns_prompts(self) -> bool:
        """Whether there are prompts, and they are learned."""
        return self.pad and self.prompts == "learned"

    @property
    def sees_support(self) -> bool:
        """Whether scores depend on support images: those of fixed prompts alone (CPE) do not."""
        return self.vad or self.learns_prompts

    @property
    def learns_local_layers(self) -> bool:
        """Whether the transformation has a learnable layer for each block."""
        entry = TRANSFORMATIONS.get(self.transformation)
        return entry is not None and entry.learned

    @property
    def uses_suffixes(self) -> bool:
        """Whether manual anomaly suffixes are among the prompts."""
        return self.learns_prompts and self.sc and self.maps

    def n_normal_prompts(self, task: Task) -> int:
        """N for ``task``; a joint training has one set of prompts, the image task's."""
        if self.training == "joint" or task == "image":
            return self.n_normal_prompts_image
        return self.n_normal_prompts_pixel

    @property
    def learning_epochs(self) -> int:
        """Full-batch steps; 0 where no prompt is learned."""
        return self.epochs if self.learns_prompts else 0

    def company_key(self, task: Task) -> tuple[object, ...] | None:
        """The fields that give the prompts their form."""
        if not self.learns_prompts or self.pools_categories:
            return None
        return (
            *(self.sc, self.maps, self.laps, self.prompt_text, self.generic_suffixes, self.own_suffixes),
            *(self.n_normal_prompts(task), self.n_normal_tokens, self.n_anomaly_suffixes, self.n_anomaly_tokens),
            *(self.learnable_suffix_position, self.pairing),
        )

    @property
    def reads_texts(self) -> bool:
        """The visual memory alone needs no texts."""
        return self.pad

    @property
    def shows_prompts(self) -> bool:
        """Prompts are embedded as they are, learned or not."""
        return True

    def with_suffixes(self, suffixes: tuple[str, ...]) -> Self:
        """This config with a user's own manual suffixes."""
        return self.with_changes({"own_suffixes": suffixes})

    @property
    def named_memory_layers(self) -> tuple[int, ...] | None:
        """The memory layers that the config names, or None."""
        return self.memory_layers

    def uses_memory_layers(self, task: Task) -> bool:  # noqa: ARG002
        """Both tasks look at the visual memory, if there is one."""
        return self.vad

    def tower_problems(self, arm: str, tower: TowerFacts) -> Iterator[str]:  # noqa: ARG002
        """The linear transformation is a layer per block of a transformer."""
        if self.pad and self.learns_local_layers and not tower.transformer:
            yield f"transformation {self.transformation} needs a transformer backbone, but {tower.text} is {tower.kind}"

    def inert(self, task: Task) -> frozenset[str]:
        """Without ``vad`` the memory layers, without learnable anomaly prompts L, E_A and lambda, and so on."""
        inert = _without_learning(self)
        if not self.sc:
            inert |= {"maps", "laps", "generic_suffixes", "own_suffixes"}
        if not (self.sc and self.maps):
            inert |= {"generic_suffixes", "own_suffixes"}
        if not (self.sc and self.laps):
            inert |= {"n_anomaly_suffixes", "n_anomaly_tokens", "learnable_suffix_position", "pairing"}
        if not (self.sc and self.maps and self.laps):
            inert |= {"align_weight", "alignment"}
        if not self.eam:
            inert |= {"margin", "margin_weight", "margin_distance"}
        if self.margin_weight == 0:
            inert |= {"margin", "margin_distance"}
        if self.tau is not None:
            inert |= {"temperature"}
        if not self.vad:
            inert |= {"memory_layers", "memory_tap", "visual_maximum"}
        if self.n_normal_prompts(task) == 1:
            inert |= {"pairing"}
        if self.training == "joint":
            inert |= {"n_normal_prompts_pixel"}
        elif task == "image":
            inert |= {"n_normal_prompts_pixel", "transformation"}
        else:
            inert |= {"n_normal_prompts_image"}
        if task == "image":
            inert |= {"map_smoothing"}
            if not (self.vad and self.visual_maximum == "map_size"):
                inert |= {"map_size"}
        else:
            inert |= {"visual_maximum"}
        if self.epochs == 0:
            inert |= {"learning_rate", "momentum", "weight_decay", "learning_rate_schedule", "selection"}
            inert |= {"eam", "margin", "margin_weight", "margin_distance", "align_weight", "alignment", "setting"}
        return frozenset(inert)

    def missing_parts(self) -> list[str]:
        """A score without a branch, and a loss without its prompts."""
        problems = []
        if not (self.pad or self.vad):
            problems.append("a score needs a branch: set pad or vad")
        if self.sc and not (self.maps or self.laps):
            problems.append("sc needs anomaly prompts: set maps or laps, or set sc to false")
        return problems

    def domain_problems(self) -> list[str]:
        """A sentence for each value that is out of its domain."""
        problems = MethodConfig.domain_problems(self)
        for name in ("n_normal_prompts_image", "n_normal_prompts_pixel", "n_anomaly_suffixes"):
            if not 1 <= getattr(self, name) <= MOST_PROMPTS:
                problems.append(f"{name} must be between 1 and {MOST_PROMPTS}, but got {getattr(self, name)}")
        for name in ("n_normal_tokens", "n_anomaly_tokens"):
            if not 1 <= getattr(self, name) <= 32:
                problems.append(f"{name} must be between 1 and 32, but got {getattr(self, name)}")
        not_negative = ("align_weight", "margin", "margin_weight", "weight_decay", "initial_deviation")
        for name in (*not_negative, "epochs"):
            if not 0 <= getattr(self, name) < float("inf"):
                problems.append(f"{name} must be finite and not negative, but got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            problems.append(f"learning_rate must be positive, but got {self.learning_rate}")
        problems += tau_problems(self.tau)
        problems += self.setting_problems()
        if not 0 <= self.momentum < 1:
            problems.append(f"momentum must be at least 0 and below 1, but got {self.momentum}")
        if not 1 <= self.ensemble_templates <= N_TEMPLATES:
            problems.append(
                f"ensemble_templates must be between 1 and {N_TEMPLATES}, but got {self.ensemble_templates}"
            )
        problems += transformation_problems(self.transformation)
        if self.prompts == "ensemble" and self.learns_local_layers:
            problems.append(
                f"transformation {self.transformation} is learned, so prompts cannot be ensemble: use "
                f"{', '.join(unlearned())}"
            )
        problems += layer_list_problems(self.memory_layers)
        for suffix in self.own_suffixes or ():
            if suffix.count("{}") != 1 or set("{}") & set(suffix.replace("{}", "")):
                rule = "each of own_suffixes must hold {} once for the object's name, no other brace"
                problems.append(f"{rule}, but got {suffix!r}")
        return problems


_LEARNING = frozenset(
    {
        *("sc", "eam", "maps", "laps", "own_suffixes", "generic_suffixes", "margin_distance", "alignment"),
        *("n_normal_prompts_image", "n_normal_prompts_pixel", "n_normal_tokens", "n_anomaly_suffixes"),
        *("n_anomaly_tokens", "align_weight", "learning_rate", "momentum", "weight_decay", "epochs"),
        *("initial_deviation", "selection", "learnable_suffix_position", "pairing", "learning_rate_schedule"),
        *("training", "margin", "margin_weight", "setting"),
    }
)
"""Fields that only matter when prompts are learned."""


def _without_learning(config: PromptADConfig) -> set[str]:
    """Fields that cannot matter without learned prompts, or without any prompts."""
    if not config.pad:
        return {*_LEARNING, "transformation", "temperature", "tau", "prompt_text", "prompts", "ensemble_templates"}
    if config.prompts == "ensemble":
        return {*_LEARNING} if config.vad else {*_LEARNING, "support_draw", "support_views"}
    return {"ensemble_templates"}
