"""Anomaly maps at the size at which they are compared with masks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from promptad.scoring import resize_maps


def finished_maps(maps: Float[Tensor, "image row column"], *, size: int, smoothing: float) -> NDArray[np.float32]:
    """Maps upsampled bilinearly to ``size`` x ``size`` and smoothed by a Gaussian (deviation D13), float32.

    ``smoothing`` is the Gaussian's standard deviation in pixels of the result, 0 for none; the filter is cut off at
    four deviations.
    """
    resized: NDArray[np.float32] = resize_maps(maps.float(), size).cpu().numpy()
    if smoothing == 0:
        return resized
    return np.stack([gaussian_filter(single, sigma=smoothing) for single in resized])
