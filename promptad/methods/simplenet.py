"""SimpleNet (Liu et al., CVPR 2023): a discriminator of normal patches and the same patches with noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.network_configs import SimpleNetConfig
from promptad.features.encoding import view_shapes
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import joined_patches, joined_width, patch_chunks, patch_views, support_patches
from promptad.networks.discriminator import Discriminator, truncated_l1, xavier_linear
from promptad.networks.learning import Course, learn
from promptad.prompts.linear_layers import Linear, layer_tensors, restored_layers
from promptad.randomness import torch_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedSimpleNet:
    """The adaptor and the discriminator as they were learned, with the running statistics of its normalisation."""

    backbone: Backbone
    config: SimpleNetConfig
    task: Task
    adaptor: Linear
    discriminator: Discriminator

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """-D of each patch, of either sign; the largest is the image score."""
        views = patch_views(self.config, self.backbone, self.config.activations)
        maps = []
        for chunk in patch_chunks(query):
            patches = joined_patches(query, views, chunk, neighbourhood=self.config.neighbourhood)
            found = -self.discriminator(self.adaptor(patches.flatten(0, 2)))
            maps.append(found.view(patches.shape[:3]).cpu())
        whole = torch.cat(maps)
        if self.task == "image":
            return Scores(image=whole.flatten(1).amax(dim=1), maps=None, branches={})
        return Scores(image=None, maps=whole, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """Adaptor and discriminator by name."""
        return {**layer_tensors("adaptor", (self.adaptor,)), **self.discriminator.tensors()}


class SimpleNet(WithoutPrompts):
    """SimpleNet's entry point; see ``Method``.

    A patch o is the mean of the p x p patches around it. A linear layer adapts it, q = W o + b; noise makes it
    anomalous, q- = q + e with e from N(0, sigma^2 I), new at every step. A discriminator D learns to be above th on q
    and below -th on q-: truncated L1 loss (``networks/discriminator.py``). The score of a patch is -D(q). Ours:

    - Layers are l2-normalised, as cached, and concatenated as they are; the window's mean is over the patches inside
      the image (PatchCore's choices here). ``activations=raw`` keeps the tower's lengths.
    - sigma is ``noise_in_rms`` times the root mean square of the support's patches, for the paper's 0.015 belongs to
      one network's raw activations (``noise=0.015`` is that number).
    - Learning is counted in steps, not epochs: 600, where the paper's 160 epochs are 160 steps with one support image,
      in which the networks hardly move, and about 4800 with a whole category of MVTec AD.
    - A step takes at most 8 images; with fewer it takes them all, and its batch normalisation sees their patches alone.
      Scores use the running statistics.

    The paper's numbers are those of the best of 40 rounds on the test set: ``selection=best_on_test``.
    """

    def views(self, config: SimpleNetConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The memory layers."""
        return frozenset(patch_views(config, backbone, config.activations))

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: SimpleNetConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedSimpleNet:
        """Learn both networks on the support patches; ``on_epoch`` is called after every round.

        Raises:
            FloatingPointError: the loss did not stay finite.
        """
        views = patch_views(config, backbone, config.activations)
        patches = support_patches(support, views, neighbourhood=config.neighbourhood).flatten(1, 2)
        initial = draw_networks(joined_width(support, views), config.hidden_width, seed=seed, category=category)
        adaptor = initial[0].leaf(patches.device, patches.dtype)
        discriminator = initial[1].leaf(patches.device)
        deviation = patches.norm() / patches.numel() ** 0.5 * config.noise_in_rms
        if config.noise is not None:
            deviation = torch.full_like(deviation, config.noise)
        noise = torch_generator(seed, category, "simplenet noise")

        def loss_of(chosen: Int[Tensor, " image"]) -> Float[Tensor, ""]:
            adapted = adaptor(patches[chosen.to(patches.device)].flatten(0, 1))
            drawn = torch.randn(adapted.shape, generator=noise).to(adapted.device)
            # One batch, so that the normalisation is the same for both.
            both = discriminator(torch.cat([adapted, adapted + deviation * drawn]), learning=True)
            normal, anomalous = both.chunk(2)
            return truncated_l1(normal, anomalous, config.threshold)

        def fitted() -> FittedSimpleNet:
            return FittedSimpleNet(
                backbone=backbone,
                config=config,
                task=task,
                adaptor=adaptor.frozen(),
                discriminator=discriminator.frozen(),
            )

        learn(
            [
                torch.optim.AdamW(
                    adaptor.parameters(), lr=config.adaptor_step_size, weight_decay=config.adaptor_decay, fused=True
                ),
                torch.optim.Adam(
                    discriminator.parameters(),
                    lr=config.discriminator_step_size,
                    weight_decay=config.discriminator_decay,
                    fused=True,
                ),
            ],
            loss_of,
            Course(steps=config.steps, rounds=config.rounds, batch=config.batch),
            items=len(patches),
            generator=torch_generator(seed, category, "simplenet batches"),
            on_round=None if on_epoch is None else lambda number: on_epoch(number, fitted()),
        )
        return fitted()

    def size(self, backbone: Backbone, config: SimpleNetConfig, *, task: Task, category: str) -> MethodSize:
        """No text; the numbers of both networks."""
        shapes = view_shapes(backbone, patch_views(config, backbone, config.activations))
        # Drawn only to be counted; the values do not matter.
        width = sum(shape[-1] for shape in shapes.values())
        adaptor, discriminator = draw_networks(width, config.hidden_width, seed=0, category=category)
        learned = [*adaptor.parameters(), *discriminator.parameters()]
        return MethodSize(prompts=0, learned_parameters=sum(part.numel() for part in learned))

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: SimpleNetConfig, *, task: Task
    ) -> FittedSimpleNet:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        (adaptor,) = restored_layers("adaptor", moved)
        return FittedSimpleNet(
            backbone=backbone,
            config=config,
            task=task,
            adaptor=adaptor,
            discriminator=Discriminator.restored(moved),
        )


def draw_networks(width: int, hidden_width: int, *, seed: int, category: str) -> tuple[Linear, Discriminator]:
    """The initial adaptor and discriminator of patches with ``width`` channels."""
    adaptor = xavier_linear(width, width, torch_generator(seed, category, "simplenet adaptor"))
    return adaptor, Discriminator.draw(width, hidden_width, torch_generator(seed, category, "simplenet discriminator"))
