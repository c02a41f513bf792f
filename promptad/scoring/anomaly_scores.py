"""From features to anomaly scores and maps (section 4.4). Pure functions of tensors; scores are in [0, 1]."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from promptad.backbones.towers import grid_side
from promptad.scoring.neighbours import TILE


def prompt_score(
    z: Float[Tensor, "*batch embed"],
    normal_prototype: Float[Tensor, " embed"],
    anomaly_prototype: Float[Tensor, " embed"],
    inverse_temperature: float,
) -> Float[Tensor, "*batch"]:
    """Probability of the anomaly prototype (eq. 16; the paper prints the normal one, eq. 17-18 mean this one)."""
    logits = z @ torch.stack([normal_prototype, anomaly_prototype], dim=-1) * inverse_temperature
    return logits.softmax(dim=-1)[..., 1]


def visual_map(
    queries: Sequence[Float[Tensor, "image patch width"]], memories: Sequence[Float[Tensor, "entry width"]]
) -> Float[Tensor, "image row column"]:
    """Vision-guided map M_v (eq. 8): half the cosine distance to the nearest memory entry, averaged over layers.

    One query and one memory per layer, l2-normalised. Layers with different grids (ResNet stages) are upsampled
    bilinearly to the finest one before averaging. A memory is searched in tiles (``neighbours.TILE``).
    """
    maps = []
    for query, memory in zip(queries, memories, strict=True):
        step = max(1, TILE // (query.shape[0] * query.shape[1]))
        nearest = functools.reduce(torch.maximum, ((query @ part.T).amax(dim=-1) for part in memory.split(step)))
        side = grid_side(query.shape[1])
        maps.append((0.5 * (1 - nearest)).clamp(min=0).unflatten(-1, (side, side)))
    finest = max(layer.shape[-1] for layer in maps)
    return torch.stack([resize_maps(layer, finest) for layer in maps]).mean(dim=0)


def harmonic_fusion(first: Float[Tensor, "*shape"], second: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / (1 / first + 1 / second) of eq. 17-18: half the harmonic mean; 0 where either is 0, NaN where either is."""
    total = first + second
    # In this order of the comparison, NaN does not become 0.
    return torch.where(total <= 0, 0, first * second / total.clamp(min=torch.finfo(total.dtype).tiny))


def resize_maps(maps: Float[Tensor, "image row column"], size: int) -> Float[Tensor, "image size size"]:
    """Bilinear resize to ``size`` x ``size`` (half-pixel centres); maps of that size are returned as they are."""
    if maps.shape[-2:] == (size, size):
        return maps
    return interpolate(maps[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
