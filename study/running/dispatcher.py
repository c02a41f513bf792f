"""Handing out cells and taking in rows: what every executor shares, whatever runs the cells."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from study.records.cell import Cell, company_of
from study.records.failure import Failure
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.running.row_desk import Assignment, Finished, RowDesk, Worker, failed_row

ATTEMPTS = 2
"""How often a cell that raises an ordinary error is tried before it becomes a failed row."""

BEGINNINGS = 3
"""How many workers may die while they prepare a group before its cells are set aside."""

IDLE = 10.0
"""Seconds without a cell at work after which parked groups are let go."""

OnFinished: TypeAlias = Callable[[Finished], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker says of the cell that it was given: what came of it, or why nothing did."""

    digest: str
    result: Outcome | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A cell that its round did not finish, and why; ``worker`` if a process ended with it."""

    cell: Cell
    failure: Failure
    worker: Worker | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundEnd:
    """What a round leaves: cells set aside, cells that nobody began, and how many got their rows.

    ``finished`` are the rows that became durable at last.
    """

    aside: tuple[SetAside, ...]
    waiting: tuple[Cell, ...]
    stored: int
    finished: tuple[Finished, ...]


class Dispatcher:
    """Hands out the cells of a round's groups. Knows of every cell whether it is waiting, tried, set aside or done.

    ``earlier`` is why each cell failed before, in a round in which cells run alone; None in an ordinary round.
    ``limit`` is how long a cell may take (seconds), for naming the cause of a death. ``mixed``: cells whose prompts
    have different forms can learn together, as on an accelerator. All that matters can be read from the ledger again,
    so that a dispatcher may be restarted in the middle of a round.
    """

    def __init__(
        self,
        ledger: Ledger,
        groups: Sequence[Group],
        *,
        earlier: Mapping[str, str] | None = None,
        limit: float | None = None,
        mixed: bool = False,
    ) -> None:
        self._mixed = mixed
        self._desk, self._groups, self._earlier, self._limit = RowDesk(ledger), groups, earlier, limit
        self._planned = {cell.digest for group in groups for cell in group.cells}
        self._desk.know(cell for group in groups for cell in group.cells)
        self._waiting = [deque(group.cells) for group in groups]
        self._begun: dict[str, int] = defaultdict(int)
        self._aside: dict[str, SetAside] = {}
        self._beginnings: dict[int, int] = defaultdict(int)
        self._singly = set(range(len(groups))) if earlier is not None else set[int]()
        self._last_work = time.monotonic()

    def begin(self, group: int, worker: Worker) -> Group:
        """The group of a number, for which a worker prepares from now on."""
        self._bury(group)
        self._desk.assign(group, worker, ())
        return self._groups[group]

    def next(self, group: int, worker: Worker, most: int = 1, company: int = 1) -> tuple[Cell, ...]:
        """The group's next cells. A cell whose worker died is set aside for another round.

        At most ``company`` that can learn together, or at most ``most`` of others. A cell that was tried before comes
        alone, whatever failed it then.
        """
        at_work = self._desk.assignment(group)
        if at_work is not None and not at_work.cells and at_work.worker == worker:
            self._desk.release(group)
            self._beginnings[group] = 0
        self._bury(group)
        cells = self._taken(self._waiting[group], *((1, 1) if group in self._singly else (most, company)))
        for cell in cells:
            self._begun[cell.digest] += 1
        if cells:
            self._desk.assign(group, worker, cells)
        return tuple(cells)

    def _taken(self, waiting: deque[Cell], most: int, company: int) -> list[Cell]:
        """The next of the waiting cells that go together; they wait no more."""
        cells = list[Cell]()
        limit, key = 1, None
        while waiting and len(cells) < limit:
            cell = waiting[0]
            if self._is_open(cell):
                tried, own = bool(self._begun[cell.digest]), company_of(cell, self._mixed)
                if not cells:
                    limit, key = 1 if tried else most if own is None else company, own
                elif tried or own != key:
                    break
                cells.append(cell)
            waiting.popleft()
        return cells

    def report(
        self, group: int, worker: Worker, reports: Sequence[Report], *, most: int, company: int = 1
    ) -> tuple[Cell, ...]:
        """Take in what came of cells; returns the group's next ones, none if ``most`` is 0. Rows become durable later.

        Raises:
            LedgerError: rows cannot be written.
        """
        for report in reports:
            if isinstance(report.result, Failure):
                self._fail(group, report.digest, report.result)
            else:
                self._accept(group, report.digest, report.result)
        return self.next(group, worker, most, company) if most else ()

    def fail_group(self, group: int, failure: Failure) -> None:
        """Write failed rows for every waiting cell of the group, or set them aside if room may help."""
        self._desk.release(group)
        waiting, self._waiting[group] = self._open_cells(group), deque()
        for cell in waiting:
            if failure.needs_room and self._earlier is None:
                self._set_aside(cell, failure, None)
            else:
                self._store_failed(cell, failure)

    def park(self, group: int) -> bool:
        """Hold a group that its node cannot run, so that the node takes no other; True when it may be let go."""
        self._desk.release(group)
        if self._desk.at_work():
            self._last_work = time.monotonic()
        return time.monotonic() - self._last_work > IDLE

    def at_work(self) -> list[Assignment]:
        """What every worker does at the moment."""
        return list(self._desk.at_work().values())

    def news(self) -> list[Finished]:
        """The cells whose rows became durable since the last call.

        Raises:
            LedgerError: rows cannot be written.
        """
        return self._desk.news()

    def flush(self) -> None:
        """Wait until every row is durable."""
        self._desk.flush()

    def end(self) -> RoundEnd:
        """What is left when all workers have stopped: a cell still at work was lost with its worker."""
        for group in self._desk.at_work():
            self._bury(group)
        self._desk.flush()
        return RoundEnd(
            aside=tuple(self._aside.values()),
            waiting=tuple(cell for group in range(len(self._groups)) for cell in self._open_cells(group)),
            stored=self._desk.count,
            finished=tuple(self._desk.news()),
        )

    def close(self) -> None:
        """Write what waits, and write no more."""
        self._desk.close()

    def _is_open(self, cell: Cell) -> bool:
        """Whether a cell has no row and is not set aside."""
        return not self._desk.has(cell.digest) and cell.digest not in self._aside

    def _open_cells(self, group: int) -> list[Cell]:
        return [cell for cell in self._waiting[group] if self._is_open(cell)]

    def _accept(self, group: int, digest: str, outcome: Outcome) -> None:
        # A late report may be of a cell that is set aside; of one of another round nothing is known here.
        failure = self._desk.accept(digest, outcome) if digest in self._planned else None
        if failure is None:
            self._aside.pop(digest, None)
        else:
            self._fail(group, digest, failure)

    def _fail(self, group: int, digest: str, failure: Failure) -> None:
        """Put the cell back, set it aside, or write a failed row when its tries are spent."""
        cell = self._desk.reported(group, digest)
        if cell is None:
            # The report of a worker that was given up meanwhile.
            return
        if self._earlier is not None:
            self._store_failed(cell, failure)
        elif failure.needs_room:
            self._set_aside(cell, failure, None)
        elif self._begun[digest] < ATTEMPTS:
            self._waiting[group].append(cell)
        else:
            self._store_failed(cell, failure)

    def _bury(self, group: int) -> None:
        """Deal with what a worker left that is at work no more."""
        lost = self._desk.release(group)
        if lost is None:
            return
        if len(lost.cells) > 1:
            # Any of them may be the cause: they go one by one from now on, and the next death names it.
            self._singly.add(group)
            for cell in lost.cells:
                self._begun[cell.digest] -= 1
            self._waiting[group].extendleft(reversed(lost.cells))
            return
        late = self._limit is not None and lost.seconds >= self._limit * lost.allowance
        task = "prepared its group" if lost.cell is None else "computed this cell"
        if late:
            assert self._limit is not None
            each = f" for each of {lost.allowance} categories" if lost.allowance > 1 else ""
            failure = Failure(
                kind="timeout",
                reason=f"the worker was ended while it {task}: it took longer than --cell-timeout, "
                f"{self._limit / 60:g} minutes{each}",
            )
        else:
            failure = Failure(kind="death", reason=f"the worker process died while it {task} (killed or crashed)")
        if lost.cell is not None:
            for cell in (lost.cell, *self._would_learn_again(group, lost.cell)):
                self._set_aside(cell, failure, lost.worker)
            return
        self._beginnings[group] += 1
        if late or self._beginnings[group] >= BEGINNINGS:
            waiting, self._waiting[group] = self._open_cells(group), deque()
            for cell in waiting:
                self._set_aside(cell, failure, lost.worker)

    def _would_learn_again(self, group: int, lost: Cell) -> list[Cell]:
        """Open cells that share a lost cell's training, if no cell has come out of it: they would begin it again."""
        if lost.training is None:
            return []
        alike = [cell for cell in self._groups[group].cells if cell.training == lost.training]
        if any(self._desk.has(cell.digest) for cell in alike):
            return []
        return [cell for cell in self._open_cells(group) if cell.training == lost.training]

    def _set_aside(self, cell: Cell, failure: Failure, worker: Worker | None) -> None:
        self._aside[cell.digest] = SetAside(cell=cell, failure=failure, worker=worker)

    def _store_failed(self, cell: Cell, failure: Failure) -> None:
        earlier = (self._earlier or {}).get(cell.digest)
        attempts = self._begun[cell.digest] + (earlier is not None)
        self._desk.store(failed_row(cell, failure, earlier=earlier, attempts=attempts))
