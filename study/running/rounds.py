"""The order of a study's rounds: which cells run together, which once more alone, and which end as failed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from study.records.cell import Cell
from study.records.failure import Failure
from study.records.group import Group
from study.records.row import Row
from study.running.dispatcher import RoundEnd
from study.running.row_desk import failed_row

NODE_LOSSES = 8
"""Number of lost nodes after which a cell counts as the cause."""

BARREN_ROUNDS = 2
"""Number of rounds without any new row or lost node after which their cells end as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Groups to run. ``earlier``: None in an ordinary round; else cells run alone, and these are their failures."""

    groups: tuple[Group, ...]
    earlier: Mapping[str, str] | None

    @property
    def alone(self) -> bool:
        """Whether each cell gets a whole device."""
        return self.earlier is not None


def spread(groups: Sequence[Group], workers: int) -> list[int]:
    """Places of the groups in an order in which so many workers begin with different categories.

    Workers that begin with one category encode the same images at the same time. ``workers`` categories at a time
    take turns, so that a worker that is done with a group of one is likely to get the next of it.
    """
    by_category: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        by_category[group.cells[0].backbone, *(each.name for each in group.categories)].append(place)
    columns = list(by_category.values())
    order: list[int] = []
    for start in range(0, len(columns), workers):
        turns = itertools.zip_longest(*columns[start : start + workers])
        order += [place for turn in turns for place in turn if place is not None]
    return order


class Rounds:
    """First every cell in its group; then, alone, those that ran out of memory or time, or lost their worker.

    A cell that was lost with its whole node is queued again without blame. Rounds know no processes or clusters.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self._homes = {cell.digest: number for number, group in enumerate(groups) for cell in group.cells}
        self._groups = list(groups)
        self._shared: list[Cell] = [cell for group in groups for cell in group.cells]
        self._alone: dict[str, tuple[Cell, str]] = {}
        self._node_losses: dict[str, int] = defaultdict(int)
        self._barren = 0
        self._current: Round | None = None

    def next(self) -> Round | None:
        """The next round; None when every cell has a row."""
        if self._shared:
            self._current = Round(groups=self._regrouped(self._shared), earlier=None)
            self._shared = []
        elif self._alone:
            # Cells that share a training stay together, so that it is learned once.
            together: dict[object, list[Cell]] = defaultdict(list)
            for digest, (cell, _) in self._alone.items():
                together[digest if cell.training is None else (self._homes[digest], cell.training)].append(cell)
            groups = tuple(
                Group(categories=self._groups[self._homes[cells[0].digest]].categories, cells=tuple(cells))
                for cells in together.values()
            )
            self._current = Round(groups=groups, earlier={digest: why for digest, (_, why) in self._alone.items()})
            self._alone = {}
        else:
            self._current = None
        return self._current

    def end(self, end: RoundEnd, *, lost_nodes: Collection[str], trouble: str | None = None) -> list[Row]:
        """Process the result of a round; returns the failed rows of cells that are not tried again.

        ``lost_nodes`` are those that left during the round; ``trouble`` is the last message of workers that could not
        even begin a cell.
        """
        assert self._current is not None
        earlier = self._current.earlier
        given_up: list[Row] = []
        for aside in end.aside:
            digest = aside.cell.digest
            if aside.worker is not None and aside.worker.node in lost_nodes:
                self._node_losses[digest] += 1
                if self._node_losses[digest] < NODE_LOSSES:
                    self._back(aside.cell, earlier)
                    continue
                reason = f"{NODE_LOSSES} nodes were lost while they computed this cell, {aside.worker.name} last"
                failure = Failure(kind="death", reason=reason)
                given_up.append(failed_row(aside.cell, failure, attempts=NODE_LOSSES))
            elif earlier is None:
                self._alone[digest] = (aside.cell, aside.failure.reason)
            else:
                given_up.append(failed_row(aside.cell, aside.failure, earlier=earlier[digest], attempts=2))
        self._barren = 0 if end.stored or end.aside or lost_nodes else self._barren + 1
        for cell in end.waiting:
            if self._barren < BARREN_ROUNDS:
                self._back(cell, earlier)
                continue
            reason = f"no worker could begin this cell: {trouble or 'its processes died again and again'}"
            given_up.append(failed_row(cell, Failure(kind="death", reason=reason), attempts=0))
        return given_up

    def _back(self, cell: Cell, earlier: Mapping[str, str] | None) -> None:
        if earlier is None:
            self._shared.append(cell)
        else:
            self._alone[cell.digest] = (cell, earlier[cell.digest])

    def _regrouped(self, cells: Iterable[Cell]) -> tuple[Group, ...]:
        by_home: dict[int, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_home[self._homes[cell.digest]].append(cell)
        return tuple(
            Group(categories=self._groups[number].categories, cells=tuple(by_home[number]))
            for number in sorted(by_home)
        )
