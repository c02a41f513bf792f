"""Metrics of anomaly detection and localisation, exact for every distinct score and with ties.

Everywhere a higher score is more anomalous, scores may be any finite numbers, and results are fractions in [0, 1].
All of it rests on one observation: the ranks of the anomalous samples among the sorted normal ones are enough, so
only the normal scores are sorted and no curve is ever built. Ranks add up over parts of the normal samples, so maps
are sorted, and may be given, some images at a time (`Parts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Counts: TypeAlias = npt.NDArray[np.int64]

Parts: TypeAlias = Iterable[tuple[Bools, Floats]]
"""Masks and maps of a test set, each image x height x width, some images at a time. It is iterated twice and must
yield the same both times: a list or an object with ``__iter__``, not an iterator."""

PIXELS_AT_ONCE = 2**22
"""Number of pixels that are sorted together: bounds the memory of metrics beside the maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelMetrics:
    """Pixel-level scores of a test set: ``pixel_auroc`` and per-region overlap ``pro``, fractions in [0, 1]."""

    pixel_auroc: float
    pro: float


def auroc(anomalous: Bools, scores: Floats) -> float:
    """Area under the ROC curve: the chance that an anomalous sample outscores a normal one, ties counting half.

    Args:
        anomalous: shape (n,), True where the sample is anomalous.
        scores: shape (n,), finite, any range; higher is more anomalous.

    Returns:
        Mann-Whitney U / (normal * anomalous) in [0, 1], from integer counts: 0.5 for constant scores.

    Raises:
        ValueError: shapes or types do not fit, scores not finite, or only one class present.
    """
    normal, positive = _split_samples("AUROC", anomalous, scores)
    below, not_above = np.searchsorted(normal, positive, "left"), np.searchsorted(normal, positive, "right")
    return _win_share(below, not_above, n_normal=normal.size)


def average_precision(anomalous: Bools, scores: Floats) -> float:
    """Average precision (the papers' image AUPR): sum over thresholds of (R_k - R_{k-1}) * P_k, not interpolated.

    Equal to the mean, over the anomalous samples, of the precision when the threshold is that sample's score; a
    chance-level score gives the share of anomalous samples. Arguments and errors are those of `auroc`.
    """
    normal, positive = _split_samples("average precision", anomalous, scores)
    positive.sort()
    true_positives = positive.size - np.searchsorted(positive, positive, "left")
    false_positives = normal.size - np.searchsorted(normal, positive, "left")
    return float(np.mean(true_positives / (true_positives + false_positives)))


def image_measures(anomalous: Bools, scores: Floats) -> dict[str, float]:
    """The image task's metrics by name: arguments and errors are those of `auroc`."""
    return {"image_auroc": auroc(anomalous, scores), "image_aupr": average_precision(anomalous, scores)}


def pixel_measures(parts: Parts) -> dict[str, float]:
    """The pixel task's metrics by name, from one sort: arguments and errors are those of `pixel_metrics`."""
    found = pixel_metrics_of(parts)
    return {"pixel_auroc": found.pixel_auroc, "pro": found.pro}


def pixel_auroc(masks: Bools, maps: Floats) -> float:
    """`auroc` over all pixels of all images together; exact at the maps' own precision.

    Args:
        masks: shape (image, height, width), True where a pixel is anomalous; normal images are all False.
        maps: the same shape, finite anomaly scores, any range.

    Raises:
        ValueError: shapes or types do not fit, maps not finite, or no normal or no anomalous pixel.
    """
    return pixel_auroc_of(split(masks, maps))


def pixel_auroc_of(parts: Parts) -> float:
    """`pixel_auroc` of a test set in parts; the same number, to the bit."""
    anomalous, _, n_normal = _anomalous_pixels(parts)
    below, not_above = _pixel_ranks(parts, np.sort(anomalous))
    return _win_share(below, not_above, n_normal=n_normal)


def per_region_overlap(masks: Bools, maps: Floats, *, max_fpr: float = 0.3) -> float:
    """PRO: see `pixel_metrics`, which computes both from one sort."""
    return pixel_metrics(masks, maps, max_fpr=max_fpr).pro


def pixel_metrics(masks: Bools, maps: Floats, *, max_fpr: float = 0.3) -> PixelMetrics:
    """Pixel AUROC and per-region overlap (PRO, Bergmann et al., IJCV 2021) from one sort of the normal pixels.

    PRO(t) is the mean, over the 8-connected regions of the masks (as in MVTec's evaluation code), of the share of a
    region scoring >= t: a small region weighs as much as a large one. It is integrated over the false positive rate
    of the normal pixels of all images, by trapezoids between the points of all distinct scores and linearly up to
    ``max_fpr``, and divided by ``max_fpr``. Chance level is max_fpr / 2, not 0.5. Memory: a sorted copy of
    ``PIXELS_AT_ONCE`` pixels and some 60 bytes per anomalous pixel. Arguments and errors are those of `pixel_auroc`.

    Raises:
        ValueError: also if ``max_fpr`` is not in (0, 1].
    """
    return pixel_metrics_of(split(masks, maps), max_fpr=max_fpr)


