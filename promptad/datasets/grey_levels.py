"""Grey values of a 16-bit file as the 256 levels that a model can see."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptad.datasets.bit_depth import FIXED, BitDepth, fixed_depth

DEPTHS = (8, 10, 12, 14, 16)
LOWEST, HIGHEST = 0.5, 99.5


def stored_bits(values: NDArray[Any]) -> int:
    """The smallest of ``DEPTHS`` that holds every value.

    Raises:
        ValueError: values out of 0..65535.
    """
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 65535:
        raise ValueError(f"integer pixels must be in 0..65535, but span {low}..{high}")
    return next(bits for bits in DEPTHS if high < 2**bits)


def to_8_bits(values: NDArray[Any], rule: BitDepth) -> NDArray[np.uint8]:
    """Integers in 0..65535 as 0..255 by ``rule``, halves up.

    Raises:
        ValueError: values out of 0..65535, or above the depth that the rule fixes.
    """
    bits = stored_bits(values)
    if rule == "percentile":
        low, high = np.percentile(values, (LOWEST, HIGHEST)) if values.size else (0.0, 1.0)
        scaled = (values - low) / max(high - low, 1.0) * 255
        return np.asarray(np.floor(np.clip(scaled, 0, 255) + 0.5), dtype=np.uint8)
    depth = bits if rule == "by_maximum" else FIXED[rule]
    if bits > depth:
        raise ValueError(
            f"bit_depth {rule} holds values up to {2**depth - 1}, but the largest is {int(values.max())}: "
            f"use {fixed_depth(bits)} or more"
        )
    top = 2**depth - 1
    return np.asarray((values.astype(np.int64) * 510 + top) // (2 * top), dtype=np.uint8)
