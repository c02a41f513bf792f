"""PatchCore (Roth et al., CVPR 2022): distance to the nearest entry of a coreset of locally aware normal patches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.method_configs import PatchCoreConfig
from promptad.features.extraction import Features
from promptad.methods.coreset import coreset
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import gathered, joined_patches, patch_chunks, patch_views, reference_patches
from promptad.scoring.neighbours import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPatchCore:
    """The coreset (``memory``) of one object's normal patches."""

    backbone: Backbone
    config: PatchCoreConfig
    task: Task
    memory: Float[Tensor, "entry width"]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Eq. 6-7 for the image task, eq. 6's distances to the nearest entry for the pixel task."""
        images, maps = [], []
        for chunk in patch_chunks(query):
            patches = patches_of(query, self.config, self.backbone, chunk)
            distance, index = nearest(patches.flatten(0, 2), self.memory, 1)
            grid = distance.view(patches.shape[:3])
            maps.append(grid.cpu())
            if self.task == "image":
                images += self._image_scores(patches.flatten(1, 2), grid.flatten(1), index.view(len(grid), -1))
        if self.task == "image":
            return Scores(image=torch.stack(images).cpu(), maps=None, branches={})
        return Scores(image=None, maps=torch.cat(maps), branches={})

    def tensors(self) -> dict[str, Tensor]:
        """The memory."""
        return {"memory": self.memory}

    def _image_scores(self, patches: Tensor, grid: Tensor, index: Tensor) -> list[Tensor]:
        if self.config.image_score == "maximum":
            return list(grid.amax(dim=1))
        scores = []
        for image, farthest in enumerate(grid.argmax(dim=1).tolist()):
            score = grid[image, farthest]
            entry = self.memory[index[image, farthest]][None]
            around = nearest(entry, self.memory, self.config.neighbours)[1][0]
            # With one neighbour the weight would be 0 for every image: then the score is not weighed.
            if len(around) > 1:
                others = (self.memory[around] - patches[image, farthest]).norm(dim=1)
                score = (1 - (score - others.logsumexp(0)).exp()) * score
            scores.append(score)
        return scores


class PatchCore(WithoutPrompts):
    """PatchCore's entry point; see ``Method``.

    Section 3.1: a patch is the mean of the p x p patches around it. Section 3.2: the memory M is a greedy k-centre
    coreset. Eq. 6: ``s* = |m_test - m*|``, the largest distance of a patch to its nearest entry m*. Eq. 7: the image
    score is ``(1 - exp(s*) / sum exp |m_test - m|) s*``, the sum over the b entries nearest to m*. Ours:

    - The paper adapts channels by pooling them to 1024. Here each layer is l2-normalised, as cached, and layers are
      concatenated as they are; coarser grids are upsampled after the averaging.
    - The window's mean is over the patches inside the image, without padding by zeros.
    - The coreset begins with the first patch and is chosen in a Gaussian projection to 128 channels. It keeps at least
      one entry and at most ``most_entries``, for its cost is that number times the support's patches: the paper's 1 %
      of a whole training set, which it reports to be as good as more, are about 2000.
    - m* is one of its own b neighbours. A memory of one entry leaves scores unweighed: all weights would be 0.
    - Maps are not smoothed unless the protocol says so for all methods.

    ``activations=raw``, ``patch_pooling=reference`` and ``image_score=maximum`` are the released code's choices.
    """

    def views(self, config: PatchCoreConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The memory layers."""
        return frozenset(patch_views(config, backbone, config.activations))

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: PatchCoreConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedPatchCore:
        """Remember a coreset of the support patches."""
        patches = gathered(support, functools.partial(patches_of, support, config, backbone))
        memory = coreset(patches.flatten(0, 2), config, category=category, seed=seed)
        return FittedPatchCore(backbone=backbone, config=config, task=task, memory=memory)

    def size(self, backbone: Backbone, config: PatchCoreConfig, *, task: Task, category: str) -> MethodSize:
        """No text, and nothing is learned."""
        return MethodSize(prompts=0, learned_parameters=0)

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: PatchCoreConfig, *, task: Task
    ) -> FittedPatchCore:
        """A fitted method from its tensors."""
        memory = tensors["memory"].to(backbone.device)
        return FittedPatchCore(backbone=backbone, config=config, task=task, memory=memory)


def patches_of(
    features: Features, config: PatchCoreConfig, backbone: Backbone, chunk: slice
) -> Float[Tensor, "image row column width"]:
    """The locally aware patches of some images, as the config has them pooled."""
    views = patch_views(config, backbone, config.activations)
    match config.patch_pooling:
        case "mean":
            return joined_patches(features, views, chunk, neighbourhood=config.neighbourhood)
        case "reference":
            return reference_patches(
                features, views, chunk, neighbourhood=config.neighbourhood, width=config.pooled_width
            )
        case _:
            assert_never(config.patch_pooling)
