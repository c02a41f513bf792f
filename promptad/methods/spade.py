"""SPADE (Cohen and Hoshen, 2020): nearest normal images, then nearest patches of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.method_configs import SPADEConfig
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import joined_patches, patch_chunks, patch_views, support_patches
from promptad.scoring.neighbours import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedSPADE:
    """Global features of the support images, and for the pixel task their patches (the gallery)."""

    backbone: Backbone
    config: SPADEConfig
    task: Task
    images: Float[Tensor, "support embed"]
    gallery: Float[Tensor, "support patch width"] | None

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Eq. 2's mean distance to the K nearest images; eq. 3's to the kappa nearest patches of these images."""
        scores: list[Tensor] = []
        maps: list[Tensor] = []
        for chunk in patch_chunks(query):
            whole = query.stack("global", chunk.start, chunk.stop).float()
            distance, index = nearest(whole, self.images, self.config.images)
            scores.append(distance.mean(dim=1).cpu())
            if self.gallery is None:
                continue
            patches = joined_patches(query, patch_views(self.config, self.backbone), chunk)
            if index.shape[1] == len(self.gallery):  # Every query is near to all: no part of the gallery is copied.
                maps += self._gaps(patches, self.gallery)
            else:
                for image, chosen in zip(patches, index, strict=True):
                    maps += self._gaps(image[None], self.gallery[chosen])
        if self.task == "image":
            return Scores(image=torch.cat(scores), maps=None, branches={})
        return Scores(image=None, maps=torch.stack(maps), branches={})

    def tensors(self) -> dict[str, Tensor]:
        """Global features and gallery."""
        return {"images": self.images} | ({} if self.gallery is None else {"gallery": self.gallery})

    def _gaps(self, patches: Tensor, gallery: Tensor) -> Tensor:
        distance, _ = nearest(patches.flatten(0, 2), gallery.flatten(0, 1), self.config.neighbours)
        return distance.mean(dim=1).view(patches.shape[:3]).cpu()


class SPADE(WithoutPrompts):
    """SPADE's entry point; see ``Method``.

    Eq. 1-2: the image score is the mean distance between global features of the query and its K nearest support
    images. Eq. 3: a patch's score is the mean distance to the kappa nearest patches of these images, whatever their
    position. Ours:

    - The global feature is CLIP's, l2-normalised, in place of a ResNet's last pooling.
    - K = 50 of the paper is more than few-shot supports have: all images are used then.
    - The feature pyramid is the memory layers, each l2-normalised, concatenated on the finest grid.
    - Distances are Euclidean; the paper writes squared ones, which rank the same where one neighbour counts.
    """

    def views(self, config: SPADEConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The global feature, and for the pixel task the layers."""
        return frozenset({"global"}) | (frozenset(patch_views(config, backbone)) if task == "pixel" else frozenset())

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: SPADEConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedSPADE:
        """Remember the support images."""
        gallery = None
        if task == "pixel":
            gallery = support_patches(support, patch_views(config, backbone)).flatten(1, 2)
        images = support.stack("global").float()
        return FittedSPADE(backbone=backbone, config=config, task=task, images=images, gallery=gallery)

    def size(self, backbone: Backbone, config: SPADEConfig, *, task: Task, category: str) -> MethodSize:
        """No text, and nothing is learned."""
        return MethodSize(prompts=0, learned_parameters=0)

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: SPADEConfig, *, task: Task
    ) -> FittedSPADE:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        gallery = moved.get("gallery")
        return FittedSPADE(backbone=backbone, config=config, task=task, images=moved["images"], gallery=gallery)
