"""DifferNet (Rudolph et al., WACV 2021): the likelihood of an image's features under a normalising flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.network_configs import DifferNetConfig
from promptad.features.encoding import rotated_view, view_shapes
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import view_as
from promptad.networks.coupling_flow import CouplingFlow, negative_log_likelihood
from promptad.networks.learning import Course, learn
from promptad.randomness import torch_generator

CHUNK = 64
"""Query images scored at once; bounds memory, changes no score."""

BETAS, EPSILON = (0.8, 0.8), 1e-4
"""Adam's, as in the paper's released code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDifferNet:
    """The flow of one category's features."""

    backbone: Backbone
    config: DifferNetConfig
    flow: CouplingFlow

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """The mean of z^2 over channels and turned copies of each image."""
        view = copies_view(self.config)
        parts = []
        for chunk in query.chunks(CHUNK):
            vectors = query.stack(view, chunk.start, chunk.stop).float()
            z, _ = self.flow(vectors.flatten(0, 1))
            parts.append(z.square().unflatten(0, vectors.shape[:2]).mean(dim=(1, 2)).cpu())
        return Scores(image=torch.cat(parts), maps=None, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """The flow by name."""
        return self.flow.tensors()


class DifferNet(WithoutPrompts):
    """DifferNet's entry point; see ``Method``.

    Features y of turned copies of the support images train a flow z = f(y) to maximum likelihood under a standard
    normal z; the score is the mean of |z|^2 over turned copies of a query. The flow has 8 blocks of a fixed permutation
    and an affine coupling (``networks/coupling_flow.py``). Ours:

    - y is the frozen tower's global feature at its own input size; the paper's are spatial means of AlexNet's last maps
      at three sizes.
    - Copies are turned by 0, 360 / n, ... degrees, the same in learning and scoring, so that they are encoded once; the
      paper's angles are drawn anew. Corners are filled by reflection.
    - Layers are 256 wide, in place of 2048. Learning is counted in steps on at most 96 copies: the paper's 192 epochs,
      of up to 12 support images with 8 copies, are 192 steps.
    - One score an image: the paper's maps are not evaluated there, and the table prints none.
    """

    def views(self, config: DifferNetConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """Global features of the turned copies."""
        return frozenset({copies_view(config)})

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: DifferNetConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedDifferNet:
        """Learn the flow on the support's copies; ``on_epoch`` is called after every round.

        Raises:
            FloatingPointError: the loss did not stay finite.
        """
        vectors = support.stack(copies_view(config)).float().flatten(0, 1)
        flow = draw_flow(vectors.shape[1], config, seed=seed, category=category).leaf(vectors.device)

        def loss_of(chosen: Int[Tensor, " vector"]) -> Float[Tensor, ""]:
            return negative_log_likelihood(*flow(vectors[chosen.to(vectors.device)]))

        def fitted() -> FittedDifferNet:
            return FittedDifferNet(backbone=backbone, config=config, flow=flow.frozen())

        learn(
            [
                torch.optim.Adam(
                    flow.parameters(),
                    lr=config.step_size,
                    betas=BETAS,
                    eps=EPSILON,
                    weight_decay=config.decay,
                    fused=True,
                )
            ],
            loss_of,
            Course(steps=config.steps, rounds=config.rounds, batch=config.batch),
            items=len(vectors),
            generator=torch_generator(seed, category, "differnet batches"),
            on_round=None if on_epoch is None else lambda number: on_epoch(number, fitted()),
        )
        return fitted()

    def size(self, backbone: Backbone, config: DifferNetConfig, *, task: Task, category: str) -> MethodSize:
        """No text; the numbers of the flow."""
        (shape,) = view_shapes(backbone, ["global"]).values()
        # Drawn only to be counted; the values do not matter.
        flow = draw_flow(shape[-1], config, seed=0, category=category)
        return MethodSize(prompts=0, learned_parameters=sum(part.numel() for part in flow.parameters()))

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: DifferNetConfig, *, task: Task
    ) -> FittedDifferNet:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedDifferNet(backbone=backbone, config=config, flow=CouplingFlow.restored(moved, config.clamp))


def copies_view(config: DifferNetConfig) -> str:
    """The view of an image's turned copies."""
    return rotated_view(view_as("global", config.activations), config.copies)


def draw_flow(channels: int, config: DifferNetConfig, *, seed: int, category: str) -> CouplingFlow:
    """The initial flow of features with so many channels."""
    return CouplingFlow.draw(
        channels,
        blocks=config.blocks,
        width=config.width,
        clamp=config.clamp,
        generator=torch_generator(seed, category, "differnet flow"),
    )
