"""FastRecon (Fang et al., ICCV 2023): query patches reconstructed by regression from a coreset of support patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.method_configs import FastReconConfig
from promptad.features.extraction import Features
from promptad.methods.coreset import coreset
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import joined_patches, patch_chunks, patch_views, support_patches


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFastRecon:
    """The coreset S (``memory``), the mean patch mu of each position, and S^T ((1 + lambda) (S S^T + rho I))^-1.

    The last, ``regression``, is in double precision: W is ``(Q + lambda mu) regression``.
    """

    backbone: Backbone
    config: FastReconConfig
    task: Task
    memory: Float[Tensor, "entry width"]
    means: Float[Tensor, "position width"]
    regression: Float[Tensor, "width entry"]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Length of Q - W S by position, for the image task its maximum."""
        views, memory, maps = patch_views(self.config, self.backbone), self.memory.double(), []
        for chunk in patch_chunks(query):
            grids = joined_patches(query, views, chunk, neighbourhood=self.config.neighbourhood)
            patches = grids.flatten(1, 2)
            target = patches.double().add_(self.means, alpha=self.config.distribution_weight)
            rebuilt = target @ self.regression @ memory
            maps.append(rebuilt.sub_(patches).norm(dim=-1).float().view(grids.shape[:3]).cpu())
        whole = torch.cat(maps)
        if self.task == "image":
            return Scores(image=whole.flatten(1).amax(dim=1), maps=None, branches={})
        return Scores(image=None, maps=whole, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """Coreset, means and regression."""
        return {"memory": self.memory, "means": self.means, "regression": self.regression}


class FastRecon(WithoutPrompts):
    """FastRecon's entry point; see ``Method``.

    W minimises ``|Q - W S|^2 + lambda |mu - W S|^2``, a regression with distribution regularisation, so that
    ``W = (Q S^T + lambda mu S^T) ((1 + lambda) S S^T)^-1``: patches of a query are rebuilt, and pulled towards the mean
    normal patch of their position. Ours where the paper is silent:

    - rho I is added to S S^T, in units of the patches' mean squared length: a coreset with more entries than channels,
      or equal ones, has no inverse. This is the minimum with ``rho (1 + lambda) |W|^2`` added.
    - lambda = 2 is the released code's. Its coreset keeps a thousandth of far larger grids, which would be one patch
      here: ours keeps a tenth, and at most half as many patches as they have channels. With as many it would span all
      patches, and a score be ``lambda / (1 + lambda) |Q - mu|``, whatever is in it. It is chosen as PatchCore's.
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
        """Take the coreset and the means, and solve for the regression."""
        grids = support_patches(support, patch_views(config, backbone), neighbourhood=config.neighbourhood)
        patches = grids.flatten(0, 2)
        memory = coreset(patches, config, category=category, seed=seed)
        entries = memory.double()
        gram = entries @ entries.T
        gram.diagonal().add_(config.ridge * gram.diagonal().mean())
        factor = torch.linalg.cholesky(gram * (1 + config.distribution_weight))
        return FittedFastRecon(
            backbone=backbone,
            config=config,
            task=task,
            memory=memory,
            means=grids.mean(dim=0).flatten(0, 1),
            regression=torch.cholesky_solve(entries, factor).T.contiguous(),
        )

    def size(self, backbone: Backbone, config: FastReconConfig, *, task: Task, category: str) -> MethodSize:
        """No text, and the regression is solved for, not learned by gradients."""
        return MethodSize(prompts=0, learned_parameters=0)

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
            regression=moved["regression"],
        )
