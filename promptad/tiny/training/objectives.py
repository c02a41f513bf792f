"""The losses that the tiny model is trained with: pure functions of normalised features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MEMORY_MIDPOINT = 0.15
MEMORY_SHARPNESS = 25.0


def multi_positive_contrastive(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of logits (image, text) against the uniform distribution over each row's true texts, both ways."""

    def one_way(scores: Tensor, positive: Tensor) -> Tensor:
        positive = positive.float()
        rows = positive.sum(dim=1) > 0
        target = positive[rows] / positive[rows].sum(dim=1, keepdim=True)
        return -(target * F.log_softmax(scores[rows], dim=1)).sum(dim=1).mean()

    return 0.5 * (one_way(logits, truth) + one_way(logits.T, truth.T))


def anomaly_logits(features: Tensor, normal: Tensor, anomalous: Tensor, scale: Tensor | float) -> Tensor:
    """Log-odds of "anomalous" (pair, ...) for features (pair, ..., c) against one text of each state (pair, c)."""
    difference = anomalous - normal
    while difference.dim() < features.dim():
        difference = difference.unsqueeze(1)
    return scale * (features * difference).sum(dim=-1)


def dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 - Dice overlap of probability maps with masks, both (image, patch), averaged over images."""
    overlap = 2.0 * (probability * target).sum(dim=1) + 1.0
    return (1.0 - overlap / (probability.sum(dim=1) + target.sum(dim=1) + 1.0)).mean()


def patch_cover(masks: Tensor, patch: int) -> Tensor:
    """Share of each patch that a mask (image, size, size) covers: (image, patches) in [0, 1], row-major."""
    return F.avg_pool2d(masks.float().unsqueeze(1), patch).flatten(1)


def pooled(features: Tensor, weight: Tensor) -> Tensor:
    """Normalised mean of patch features (image, patch, c) under weights (image, patch)."""
    total = (features * weight.unsqueeze(-1)).sum(dim=1)
    return F.normalize(total / weight.sum(dim=1, keepdim=True).clamp_min(1e-6), dim=-1)


def nearest_distance(query: Tensor, memory: Tensor) -> Tensor:
    """PromptAD eq. 12's visual map: 0.5 (1 - cosine) to the nearest patch of the paired memory; in [0, 1].

    Args:
        query: normalised patches (image, patch, d).
        memory: normalised patches (image, other patch, d), one memory per image.
    """
    return 0.5 * (1.0 - torch.bmm(query, memory.transpose(1, 2)).amax(dim=-1))


def few_shot_loss(distance: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of memory distances (image, patch) against patch labels, per patch and for the maximum."""
    logits = MEMORY_SHARPNESS * (distance - MEMORY_MIDPOINT)
    patches = balanced_cross_entropy(logits, target)
    # the three worst patches, not the worst one: a smoother stand-in for the maximum used at inference
    worst = logits.topk(3, dim=1).values.mean(dim=1)
    return patches + 0.5 * F.binary_cross_entropy_with_logits(worst, (target.amax(dim=1) > 0.25).float())


def balanced_cross_entropy(logits: Tensor, target: Tensor, weight: float = 4.0) -> Tensor:
    """Binary cross-entropy with defective patches weighted up, for they are few."""
    return F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(weight))
