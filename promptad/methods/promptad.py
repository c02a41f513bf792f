"""PromptAD (CVPR 2024): learned prompts, and a memory of normal patches beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones import Backbone, default_memory_layers
from promptad.config import PromptADConfig, Task
from promptad.features import Features
from promptad.methods.method import Fitted, Scores
from promptad.prompt_learning import LearnableTokens, PromptTraining, inverse_temperature, prompts_for
from promptad.scoring import harmonic_fusion, prompt_score, resize_maps, visual_map
from promptad.towers import grid_side, linear_local_features

CHUNK = 16
"""Query images scored at once; bounds memory, changes no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPromptAD:
    """PromptAD fitted to one object and one task.

    ``prototypes`` are the normal and the anomaly prototype (2 x embed); ``memories`` one tensor of normal patches
    per memory view (entry x width), empty without the vision-guided branch; ``layers`` the learnable linear layers
    of the ``linear`` transformation.
    """

    backbone: Backbone
    config: PromptADConfig
    task: Task
    prototypes: Tensor
    memories: Mapping[str, Tensor]
    layers: Tensor | None

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Eq. 18's score for the image task, eq. 17's map for the pixel task."""
        parts = [self._score_chunk(query, chunk) for chunk in query.chunks(CHUNK)]
        branches = {name: torch.cat([part.branches[name] for part in parts]) for name in parts[0].branches}
        images = [part.image for part in parts if part.image is not None]
        maps = [part.maps for part in parts if part.maps is not None]
        return Scores(
            image=torch.cat(images) if images else None, maps=torch.cat(maps) if maps else None, branches=branches
        )

    def tensors(self) -> dict[str, Tensor]:
        """Prototypes, memories and linear layers by name."""
        fitted = {"prototypes": self.prototypes} | {f"memory/{view}": memory for view, memory in self.memories.items()}
        return fitted if self.layers is None else fitted | {"layers": self.layers}

    def _score_chunk(self, query: Features, chunk: slice) -> Scores:
        normal, anomaly = self.prototypes
        scale = inverse_temperature(self.backbone, self.config)
        branches = {}
        if self.memories:
            views = [query.stack(view, chunk.start, chunk.stop) for view in self.memories]
            branches["visual"] = visual_map(views, list(self.memories.values())).float()
        if self.task == "image":
            text = prompt_score(query.stack("global", chunk.start, chunk.stop), normal, anomaly, scale).float()
            if "visual" in branches:
                text = harmonic_fusion(text, self._visual_maximum(branches["visual"]))
            return Scores(image=text.cpu(), maps=None, branches={})
        textual = prompt_score(self._local(query, chunk), normal, anomaly, scale).float()
        side = grid_side(textual.shape[1])
        branches["textual"] = textual.unflatten(-1, (side, side))
        fused = branches["textual"]
        if "visual" in branches:
            finest = max(side, branches["visual"].shape[-1])
            fused = harmonic_fusion(*(resize_maps(branches[name], finest) for name in ("visual", "textual")))
        return Scores(image=None, maps=fused.cpu(), branches={name: value.cpu() for name, value in branches.items()})

    def _local(self, query: Features, chunk: slice) -> Tensor:
        if self.layers is None:
            return query.stack(f"local/{self.config.transformation}", chunk.start, chunk.stop)
        stream = query.stack("stream", chunk.start, chunk.stop)
        return normalize(linear_local_features(self.backbone.model.visual, stream, self.layers), dim=-1)

    def _visual_maximum(self, visual: Tensor) -> Tensor:
        if self.config.visual_maximum == "map_size":
            visual = resize_maps(visual, self.config.map_size)
        return visual.flatten(1).amax(dim=1)


class PromptAD:
    """The method's entry point; see ``Method``."""

    def views(self, config: PromptADConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """``global`` or the local branch, and the memory views."""
        wanted = set(memory_views(config, backbone))
        if task == "image" or config.training == "joint":
            wanted.add("global")
        if task == "pixel" or config.training == "joint":
            wanted.add("stream" if config.transformation == "linear" else f"local/{config.transformation}")
        return frozenset(wanted)

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: PromptADConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedPromptAD:
        """Learn prompts on the support images for ``config.epochs`` epochs and remember their patches."""
        width = backbone.text.token_embedding.weight.shape[1]
        training = PromptTraining(
            backbone,
            support,
            config,
            task=task,
            prompts=prompts_for(backbone.tokenizer, config, task, category),
            tokens=LearnableTokens.draw(config, task, width=width, category=category, seed=seed),
        )
        memories = {view: support.stack(view).flatten(0, 1) for view in memory_views(config, backbone)}

        def fitted() -> FittedPromptAD:
            return FittedPromptAD(
                backbone=backbone,
                config=config,
                task=task,
                prototypes=training.prototypes(),
                memories=memories,
                layers=None if training.layers is None else training.layers.detach().clone(),
            )

        for epoch in range(1, config.epochs + 1):
            training.step()
            if on_epoch is not None:
                on_epoch(epoch, fitted())
        return fitted()

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: PromptADConfig, *, task: Task
    ) -> FittedPromptAD:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedPromptAD(
            backbone=backbone,
            config=config,
            task=task,
            prototypes=moved["prototypes"],
            memories={
                name.removeprefix("memory/"): value for name, value in moved.items() if name.startswith("memory/")
            },
            layers=moved.get("layers"),
        )


def memory_views(config: PromptADConfig, backbone: Backbone) -> tuple[str, ...]:
    """Feature views that the visual memory is made of; none without the vision-guided branch."""
    if not config.vad:
        return ()
    kind = "block" if config.memory_tap == "block_output" else "attended"
    return tuple(f"{kind}/{layer}" for layer in config.memory_layers or default_memory_layers(backbone.name))
