"""The rules by which the grey values of a 16-bit file become the 256 levels that a model can see."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

BitDepth: TypeAlias = Literal["by_maximum", "full_range", "8_bits", "10_bits", "12_bits", "14_bits", "percentile"]
"""``by_maximum``: the file's own depth is the smallest of 8, 10, 12, 14 and 16 bits that holds its largest value.
``full_range``: 16 bits, whatever the values. ``8_bits`` to ``14_bits``: that depth, and a larger value is an error.
``percentile``: the file's 0.5th percentile becomes black, its 99.5th white. Files with 8 bits are never scaled."""

FIXED: Mapping[BitDepth, int] = {"8_bits": 8, "10_bits": 10, "12_bits": 12, "14_bits": 14, "full_range": 16}
"""The rules by which every file has the same number of bits."""


def fixed_depth(bits: int) -> BitDepth:
    """The rule by which every file has ``bits`` (8, 10, 12, 14 or 16)."""
    return next(rule for rule, depth in FIXED.items() if depth == bits)