def pixel_metrics_of(parts: Parts, *, max_fpr: float = 0.3) -> PixelMetrics:
    """`pixel_metrics` of a test set in parts; the same numbers, to the bit."""
    if not 0.0 < max_fpr <= 1.0:
        raise ValueError(f"max_fpr must be in (0, 1], but got {max_fpr}: the papers use 0.3")
    anomalous, region, n_normal = _anomalous_pixels(parts)
    order = np.argsort(anomalous)  # ranks of sorted values are found eight times faster: they stay in the cache
    below, not_above = _pixel_ranks(parts, anomalous[order])
    weights = region_weights(region)[order]

    # Seen by one anomalous pixel, the curve is 0 up to `enter` false positives (the normal pixels above it), rises
    # in a straight line over its ties, and stays 1. PRO is the weighted sum of these, so is its area up to `limit`.
    limit = max_fpr * n_normal
    weighted = np.empty_like(weights)
    for start in range(0, weights.size, PIXELS_AT_ONCE):
        part = slice(start, start + PIXELS_AT_ONCE)
        ties = not_above[part] - below[part]
        room = np.maximum(limit - (n_normal - not_above[part]), 0.0)
        area = np.where(room >= ties, room - ties / 2, room * room / (2 * np.maximum(ties, 1)))
        weighted[part] = weights[part] * area
    return PixelMetrics(
        pixel_auroc=_win_share(below, not_above, n_normal=n_normal), pro=float(np.sum(weighted) / limit)
    )


def split(masks: Bools, maps: Floats) -> list[tuple[Bools, Floats]]:
    """Arrays of a whole test set as `Parts` of about ``PIXELS_AT_ONCE`` pixels; nothing is copied.

    Raises:
        ValueError: the shapes are not two equal (image, height, width).
    """
    _check_shapes(masks, maps)
    images = max(1, PIXELS_AT_ONCE // max(1, masks[:1].size))
    return [(masks[start : start + images], maps[start : start + images]) for start in range(0, len(masks), images)]


def _anomalous_pixels(parts: Parts) -> tuple[Floats, Counts, int]:
    """Scores of all anomalous pixels, the region (counted through the test set) of each, and how many are normal."""
    scores: list[Floats] = []
    regions = Regions()
    n_pixels = 0
    for masks, maps in parts:
        _check_shapes(masks, maps)
        _check_boolean("masks", masks)
        _check_finite("maps", maps)
        n_pixels += masks.size
        scores.append(maps[masks])
        regions.add(masks)
    of_pixels = regions.of_pixels(n_pixels)
    return np.concatenate(scores), of_pixels, n_pixels - of_pixels.size


class Regions:
    """The 8-connected regions of masks, counted through a test set that comes some images at a time."""

    def __init__(self) -> None:
        self._found: list[Counts] = []
        self._number = 0

    def add(self, masks: Bools) -> None:
        """Further images: image x height x width."""
        for mask in masks[masks.any(axis=(1, 2))]:
            labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=int))
            self._found.append(labels[mask].astype(np.int64) + (self._number - 1))
            self._number += count

    def of_pixels(self, n_pixels: int) -> Counts:
        """The region of each anomalous pixel, in the order of the pixels; ``n_pixels`` are all that were added.

        Raises:
            ValueError: no pixel is anomalous, or all are.
        """
        if not self._found:
            raise ValueError(
                f"pixel metrics need an anomalous pixel, but all {n_pixels} pixels are normal: check the masks"
            )
        found = np.concatenate(self._found)
        if found.size == n_pixels:
            raise ValueError(
                f"pixel metrics need a normal pixel, but all {n_pixels} pixels are anomalous: check the masks"
            )
        return found


def region_weights(region: Counts) -> npt.NDArray[np.float64]:
    """For every anomalous pixel 1 / (pixels of its region * regions); sums to 1."""
    sizes = np.bincount(region)
    return (1.0 / (sizes * sizes.size))[region]


def _win_share(below: Counts, not_above: Counts, *, n_normal: int) -> float:
    """Share of (normal, anomalous) pairs in the right order, ties half; integers up to the one division."""
    return (int(below.sum()) + int(not_above.sum())) / (2 * n_normal * below.size)


def _pixel_ranks(parts: Parts, anomalous: Floats) -> tuple[Counts, Counts]:
    """How many normal pixels of all images are below, and how many not above, each of the sorted anomalous scores."""
    below = np.zeros(anomalous.size, dtype=np.int64)
    not_above = np.zeros(anomalous.size, dtype=np.int64)
    for masks, maps in parts:
        normal = np.sort(maps[~masks])
        below += np.searchsorted(normal, anomalous, "left")
        not_above += np.searchsorted(normal, anomalous, "right")
    return below, not_above


def _split_samples(metric: str, anomalous: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Sorted normal scores and unsorted anomalous scores, after all checks."""
    if anomalous.ndim != 1 or anomalous.shape != scores.shape:
        raise ValueError(
            f"anomalous and scores must have the same shape (n,), but got {anomalous.shape} and {scores.shape}"
        )
    _check_boolean("anomalous", anomalous)
    _check_finite("scores", scores)
    n_anomalous = int(np.count_nonzero(anomalous))
    if n_anomalous in (0, anomalous.size):
        raise ValueError(
            f"{metric} needs normal and anomalous samples, but got {n_anomalous} anomalous of {anomalous.size}: "
            "check the test split"
        )
    return np.sort(scores[~anomalous]), scores[anomalous]


def _check_shapes(masks: Bools, maps: Floats) -> None:
    if masks.ndim != 3 or masks.shape != maps.shape:
        raise ValueError(
            "masks and maps must have the same shape (image, height, width), "
            f"but got {masks.shape} and {maps.shape}: resize one to the other"
        )


def _check_boolean(name: str, values: npt.NDArray[Any]) -> None:
    # An integer array would be taken as indices by scores[anomalous] and give a wrong number without complaint.
    if values.dtype != np.bool_:
        raise ValueError(f"{name} must be boolean, but is {values.dtype}: compare it first, e.g. {name} > 0")


def _check_finite(name: str, values: Floats) -> None:
    # NaN and infinities show in the extremes, which need no array of their own.
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        raise ValueError(
            f"{name} must be finite, but {bad} of {values.size} are NaN or infinite: "
            "look for a diverged fit or an overflow in half precision"
        )
