"""The columns of an arm in its table, and the number of support images of a cell in each."""

from __future__ import annotations

from collections.abc import Sequence

from ablations.arms import Arm
from ablations.shots import Setting, Shots
from promptad.datasets import Category


def settings_of(arm: Arm, columns: Sequence[Setting]) -> tuple[Setting, ...]:
    """The columns that an arm runs in: ``own`` if it has shots of its own, else all others."""
    return tuple(column for column in columns if (column == "own") == (arm.shots is not None))


def shots_of(arm: Arm, column: Setting) -> Shots:
    """The shots of an arm in one of its columns."""
    if column == "own":
        assert arm.shots is not None
        return arm.shots
    return column


def support_images(shots: Shots, category: Category) -> int:
    """How many support images a cell has: the shots, or all normal images."""
    return len(category.train) if shots == "full" else shots
