"""PaDiM (Defard et al., ICPR 2021): a Gaussian of normal patch features at each position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.method_configs import PaDiMConfig
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import joined_patches, joined_width, patch_chunks, patch_views, support_patches
from promptad.randomness import torch_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPaDiM:
    """Means and Cholesky factors of the covariances by position, and the channels that were drawn."""

    backbone: Backbone
    config: PaDiMConfig
    task: Task
    channels: Int[Tensor, " channel"]
    means: Float[Tensor, "position channel"]
    factors: Float[Tensor, "position channel channel"]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Eq. 2's Mahalanobis distance by position; its maximum is the image score."""
        views, channels = patch_views(self.config, self.backbone), self.channels.cpu()
        maps = []
        for chunk in patch_chunks(query):
            patches = joined_patches(query, views, chunk, channels=channels)
            offset = (patches.flatten(1, 2) - self.means).permute(1, 2, 0)
            solved = torch.linalg.solve_triangular(self.factors, offset, upper=False)
            maps.append(solved.norm(dim=1).T.reshape(patches.shape[:3]).cpu())
        whole = torch.cat(maps)
        if self.task == "image":
            return Scores(image=whole.flatten(1).amax(dim=1), maps=None, branches={})
        return Scores(image=None, maps=whole, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """Channels, means and factors."""
        return {"channels": self.channels, "means": self.means, "factors": self.factors}


class PaDiM(WithoutPrompts):
    """PaDiM's entry point; see ``Method``.

    Eq. 1: each position has the support's mean mu and covariance ``sum (x - mu)(x - mu)^T / (n - 1) + epsilon I``.
    Eq. 2: its score is the Mahalanobis distance of the query's patch; the image score is the maximum. Ours:

    - With few images the sample covariance is singular, and epsilon alone bounds the distance in all but n - 1
      directions. Of one image it is 0, which leaves the Euclidean distance over sqrt(epsilon).
    - epsilon is the paper's 0.01. It is added to features of other length here, since each layer is l2-normalised.
    - 100 channels are drawn of the concatenated layers, by seed and category; a tower with fewer keeps all.
    """

    def views(self, config: PaDiMConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The layers."""
        return frozenset(patch_views(config, backbone))

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: PaDiMConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedPaDiM:
        """Mean and covariance of the support patches at each position."""
        views = patch_views(config, backbone)
        width = joined_width(support, views)
        drawn = torch.randperm(width, generator=torch_generator(seed, category, "padim channels"))
        channels = drawn[: config.dimensions].sort().values
        patches = support_patches(support, views, channels=channels).flatten(1, 2)
        means = patches.mean(dim=0)
        offset = patches.sub_(means).transpose(0, 1)
        diagonal = config.regularisation * torch.eye(len(channels), device=offset.device)
        freedom = max(1, len(support) - 1)
        covariance = torch.baddbmm(diagonal, offset.transpose(1, 2), offset, alpha=1 / freedom)
        factors = torch.linalg.cholesky(covariance)
        channels = channels.to(means.device)
        return FittedPaDiM(
            backbone=backbone,
            config=config,
            task=task,
            channels=channels,
            means=means,
            factors=factors,
        )

    def size(self, backbone: Backbone, config: PaDiMConfig, *, task: Task, category: str) -> MethodSize:
        """No text, and nothing is learned by gradients."""
        return MethodSize(prompts=0, learned_parameters=0)

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: PaDiMConfig, *, task: Task
    ) -> FittedPaDiM:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedPaDiM(
            backbone=backbone,
            config=config,
            task=task,
            channels=moved["channels"],
            means=moved["means"],
            factors=moved["factors"],
        )
