"""The pixel metrics of ``metrics.py`` as operations on tensors, for accelerators: the same numbers from one sort.

Whatever of the masks does not change with the scores (which pixels are anomalous, and the weight of each) is put on the
device once. AUROC are integers up to one division, and so equal to the bit to those of ``metrics.py`` on the same maps;
PRO is a sum in another order, within 1e-15.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from promptad.scoring import metrics
from promptad.scoring.anomaly_scores import resize_maps
from promptad.scoring.maps import IMAGES_AT_ONCE


class DeviceTruth:
    """Masks of a test set on a device: image x size x size, some images at a time.

    Raises:
        ValueError: no pixel is anomalous, or none is normal.
    """

    def __init__(self, masks: Iterable[NDArray[np.bool_]], device: torch.device | str) -> None:
        anomalous, regions = list[NDArray[np.bool_]](), metrics.Regions()
        for part in masks:
            anomalous.append(part)
            regions.add(part)
        whole = np.concatenate(anomalous)
        flat = whole.reshape(-1)
        weights = metrics.region_weights(regions.of_pixels(flat.size))
        self._masks = torch.from_numpy(whole).to(device)
        self._anomalous, self._normal = (
            torch.from_numpy(np.flatnonzero(each).astype(np.int32)).to(device) for each in (flat, ~flat)
        )
        self._weights = torch.from_numpy(weights).to(device)

    def pixel_metrics(self, maps: Float[Tensor, "image size size"], *, max_fpr: float = 0.3) -> metrics.PixelMetrics:
        """`metrics.pixel_metrics` of finished maps on the device.

        Raises:
            ValueError: the maps have another shape than the masks, or are not finite.
        """
        below, not_above, n_normal = self._ranks(maps)
        limit = max_fpr * n_normal
        ties = (not_above - below).double()
        room = (limit - (n_normal - not_above).double()).clamp(min=0)
        area = torch.where(room >= ties, room - ties / 2, room * room / (2 * ties.clamp(min=1)))
        pro = float((self._weights * area).sum()) / limit
        return metrics.PixelMetrics(pixel_auroc=_share(below, not_above, n_normal), pro=pro)

    def pixel_auroc(self, maps: Float[Tensor, "image size size"]) -> float:
        """`metrics.pixel_auroc` of finished maps on the device; errors are those of `pixel_metrics`."""
        return _share(*self._ranks(maps))

    def located(self, maps: Float[Tensor, "image size size"]) -> dict[int, tuple[float, float]]:
        """By its number, of each image with anomalous and normal pixels: its own AUROC, and its anomalous share."""
        found: dict[int, tuple[float, float]] = {}
        for start in range(0, len(maps), IMAGES_AT_ONCE):
            part = slice(start, start + IMAGES_AT_ONCE)
            located = _located(maps[part].flatten(1), self._masks[part].flatten(1))
            found |= {start + number: value for number, value in located.items()}
        return found

    def _ranks(self, maps: Tensor) -> tuple[Tensor, Tensor, int]:
        if maps.shape != self._masks.shape:
            raise ValueError(
                f"maps must have the masks' shape {tuple(self._masks.shape)}, but have {tuple(maps.shape)}"
            )
        flat = maps.flatten()
        normal = flat.index_select(0, self._normal).sort().values
        scores = flat.index_select(0, self._anomalous)
        below, not_above = (torch.searchsorted(normal, scores, right=right) for right in (False, True))
        if not bool(torch.isfinite(flat).all()):
            raise ValueError(
                f"maps must be finite, but {int((~torch.isfinite(flat)).sum())} of {flat.numel()} are not: "
                "look for a diverged fit or an overflow in half precision"
            )
        return below, not_above, len(normal)


def finished_on(
    device: torch.device | str, maps: Float[Tensor, "image row column"], *, size: int, smoothing: float
) -> Float[Tensor, "image size size"]:
    """`maps.finished_maps` on a device: the Gaussian as two products of matrices, equal up to rounding."""
    resized = resize_maps(maps.to(device).float(), size)
    if smoothing == 0:
        return resized
    # What the filter does to each unit vector is its matrix, with its borders and where it is cut off.
    one_way = gaussian_filter1d(np.eye(size), sigma=smoothing, axis=0)
    # In double, whose products have no short form: the metric's own filter has no precision of the model's.
    kernel = torch.from_numpy(one_way).to(device)
    return torch.cat([(kernel @ part.double() @ kernel.T).float() for part in resized.split(IMAGES_AT_ONCE)])


def _share(below: Tensor, not_above: Tensor, n_normal: int) -> float:
    return int(below.sum() + not_above.sum()) / (2 * n_normal * below.numel())


def _located(flat: Float[Tensor, "image pixel"], masks: Tensor) -> dict[int, tuple[float, float]]:
    order = flat.argsort(dim=1)
    values, marked = flat.gather(1, order).contiguous(), masks.gather(1, order)
    normal_before = torch.nn.functional.pad((~marked).long().cumsum(1), (1, 0))
    ranks = [normal_before.gather(1, torch.searchsorted(values, values, right=right)) for right in (False, True)]
    wins = ((ranks[0] + ranks[1]) * marked).sum(1)
    sizes = masks.sum(1)
    found: dict[int, tuple[float, float]] = {}
    pixels = flat.shape[1]
    for number, (won, size) in enumerate(zip(wins.tolist(), sizes.tolist(), strict=True)):
        if 0 < size < pixels:
            found[number] = won / (2 * size * (pixels - size)), size / pixels
    return found
