"""A group: the cells that one process computes one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from promptad.datasets import Category
from study.records.cell import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cells that share backbone, precision and category: they run in one process, one after the other."""

    category: Category
    cells: tuple[Cell, ...]
