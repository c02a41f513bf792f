"""Cells in groups, each of which one process computes."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from promptad.datasets import Category
from study.records.cell import Cell, company_of
from study.records.group import Group

GROUP_SIZE = 32
"""Upper bound on the cells of a group: small enough to spread over workers, large enough for cheap scheduling. Only the
cells of one training may be more."""


def cell_groups(cells: Iterable[Cell], categories: Mapping[str, Category]) -> list[Group]:
    """Cells in groups, in a fixed order: of one backbone, one precision, and one category or one pool.

    Cells of equal preprocessing stand together, among them those that can learn together. Those of one training are
    neighbours in one group, so that one process learns it, once.
    """
    by_key: dict[tuple[tuple[str, ...], str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        looked_at = tuple(member.category for member in cell.pool) or (cell.category,)
        by_key[looked_at, cell.backbone, cell.config.precision].append(cell)
    return [
        Group(categories=tuple(categories[name] for name in names), cells=tuple(part))
        for (names, _, _), of_key in sorted(by_key.items())
        for part in _portions(sorted(of_key, key=_place))
    ]


def _place(cell: Cell) -> tuple[object, ...]:
    """The order of cells in their groups."""
    company = company_of(cell, mixed=False)
    own = (f"{cell.method} {cell.config}", cell.category) if cell.pool else (cell.digest,)
    return (cell.config.resize, repr(company or ""), cell.task, cell.shots, cell.seed, *own)


def _portions(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    portion: list[Cell] = []
    for _, together in itertools.groupby(cells, key=lambda cell: cell.training or cell.digest):
        part = list(together)
        if portion and len(portion) + len(part) > GROUP_SIZE:
            yield portion
            portion = []
        portion += part
    if portion:
        yield portion
