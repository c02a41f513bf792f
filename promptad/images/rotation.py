"""Copies of an image turned about its centre, evenly over the whole circle."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from promptad.images.preparation import Pixels


def rotated_copies(pixels: Pixels, copies: int) -> list[Pixels]:
    """A square image (side, side, 3), uint8, turned by 0, 360 / ``copies``, ... degrees counter-clockwise, in order.

    Bicubic; what enters from outside is the image reflected at its border. The first copy is the image, and quarter
    turns move pixels without changing one.

    Raises:
        ValueError: no copy, or pixels of another type or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] != pixels.shape[1] or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 of shape (side, side, 3), but got {pixels.dtype} {pixels.shape}")
    if copies < 1:
        raise ValueError(f"copies must be at least 1, but got {copies}")
    side = len(pixels)
    # A corner's distance from the centre beyond half a side, and 2 pixels of bicubic support.
    margin = min(side - 1, math.ceil((math.sqrt(2) - 1) * side / 2) + 2)
    padded = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect"))
    turned = []
    for number in range(copies):
        whole = np.array(padded.rotate(360 * number / copies, Image.Resampling.BICUBIC), dtype=np.uint8)
        turned.append(whole[margin : margin + side, margin : margin + side].copy())
    return turned
