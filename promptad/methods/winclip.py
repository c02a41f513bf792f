"""WinCLIP and WinCLIP+ (Jeong et al., CVPR 2023): fixed prompts, and references, compared at several scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import block_count
from promptad.backbones.windows import harmonic_mean, window_map
from promptad.configs.method_config import Task
from promptad.configs.method_configs import WinCLIPConfig
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores
from promptad.prompts.prompt_ensemble import ensemble_prompts, ensemble_prototypes
from promptad.prompts.prompt_learning import inverse_temperature
from promptad.prompts.sequences import PromptSet
from promptad.scoring.anomaly_scores import prompt_score, visual_map

CHUNK = 16
"""Query images scored at once; bounds memory, changes no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedWinCLIP:
    """Prototypes of the prompts, and for WinCLIP+ the references: features of the support by view.

    ``references`` are windows of each size (entry x embed) and patches of the last block (entry x width).
    """

    backbone: Backbone
    config: WinCLIPConfig
    task: Task
    prototypes: Float[Tensor, "2 embed"]
    references: Mapping[str, Tensor]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """The image scores or maps of section 4.2 (WinCLIP), or of section 4.3 (WinCLIP+)."""
        parts = [self._score_chunk(query, chunk) for chunk in query.chunks(CHUNK)]
        if self.task == "image":
            image = torch.cat([part["image"] for part in parts])
            return Scores(image=image, maps=None, branches={})
        branches = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        maps = torch.stack(list(branches.values())).mean(dim=0)
        return Scores(image=None, maps=maps, branches=branches)

    def tensors(self) -> dict[str, Tensor]:
        """Prototypes and references by name."""
        return {"prototypes": self.prototypes} | {f"reference/{view}": value for view, value in self.references.items()}

    def _score_chunk(self, query: Features, chunk: slice) -> dict[str, Tensor]:
        visual = self._association(query, chunk) if self.references else None
        if self.task == "image":
            score = self._prompt_score(query.stack("global", chunk.start, chunk.stop))
            if visual is not None:
                score = (score + visual.flatten(1).amax(dim=1)) / 2
            return {"image": score.cpu()}
        whole = self._prompt_score(query.stack("global", chunk.start, chunk.stop))
        scales = [
            window_map(self._prompt_score(query.stack(f"windows/{size}", chunk.start, chunk.stop)), size)
            for size in self.config.windows
        ]
        textual = harmonic_mean([whole[:, None, None], *scales])
        return {"textual": textual.cpu()} | ({} if visual is None else {"visual": visual.cpu()})

    def _association(self, query: Features, chunk: slice) -> Tensor:
        maps = []
        for view, reference in self.references.items():
            features = query.stack(view, chunk.start, chunk.stop)
            near = visual_map([features], [reference]).float()
            kind, _, number = view.partition("/")
            maps.append(window_map(near.flatten(1), int(number)) if kind == "windows" else near)
        return torch.stack(maps).mean(dim=0)

    def _prompt_score(self, z: Tensor) -> Tensor:
        normal, anomaly = self.prototypes
        return prompt_score(z, normal, anomaly, inverse_temperature(self.backbone, self.config)).float()


class WinCLIP:
    """WinCLIP's entry point, which needs no support image; see ``Method``.

    Section 4.1: a feature's score is its probability of the anomaly prototype of the compositional prompt ensemble
    (CPE); the image score is the global feature's. Section 4.2: windows of 2 x 2 and 3 x 3 patches are encoded alone;
    a patch has the harmonic mean of the windows around it, and the map is the harmonic mean of these scales and of
    the image score. Ours:

    - 1/tau is CLIP's own, as in PromptAD (``temperature``), in place of a fixed 1/0.07.
    - Prototypes are means of normalised text features (``prompt_ensemble.py``).
    - Windows are in patches of the backbone's grid, whatever the patches' size in pixels.
    """

    with_references = False

    def views(self, config: WinCLIPConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The global feature, for maps the windows, and for references windows and the last block's patches."""
        windows = task == "pixel" or self.with_references
        return frozenset({"global"} | set(self._scales(config, backbone) if windows else ()))

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: WinCLIPConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedWinCLIP:
        """Encode the prompts, and for WinCLIP+ keep the support's features."""
        prompts = _prompts(backbone, config, category)
        scales = self._scales(config, backbone) if self.with_references else ()
        return FittedWinCLIP(
            backbone=backbone,
            config=config,
            task=task,
            prototypes=ensemble_prototypes(backbone, prompts),
            references={view: support.stack(view).flatten(0, 1) for view in scales},
        )

    def check_prompts(self, tokenizer: SimpleTokenizer, config: WinCLIPConfig, task: Task, category: str) -> None:
        """CPE's texts."""
        ensemble_prompts(tokenizer, category, templates=config.ensemble_templates, prompt_text=config.prompt_text)

    def size(self, backbone: Backbone, config: WinCLIPConfig, *, task: Task, category: str) -> MethodSize:
        """CPE's texts; nothing is learned."""
        return MethodSize(prompts=len(_prompts(backbone, config, category).all), learned_parameters=0)

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: WinCLIPConfig, *, task: Task
    ) -> FittedWinCLIP:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedWinCLIP(
            backbone=backbone,
            config=config,
            task=task,
            prototypes=moved["prototypes"],
            references={
                name.removeprefix("reference/"): value for name, value in moved.items() if name.startswith("reference/")
            },
        )

    def _scales(self, config: WinCLIPConfig, backbone: Backbone) -> tuple[str, ...]:
        windows = tuple(f"windows/{size}" for size in config.windows)
        return (*windows, f"block/{block_count(backbone.model.visual)}") if self.with_references else windows


def _prompts(backbone: Backbone, config: WinCLIPConfig, category: str) -> PromptSet:
    return ensemble_prompts(
        backbone.tokenizer, category, templates=config.ensemble_templates, prompt_text=config.prompt_text
    )


class WinCLIPPlus(WinCLIP):
    """WinCLIP+'s entry point; see ``Method`` and ``WinCLIP``.

    Section 4.3: at each scale a feature's association score is half its cosine distance to the nearest feature of the
    references; windows are brought to patches by harmonic means as above, and the scales (windows of each size, and
    patches of the whole image) are averaged to a map M. The image score is the mean of WinCLIP's and of M's maximum.
    Ours:

    - The patches are the last block's output, before the last layer norm and projection.
    - A pixel map is the mean of WinCLIP's map and M, as the image score is one of two.
    """

    with_references = True
