"""A group: the cells that one process computes one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from promptad.datasets import Category
from study.records.cell import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cells that share backbone, precision and data: they run in one process, one after the other.

    ``categories`` are all that its cells look at: the one of all of them, or the pool of those that share a model.
    """

    categories: tuple[Category, ...]
    cells: tuple[Cell, ...]
