"""Handing out cells and taking in rows: what every executor shares, whatever runs the cells."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from study.cell import Cell
from study.ledger import Ledger
from study.plan import Group
from study.row import Row
from study.workbench import Outcome, Workbench

ATTEMPTS = 2
"""How often a cell is tried before it becomes a failed row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One line of progress: a cell that got its row."""

    cell: str
    status: str
    seconds: float
    scores: dict[str, float] | None
    reason: str | None


class CellSource(Protocol):
    """What a worker sees of the dispatcher, in its own process or across a cluster."""

    def next(self, group: int) -> Cell | None:
        """The group's next cell without a row; None when the group is done."""
        ...

    def accept(self, outcome: Outcome) -> Finished:
        """Store a finished cell; it is durable when this returns."""
        ...

    def fail(self, group: int, digest: str, reason: str) -> Finished | None:
        """Report an error; None if the cell will be tried again."""
        ...

    def fail_group(self, group: int, reason: str) -> list[Finished]:
        """Report that a group cannot even begin: all its waiting cells become failed rows."""
        ...


class Dispatcher:
    """The only writer of rows. Knows of every cell whether it is waiting, tried, or done."""

    def __init__(self, ledger: Ledger, groups: Sequence[Group]) -> None:
        self._ledger = ledger
        self._waiting = [deque(group.cells) for group in groups]
        self._planned = {cell.digest: cell for group in groups for cell in group.cells}
        self._begun: dict[str, int] = defaultdict(int)
        self._in_flight: dict[int, Cell] = {}

    def next(self, group: int) -> Cell | None:
        """The group's next cell. One that was in flight when its worker died comes back until its tries are spent."""
        lost = self._in_flight.pop(group, None)
        if lost is not None:
            self.fail(group, lost.digest, "the worker process died while it computed this cell (killed or crashed)")
        waiting = self._waiting[group]
        if not waiting:
            return None
        cell = waiting.popleft()
        self._begun[cell.digest] += 1
        self._in_flight[group] = cell
        return cell

    def accept(self, outcome: Outcome) -> Finished:
        """Write the row of a cell that was handed out.

        Raises:
            ValueError: the cell that ran is none of those; its config or weights differ from what was asked for.
        """
        cell = outcome.row.cell
        if cell.digest not in {asked.digest for asked in self._in_flight.values()}:
            raise ValueError(f"the cell that ran must be one that was asked for, but {cell} was not")
        if outcome.examples is not None:
            self._ledger.write_examples(cell.digest, outcome.examples)
        return self._store(outcome.row)

    def fail(self, group: int, digest: str, reason: str) -> Finished | None:
        """Put the cell back at the end of its group, or write a failed row when its tries are spent."""
        cell = self._planned[digest]
        self._forget(cell)
        if self._begun[digest] < ATTEMPTS:
            self._waiting[group].append(cell)
            return None
        return self._store(self._failed(cell, reason))

    def fail_group(self, group: int, reason: str) -> list[Finished]:
        """Write failed rows for every cell of the group that has none yet."""
        waiting, self._waiting[group] = list(self._waiting[group]), deque()
        return [self._store(self._failed(cell, reason)) for cell in waiting]

    def unfinished(self) -> list[Cell]:
        """Cells that have no row after all workers stopped."""
        return [*self._in_flight.values(), *(cell for waiting in self._waiting for cell in waiting)]

    def _failed(self, cell: Cell, reason: str) -> Row:
        return Row(cell=cell, status="failed", reason=reason, provenance={"attempts": self._begun[cell.digest]})

    def _store(self, row: Row) -> Finished:
        self._forget(row.cell)
        self._ledger.write_row(row)
        return Finished(
            cell=str(row.cell),
            status=row.status,
            seconds=row.seconds.get("total", 0.0),
            scores=None if row.scores is None else dict(row.scores),
            reason=row.reason,
        )

    def _forget(self, cell: Cell) -> None:
        self._in_flight = {group: other for group, other in self._in_flight.items() if other.digest != cell.digest}


def begin_group(bench: Workbench, source: CellSource, number: int, group: Group) -> list[Finished]:
    """Prepare for a group; if that fails (weights, memory), its cells become failed rows, which are returned."""
    try:
        bench.start_group(group.cells, group.category)
    except Exception as error:
        return source.fail_group(number, f"{type(error).__name__}: {error}")
    return []


def run_next(bench: Workbench, source: CellSource, group: int) -> tuple[bool, Finished | None]:
    """Run one cell of a group: whether there was one, and what came of it (None: it will be tried again)."""
    cell = source.next(group)
    if cell is None:
        return False, None
    try:
        return True, source.accept(bench.run(cell))
    except Exception as error:
        return True, source.fail(group, cell.digest, f"{type(error).__name__}: {error}")


def run_serially(
    bench: Workbench, dispatcher: Dispatcher, groups: Sequence[Group], on_finished: Callable[[Finished], None]
) -> None:
    """Run every cell in this process, in order: the specification of what the Ray executor does."""
    for number, group in enumerate(groups):
        for failed in begin_group(bench, dispatcher, number, group):
            on_finished(failed)
        more = True
        while more:
            more, finished = run_next(bench, dispatcher, number)
            if finished is not None:
                on_finished(finished)
