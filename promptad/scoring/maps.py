"""Anomaly maps at the size at which they are compared with masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from promptad.scoring.anomaly_scores import resize_maps


def finished_maps(maps: Float[Tensor, "image row column"], *, size: int, smoothing: float) -> NDArray[np.float32]:
    """Maps upsampled bilinearly to ``size`` x ``size`` and smoothed by a Gaussian (deviation D13), float32.

    ``smoothing`` is the Gaussian's standard deviation in pixels of the result, 0 for none; the filter is cut off at
    four deviations.
    """
    resized: NDArray[np.float32] = resize_maps(maps.float(), size).cpu().numpy()
    if smoothing == 0:
        return resized
    return np.stack([gaussian_filter(single, sigma=smoothing) for single in resized])


IMAGES_AT_ONCE = 64
"""Maps that are finished together."""

HELD_PIXELS = 2**26
"""Upper bound on the pixels of finished maps that are held between uses: a quarter of a gigabyte."""


class FinishedMaps:
    """The `finished_maps` of a test set, some images at a time; can be iterated repeatedly.

    A set of up to ``HELD_PIXELS`` pixels is finished once and held. A larger one is finished again each time, so that
    memory does not grow with the number of images.
    """

    def __init__(self, maps: Float[Tensor, "image row column"], *, size: int, smoothing: float) -> None:
        self._maps, self._size, self._smoothing = maps, size, smoothing
        self._held: list[NDArray[np.float32]] | None = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Finished maps of consecutive images: image x size x size, at most ``IMAGES_AT_ONCE`` at a time."""
        if self._held is not None:
            return iter(self._held)
        if len(self._maps) * self._size**2 > HELD_PIXELS:
            return self._finish()
        self._held = list(self._finish())
        return iter(self._held)

    def _finish(self) -> Iterator[NDArray[np.float32]]:
        for part in self._maps.split(IMAGES_AT_ONCE):
            yield finished_maps(part, size=self._size, smoothing=self._smoothing)
