"""AnoPLe's training: one set of prompts and one decoder, on views of the support images of one category or more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from promptad.anople.coupled_prompts import CoupledPrompts
from promptad.anople.decoder import Decoder
from promptad.anople.map_losses import alignment_to_local, dice_loss, focal_loss, image_loss
from promptad.anople.picture_views import StepDraws, TrainingViews, pictures_of, view_count, views_in_step
from promptad.anople.prompted_features import (
    anomaly_map,
    class_prototypes,
    class_tree,
    decoded,
    encode_views,
)
from promptad.backbones.backbone import Backbone
from promptad.configs.anople_config import AnoPLeConfig
from promptad.features.extraction import ACCELERATOR_BATCH, Features
from promptad.images.preparation import Pixels, Preprocessing
from promptad.prompts.descent import Descent
from promptad.prompts.prompt_learning import inverse_temperature
from promptad.prompts.prompt_tree import PromptTree
from promptad.randomness import numpy_generator
from promptad.scoring.anomaly_scores import resize_maps

VIEWS_AT_ONCE = 2
"""Views on a CPU whose graph, with that of their pseudo-anomalies, is held together: bounds memory, changes no step but
by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportOfClass:
    """What a category gives to the training: its two prompts, and the pictures of its support images by view."""

    category: str
    tree: PromptTree
    pictures: tuple[list[Pixels], ...]


class AnoPLeTraining:
    """Prompts and decoder in training, on support images of one category or of several.

    ``category`` is the one whose initial values are drawn, None: those of all together. The draws of a step are those
    of the seed, the step, each image and what is drawn.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: AnoPLeConfig,
        support: Mapping[str, Features],
        *,
        category: str | None,
        seed: int,
    ) -> None:
        self._backbone, self._config, self._seed = backbone, config, seed
        self._classes = tuple(
            SupportOfClass(
                category=name,
                tree=class_tree(backbone, config, name),
                pictures=tuple(pictures_of(features, config)) if config.epochs else (),
            )
            for name, features in support.items()
        )
        embed = int(backbone.model.visual.output_dim)
        self._grid = (embed, backbone.image_size // backbone.patch_size)
        self._preprocessing = Preprocessing(size=backbone.image_size, mean=backbone.mean, std=backbone.std)
        drawn = CoupledPrompts.draw(backbone, config, category=category, seed=seed)
        self.prompts = drawn.leaf(backbone.device, backbone.dtype)
        decoder = Decoder.draw(embed, config, category=category, seed=seed)
        self.decoder = None if decoder is None else decoder.leaf(backbone.device)
        self._descent = Descent(config, self.prompts.parameters())
        self._adam = None if self.decoder is None else torch.optim.Adam(self.decoder.parameters(), config.decoder_rate)
        self._step = 0

    def step(self) -> float:
        """One step down the mean over categories of their images' mean losses; returns it as it was before.

        Raises:
            FloatingPointError: the loss is not finite; then nothing has changed.
        """
        if self._adam is not None:
            self._adam.zero_grad(set_to_none=True)
        loss = self._descent.step(self._losses())
        if self._adam is not None:
            self._adam.step()
        self._step += 1
        return loss

    @torch.no_grad()
    def prototypes(self) -> dict[str, Float[Tensor, "2 embed"]]:
        """Text features of each category's normal and anomaly prompt as they are now, l2-normalised."""
        return {
            each.category: class_prototypes(self._backbone, each.tree, self.prompts).float() for each in self._classes
        }

    def _losses(self) -> Iterator[Tensor]:
        """Parts of the loss, of some views each; their sum is the loss."""
        config, device = self._config, self._backbone.device
        at_once = VIEWS_AT_ONCE if device.type == "cpu" else ACCELERATOR_BATCH // 2
        views_of_image = min(config.views_per_step, view_count(config))
        for one in self._classes:
            share = 1 / (len(self._classes) * len(one.pictures) * views_of_image)
            for number, pictures in enumerate(one.pictures):
                # Arms that differ in one of the draws have the others in common.
                draws = [
                    numpy_generator(self._seed, one.category, f"AnoPLe's step {self._step}", f"image {number}", what)
                    for what in ("views", "pixels", "features")
                ]
                views = views_in_step(pictures, config, self._preprocessing, self._grid, StepDraws(*draws))
                for start in range(0, len(views.numbers), at_once):
                    yield share * self._loss(one.tree, views.part(start, start + at_once))

    def _loss(self, tree: PromptTree, views: TrainingViews) -> Float[Tensor, ""]:
        """The sum over some views of all losses; those that a view has as normal and as anomaly are averaged first."""
        backbone, config, count = self._backbone, self._config, len(views.numbers)
        prototypes = class_prototypes(backbone, tree, self.prompts).float()
        pictures = views.normal if views.anomalous is None else torch.cat([views.normal, views.anomalous])
        encoded = encode_views(
            backbone,
            config,
            self.prompts,
            pictures.to(backbone.device, backbone.dtype),
            views.numbers * (len(pictures) // count),
            local=config.pixel_loss or config.local_alignment,
        )
        z, scale = encoded.global_features, inverse_temperature(backbone, config)
        loss = image_loss(z[:count], prototypes, scale, anomalous=False)
        if views.anomalous is not None:
            loss = (loss + image_loss(z[count:], prototypes, scale, anomalous=True)) / 2
        if encoded.grid is None:
            return loss
        grid = encoded.grid
        if views.noise is not None:
            size = grid[:count].detach().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            disturbed = grid[:count] + config.latent_noise * size * views.noise.to(backbone.device)
            grid = torch.cat([grid, disturbed])
        vectors = decoded(self.decoder, grid)
        maps = anomaly_map(backbone, config, vectors, prototypes)
        if config.pixel_loss:
            masks = self._masks(views)
            sized = resize_maps(maps, masks.shape[-1])
            of_maps = dice_loss(sized, masks) + focal_loss(sized, masks, config.focal_power)
            loss = loss + of_maps * (count / len(masks))
        if config.local_alignment:
            pasted = slice(count, 2 * count)
            loss = loss + alignment_to_local(z[pasted], vectors[pasted], maps[pasted])
        return loss

    def _masks(self, views: TrainingViews) -> Float[Tensor, "view side side"]:
        """Where views are anomalous, in pixels: nowhere for normal ones, then the pasted, then the disturbed ones."""
        side = self._backbone.image_size
        found = [torch.zeros(len(views.numbers), side, side)]
        if views.masks is not None:
            found.append(views.masks)
        if views.disturbed is not None:
            found.append(interpolate(views.disturbed[:, None], size=(side, side), mode="nearest")[:, 0])
        return torch.cat(found).to(self._backbone.device)
