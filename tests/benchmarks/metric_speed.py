"""Metrics against scikit-learn and a per-region loop: equal values, and the ratio of their times."""

from __future__ import annotations

from typing import Any

import machine
import numpy as np
from adeval.au_pro import calculate_au_pro
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from promptad.scoring import metrics

SIZES = ((160, 240), (160, 400))
PRO_IMAGES = 16


def measure() -> list[dict[str, Any]]:
    """One entry per metric and size."""
    draws = np.random.default_rng(0)
    entries = []
    for images, side in SIZES:
        masks, maps = _problem(draws, images, side)
        flat = masks.ravel(), maps.ravel()
        entries.append(
            _entry(
                f"pixel AUROC, {images} x {side} x {side}",
                "scikit-learn",
                lambda masks=masks, maps=maps: metrics.pixel_auroc(masks, maps),
                lambda flat=flat: float(roc_auc_score(*flat)),
            )
        )
        few = masks[-PRO_IMAGES:], maps[-PRO_IMAGES:]
        entries.append(
            _entry(
                f"PRO, {PRO_IMAGES} x {side} x {side}",
                "a loop over regions, on scikit-learn's ROC curve",
                lambda few=few: metrics.per_region_overlap(*few),
                lambda few=few: _looped_overlap(*few),
            )
        )
    masks, maps = _problem(draws, 8, 240)
    entries.append(
        _entry(
            "PRO, 8 x 240 x 240",
            "MVTec's evaluation code as packaged in ADEval, every threshold",
            lambda: metrics.per_region_overlap(masks, maps),
            lambda: float(calculate_au_pro(masks, maps, num_thresholds=int((~masks).sum()))[0]),
        )
    )
    labels, scores = draws.random(2000) < 0.7, draws.random(2000)
    pairs = (
        ("image AUROC, 2000 images", metrics.auroc, roc_auc_score),
        ("image AUPR, 2000 images", metrics.average_precision, average_precision_score),
    )
    for name, ours, theirs in pairs:
        entries.append(
            _entry(
                name,
                "scikit-learn",
                lambda ours=ours: ours(labels, scores),
                lambda theirs=theirs: float(theirs(labels, scores)),
            )
        )
    return entries


def _entry(name: str, against: str, ours: Any, theirs: Any) -> dict[str, Any]:
    difference = abs(ours() - theirs())
    mine, reference = machine.seconds(ours), machine.once(theirs)
    return {
        "metric": name,
        "against": against,
        "difference": difference,
        "ours_seconds": mine,
        "reference_seconds": reference,
        "ratio": reference / mine,
    }


def _problem(draws: np.random.Generator, images: int, side: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Smooth maps with a blob per anomalous image, half of the images normal."""
    masks = np.zeros((images, side, side), dtype=bool)
    rows, columns = np.mgrid[:side, :side]
    for index in range(images // 2, images):
        for _ in range(2):
            centre, radius = draws.integers(0, side, 2), side * draws.uniform(0.03, 0.1)
            masks[index] |= np.hypot(rows - centre[0], columns - centre[1]) < radius
    noise = np.stack([gaussian_filter(draws.normal(size=(side, side)), 4) for _ in range(images)])
    return masks, (noise / noise.std() + 1.5 * masks).astype(np.float32)


def _looped_overlap(masks: NDArray[np.bool_], maps: NDArray[np.float32], limit: float = 0.3) -> float:
    """PRO region by region: each region's overlap at every threshold of the ROC curve, averaged, integrated."""
    false_positives, _, thresholds = roc_curve(masks.ravel(), maps.ravel(), drop_intermediate=False)
    overlaps = np.zeros(len(thresholds))
    regions = 0
    for mask, anomaly_map in zip(masks, maps, strict=True):
        components, count = label(mask, structure=np.ones((3, 3)))
        for number in range(1, count + 1):
            inside = np.sort(anomaly_map[components == number])
            overlaps += 1 - np.searchsorted(inside, thresholds, side="left") / len(inside)
            regions += 1
    overlaps /= regions
    within = false_positives <= limit
    last = np.interp(limit, false_positives, overlaps)
    x = np.append(false_positives[within], limit)
    return float(auc(x, np.append(overlaps[within], last)) / limit)
