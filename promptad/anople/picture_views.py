"""The views of a support image that AnoPLe learns from, as pictures: the whole of it, and its four quarters."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from promptad.configs.anople_config import QUARTERS, AnoPLeConfig
from promptad.features.extraction import Features
from promptad.features.pictures import PICTURES
from promptad.images.preparation import Pixels, Preprocessing, normalised
from promptad.images.pseudo_anomalies import LARGEST_SHARE, PERLIN_THRESHOLD, Mask, pasted, perlin_noise


def view_count(config: AnoPLeConfig) -> int:
    """How many views of an image are trained on."""
    return 1 if config.views == "whole" else 1 + QUARTERS


def wanted_pictures(config: AnoPLeConfig) -> frozenset[str]:
    """The views of features (`features/extraction.py`) that hold the pictures of support images."""
    return frozenset({PICTURES[1]} if config.views == "whole" else {PICTURES[1], PICTURES[2]})


def quarters(picture: Pixels) -> list[Pixels]:
    """The picture (even side x even side x 3) cut into upper left, upper right, lower left and lower right."""
    rows, columns = (side // 2 for side in picture.shape[:2])
    return [
        np.ascontiguousarray(picture[top : top + rows, left : left + columns])
        for top in (0, rows)
        for left in (0, columns)
    ]


def pictures_of(support: Features, config: AnoPLeConfig) -> list[list[Pixels]]:
    """Every view of every support image, uint8 at the tower's size; the whole image is view 0."""
    whole = [as_pixels(picture) for picture in support.views[PICTURES[1]]]
    if config.views == "whole":
        return [[picture] for picture in whole]
    doubled = [quarters(as_pixels(picture)) for picture in support.views[PICTURES[2]]]
    return [[picture, *parts] for picture, parts in zip(whole, doubled, strict=True)]


def as_pixels(picture: Tensor) -> Pixels:
    """A picture of the features as an array."""
    pixels: Pixels = picture.numpy()
    return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingViews:
    """Views in one step: normal, and as pseudo-anomalies where the config asks for them.

    ``numbers`` are those of the views. ``masks`` are 1 where a pseudo-anomaly was pasted; None without them. ``noise``
    is for local features, of deviation 1 where ``disturbed`` is 1, and 0 elsewhere; None without latent anomalies.
    """

    numbers: tuple[int, ...]
    normal: Float[Tensor, "view 3 side side"]
    anomalous: Float[Tensor, "view 3 side side"] | None
    masks: Float[Tensor, "view side side"] | None
    noise: Float[Tensor, "view embed row column"] | None
    disturbed: Float[Tensor, "view row column"] | None

    def part(self, start: int, stop: int) -> TrainingViews:
        """Views ``start`` to ``stop`` of them."""
        wholes = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        parts: dict[str, Any] = {name: None if each is None else each[start:stop] for name, each in wholes.items()}
        return TrainingViews(**parts)


@dataclass(frozen=True, slots=True)
class StepDraws:
    """Generators of one image in one step: of which views, of pasted anomalies, and of noise on features."""

    views: np.random.Generator
    pixels: np.random.Generator
    features: np.random.Generator


def views_in_step(
    pictures: list[Pixels],
    config: AnoPLeConfig,
    preprocessing: Preprocessing,
    grid: tuple[int, int],
    draws: StepDraws,
) -> TrainingViews:
    """The views of one support image in a step, on the CPU: ``config.views_per_step`` of them, in ascending order.

    Every view has a pseudo-anomaly of its own, of a drawn kind, so that none is empty. ``grid`` is the length of a
    local feature and the side of their grid.
    """
    count = min(config.views_per_step, len(pictures))
    numbers = sorted(draws.views.choice(len(pictures), size=count, replace=False).tolist())
    chosen = [pictures[number] for number in numbers]

    def inputs(views: list[Pixels]) -> Tensor:
        return torch.stack([normalised(view, preprocessing) for view in views])

    anomalous = masks = noise = disturbed = None
    if config.pixel_anomalies:
        made = [pasted(str(draws.pixels.choice(config.pixel_kinds)), view, draws.pixels) for view in chosen]
        anomalous = inputs([picture for picture, _ in made])
        masks = torch.from_numpy(np.stack([mask for _, mask in made]).astype(np.float32))
    if config.latent_anomalies:
        embed, side = grid
        disturbed = torch.from_numpy(np.stack([latent_mask(side, draws.features) for _ in chosen]).astype(np.float32))
        drawn = draws.features.standard_normal((count, embed, side, side), dtype=np.float32)
        noise = torch.from_numpy(drawn) * disturbed[:, None]
    return TrainingViews(
        numbers=tuple(numbers),
        normal=inputs(chosen),
        anomalous=anomalous,
        masks=masks,
        noise=noise,
        disturbed=disturbed,
    )


def latent_mask(side: int, generator: np.random.Generator) -> Mask:
    """Where local features of a grid of ``side`` x ``side`` patches are disturbed: Perlin noise above its threshold.

    At least one patch, and at most ``LARGEST_SHARE`` of them, or one where that is less than one. On so few points
    noise seldom reaches the threshold for pictures; it is then compared with three quarters of its own largest value.
    """
    if side == 1:
        return np.ones((1, 1), dtype=np.bool_)
    most = max(1, min(4, side.bit_length() - 1))
    while True:
        rows, columns = (int(cells) for cells in 2 ** generator.integers(0, most, size=2))
        noise = perlin_noise((side, side), (rows, columns), generator)
        mask: Mask = noise > min(PERLIN_THRESHOLD, 0.75 * noise.max())
        if 0 < mask.mean() <= max(LARGEST_SHARE, 1 / side**2):
            return mask
