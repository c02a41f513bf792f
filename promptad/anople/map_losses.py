"""The losses of AnoPLe (notes on its second version). Pure functions of tensors; each is a sum over views.

Sums, not means, so that views can be passed in parts. Probabilities are those of the anomaly prompt.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

SMOOTHING = 1.0
"""Added to both parts of Dice's ratio, so that an empty map on an empty mask is right."""

LEAST = 1e-6
"""Probabilities below it have its logarithm."""


def dice_loss(maps: Float[Tensor, "view row column"], masks: Float[Tensor, "view row column"]) -> Float[Tensor, ""]:
    """1 - (2 sum(M' M) + 1) / (sum M' + sum M + 1), summed over views: M' the map, M the mask (0 or 1)."""
    overlap = (maps * masks).flatten(1).sum(dim=1)
    whole = maps.flatten(1).sum(dim=1) + masks.flatten(1).sum(dim=1)
    losses: Tensor = 1 - (2 * overlap + SMOOTHING) / (whole + SMOOTHING)
    return losses.sum()


def focal_loss(
    maps: Float[Tensor, "view row column"], masks: Float[Tensor, "view row column"], power: float
) -> Float[Tensor, ""]:
    """The mean over pixels of -(1 - p)^power log p, p being the probability of the pixel's own class; summed."""
    own = torch.where(masks > 0, maps, 1 - maps)
    losses = -((1 - own).clamp(min=0) ** power) * own.clamp(min=LEAST).log()
    return losses.flatten(1).mean(dim=1).sum()


def image_loss(
    global_features: Float[Tensor, "view embed"],
    prototypes: Float[Tensor, "2 embed"],
    inverse_temperature: float,
    *,
    anomalous: bool,
) -> Float[Tensor, ""]:
    """Cross-entropy between the normal and the anomaly prompt of l2-normalised global features, summed."""
    logits = (global_features @ prototypes.T * inverse_temperature).float()
    losses: Tensor = -logits.log_softmax(dim=-1)[:, int(anomalous)]
    return losses.sum()


def alignment_to_local(
    global_features: Float[Tensor, "view embed"],
    vectors: Float[Tensor, "view embed row column"],
    maps: Float[Tensor, "view row column"],
) -> Float[Tensor, ""]:
    """1 - <z, s>, summed: s is the sum of all patches' vectors weighted by the map, z and s of length 1."""
    weighted = torch.einsum("verc,vrc->ve", vectors, maps)
    losses: Tensor = 1 - (global_features * normalize(weighted, dim=-1)).sum(dim=-1)
    return losses.sum()
