"""The three losses of prompt learning, and the prototypes they and the scores share. Pure functions of tensors.

``z`` are l2-normalised visual features of normal images: the global feature for the image task (image x embed), all
local features for the pixel task (image x patch x embed). Prompt features are as the text tower gives them.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def prototype(features: Float[Tensor, "prompt embed"]) -> Float[Tensor, " embed"]:
    """Mean of prompt features, l2-normalised (w-bar of eq. 12-14; the cosine of eq. 12 and 16 normalises it)."""
    return normalize(features.mean(dim=0), dim=-1)


def contrastive_loss(
    z: Float[Tensor, "*batch embed"],
    normal: Float[Tensor, "prompt embed"],
    anomaly: Float[Tensor, "prompt embed"],
    inverse_temperature: float,
) -> Float[Tensor, ""]:
    """Eq. 12: cross-entropy of ``z`` between the normal prototype and every single anomaly prompt."""
    candidates = torch.cat([prototype(normal)[None], normalize(anomaly, dim=-1)])
    logits = (z @ candidates.T * inverse_temperature).flatten(0, -2)
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def margin_loss(
    z: Float[Tensor, "*batch embed"],
    normal: Float[Tensor, "prompt embed"],
    anomaly: Float[Tensor, "prompt embed"],
    distance: Literal["euclidean", "squared_over_second_axis"],
    margin: float = 0.0,
) -> Float[Tensor, ""]:
    """Eq. 13, the explicit anomaly margin: the mean of max(0, d(z, normal) - d(z, anomaly) + margin).

    Distances are to the two prototypes. The paper prints no ``margin``. Euclidean distances of unit vectors are at most
    2, so from a margin of 2 on the hinge is always active.
    ``squared_over_second_axis`` (deviation D6) sums squared differences over axis 1: the embedding for the image
    task, but the *patches* for the pixel task, so that the hinge acts per channel.
    """
    to_normal, to_anomaly = z - prototype(normal), z - prototype(anomaly)
    if distance == "euclidean":
        difference = to_normal.norm(dim=-1) - to_anomaly.norm(dim=-1)
    else:
        difference = to_normal.square().sum(dim=1) - to_anomaly.square().sum(dim=1)
    hinge: Tensor = (difference + margin).clamp(min=0)
    return hinge.mean()


def alignment_loss(
    manual: Float[Tensor, "prompt embed"],
    learnable: Float[Tensor, "prompt embed"],
    order: Literal["normalised_means", "means_of_normalised"],
) -> Float[Tensor, ""]:
    """Eq. 15 without lambda: squared distance between the mean manual and the mean learnable anomaly feature.

    ``means_of_normalised`` (deviation D7) normalises each feature first and not the means.
    """
    if order == "normalised_means":
        difference = prototype(manual) - prototype(learnable)
    else:
        difference = normalize(manual, dim=-1).mean(dim=0) - normalize(learnable, dim=-1).mean(dim=0)
    return difference.square().sum()
