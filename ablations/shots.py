"""How many normal images of a category a row of a table sees."""

from __future__ import annotations

from typing import Literal

Shots = int | Literal["full"]
"""A number of support images, or all normal images of each category."""

Setting = int | Literal["full", "own"]
"""A column of a table: shots that all its rows have, or each row's ``own``."""


def is_shots(value: object) -> bool:
    """Whether a value is a whole number from 0, or ``"full"``."""
    return value == "full" or (type(value) is int and value >= 0)
