"""FastRecon (Fang et al., ICCV 2023): query patches reconstructed by regression from a coreset of support patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.backbones import Backbone
from promptad.config import Task
from promptad.features import Features
from promptad.method_configs import FastReconConfig
from promptad.methods.coreset import coreset
from promptad.methods.method import Fitted, Scores
from promptad.methods.patches import CHUNK, joined_patches, patch_views, support_patches


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFastRecon:
    """The coreset S (``memory``), the mean patch mu of each position, and the inverse of S S^T + rho I."""

    backbone: Backbone
    config: FastReconConfig
    task: Task
    memory: Float[Tensor, "entry width"]
    means: Float[Tensor, "position width"]
    inverse: Float[Tensor, "entry entry"]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Length of Q - W S by position, for the image task its maximum."""
        maps = []
        for chunk in query.chunks(CHUNK):
            views = patch_views(self.config, self.backbone)
            grids = joined_patches(query, views, chunk, neighbourhood=self.config.neighbourhood)
            patches, weight = grids.flatten(1, 2), self.config.distribution_weight
            target = ((patches + weight * self.means) / (1 + weight)).double()
            memory = self.memory.double()
            rebuilt = target @ memory.T @ self.inverse @ memory
            maps.append((patches - rebuilt).norm(dim=-1).float().view(grids.shape[:3]).cpu())
        whole = torch.cat(maps)
        if self.task == "image":
            return Scores(image=whole.flatten(1).amax(dim=1), maps=None, branches={})
        return Scores(image=None, maps=whole, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """Coreset, means and inverse."""
        return {"memory": self.memory, "means": self.means, "inverse": self.inverse}


class FastRecon:
    """FastRecon's entry point; see ``Method``.

    W minimises ``|Q - W S|^2 + lambda |mu - W S|^2``, a regression with distribution regularisation, so that
    ``W = (Q S^T + lambda mu S^T) ((1 + lambda) S S^T)^-1``: patches of a query are rebuilt, and pulled towards the mean
    normal patch of their position. Ours where the paper is silent:

    - rho I is added to S S^T, in units of the patches' mean squared length: a coreset with more entries than channels,
      or equal ones, has no inverse. This is the minimum with ``rho (1 + lambda) |W|^2`` added.
    - lambda = 2 is the released code's. Its coreset keeps a thousandth of far larger grids, which would be one patch
      here: ours keeps a tenth. It is PatchCore's.
    - Layers are l2-normalised and concatenated. The image score is the map's maximum on the patch grid.
    """

    def views(self, config: FastReconConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The memory layers."""
        return frozenset(patch_views(config, backbone))

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: FastReconConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedFastRecon:
        """Take the coreset, the means and the inverse, in double precision."""
        grids = support_patches(support, patch_views(config, backbone), neighbourhood=config.neighbourhood)
        patches = grids.flatten(0, 2)
        memory = coreset(patches, config, category=category, seed=seed)
        gram = memory.double() @ memory.double().T
        ridge = config.ridge * gram.diagonal().mean()
        inverse = torch.linalg.inv(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
        return FittedFastRecon(
            backbone=backbone,
            config=config,
            task=task,
            memory=memory,
            means=grids.mean(dim=0).flatten(0, 1),
            inverse=inverse,
        )

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: FastReconConfig, *, task: Task
    ) -> FittedFastRecon:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedFastRecon(
            backbone=backbone,
            config=config,
            task=task,
            memory=moved["memory"],
            means=moved["means"],
            inverse=moved["inverse"],
        )
