"""Hands out cells and receives rows, for every executor."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from study.records.cell import Cell
from study.records.failure import Failure, last_words
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.records.pulse import RunningCell
from study.records.row import Row

ATTEMPTS = 2
"""How often a cell with an ordinary error is tried before it becomes a failed row."""

BEGINNINGS = 3
"""How many workers may die while they prepare a group before its cells are set aside."""

IDLE = 10.0
"""Seconds without a running cell after which parked groups are released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that runs cells: its node's identity, the node's name for people, and its process number there."""

    node: str
    name: str
    process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a worker does (``cell`` None: it prepares its group), for how long (seconds), and since when."""

    worker: Worker
    cell: Cell | None
    began: float
    since: datetime

    @property
    def seconds(self) -> float:
        """Seconds since it began, by the dispatcher's clock."""
        return time.monotonic() - self.began

    def running(self) -> RunningCell:
        """The running cell as a pulse reports it."""
        assert self.cell is not None
        return RunningCell(
            cell=str(self.cell),
            digest=self.cell.digest,
            node=self.worker.name,
            process=self.worker.process,
            since=self.since.isoformat(timespec="seconds"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One line of progress: a cell that got its row; ``place`` names it without its digest."""

    cell: str
    place: str
    status: str
    seconds: float
    scores: dict[str, float] | None
    reason: str | None


OnFinished: TypeAlias = Callable[[Finished], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A cell that its round did not finish, with the reason; ``worker``: the process that ended with it, if any."""

    cell: Cell
    failure: Failure
    worker: Worker | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundEnd:
    """The result of a round: cells set aside, cells not begun, and the number of new rows."""

    aside: tuple[SetAside, ...]
    waiting: tuple[Cell, ...]
    stored: int


class Dispatcher:
    """The only writer of rows during a round. It knows whether each cell is waiting, tried, set aside or done.

    ``earlier`` is why each cell failed before, in a round in which cells run alone; None in an ordinary round.
    ``limit`` is how long a cell may take (seconds), for naming the cause of a death. Its state can be rebuilt from
    the ledger, so a dispatcher may be restarted in the middle of a round.
    """

    def __init__(
        self,
        ledger: Ledger,
        groups: Sequence[Group],
        *,
        earlier: Mapping[str, str] | None = None,
        limit: float | None = None,
    ) -> None:
        self._ledger, self._groups, self._earlier, self._limit = ledger, groups, earlier, limit
        self._planned = {cell.digest: cell for group in groups for cell in group.cells}
        rows = ledger.rows(self._planned)
        self._stored = {digest: row for digest, row in rows.items() if row.status != "failed"}
        self._waiting = [deque(cell for cell in group.cells if cell.digest not in self._stored) for group in groups]
        self._begun: dict[str, int] = defaultdict(int)
        self._at_work: dict[int, Assignment] = {}
        self._aside: dict[str, SetAside] = {}
        self._beginnings: dict[int, int] = defaultdict(int)
        self._last_work = time.monotonic()
        self._count = 0

    def begin(self, group: int, worker: Worker) -> Group:
        """The group that a worker prepares for from now on."""
        self._bury(group)
        self._at_work[group] = self._assignment(worker, None)
        return self._groups[group]

    def next(self, group: int, worker: Worker) -> Cell | None:
        """The group's next cell. A cell whose worker died is set aside for another round."""
        at_work = self._at_work.get(group)
        if at_work is not None and at_work.cell is None and at_work.worker == worker:
            del self._at_work[group]
            self._beginnings[group] = 0
        self._bury(group)
        if not self._waiting[group]:
            return None
        cell = self._waiting[group].popleft()
        self._begun[cell.digest] += 1
        self._at_work[group] = self._assignment(worker, cell)
        return cell

    def accept(self, digest: str, outcome: Outcome) -> Finished:
        """Write the row of the cell ``digest`` that was handed out; a second outcome of a cell changes nothing.

        Raises:
            ValueError: another cell ran than was handed out, by its config or its weights.
            LedgerError: the row cannot be written.
        """
        cell = outcome.row.cell
        if cell.digest != digest or digest not in self._planned:
            raise ValueError(f"the cell that ran must be the one that was asked for, {digest[:8]}, but was {cell}")
        if digest in self._stored:
            return finished_with(self._stored[digest])
        if outcome.examples is not None:
            self._ledger.write_examples(digest, outcome.examples)
        return self._store(outcome.row)

    def fail(self, group: int, digest: str, failure: Failure) -> Finished | None:
        """Put the cell back, set it aside, or write a failed row when its tries are spent."""
        at_work = self._at_work.get(group)
        if at_work is None or at_work.cell is None or at_work.cell.digest != digest:
            # The report of a worker that counts as dead meanwhile.
            return None
        del self._at_work[group]
        cell = at_work.cell
        if self._earlier is not None:
            return self._store(self._failed(cell, failure))
        if failure.needs_room:
            self._set_aside(cell, failure, None)
            return None
        if self._begun[digest] < ATTEMPTS:
            self._waiting[group].append(cell)
            return None
        return self._store(self._failed(cell, failure))

    def fail_group(self, group: int, failure: Failure) -> list[Finished]:
        """Write failed rows for every waiting cell of the group, or set them aside if a whole device may help."""
        self._at_work.pop(group, None)
        waiting, self._waiting[group] = list(self._waiting[group]), deque()
        if failure.needs_room and self._earlier is None:
            for cell in waiting:
                self._set_aside(cell, failure, None)
            return []
        return [self._store(self._failed(cell, failure)) for cell in waiting]

    def park(self, group: int) -> bool:
        """Hold a group that its node cannot run, so that the node receives no other; True when it may be released."""
        self._at_work.pop(group, None)
        if self._at_work:
            self._last_work = time.monotonic()
        return time.monotonic() - self._last_work > IDLE

    def at_work(self) -> list[Assignment]:
        """What every worker does now."""
        return list(self._at_work.values())

    def end(self) -> RoundEnd:
        """The result of a round after all workers have stopped: a cell still running was lost with its worker."""
        for group in list(self._at_work):
            self._bury(group)
        return RoundEnd(
            aside=tuple(self._aside.values()),
            waiting=tuple(cell for waiting in self._waiting for cell in waiting),
            stored=self._count,
        )

    def _bury(self, group: int) -> None:
        """Handle the cell of a worker that is gone."""
        lost = self._at_work.pop(group, None)
        if lost is None:
            return
        late = self._limit is not None and lost.seconds >= self._limit
        task = "prepared its group" if lost.cell is None else "computed this cell"
        if late:
            assert self._limit is not None
            failure = Failure(
                kind="timeout",
                reason=f"the worker was ended while it {task}: it took longer than --cell-timeout, "
                f"{self._limit / 60:g} minutes",
            )
        else:
            failure = Failure(kind="death", reason=f"the worker process died while it {task} (killed or crashed)")
        if lost.cell is not None:
            self._set_aside(lost.cell, failure, lost.worker)
            return
        self._beginnings[group] += 1
        if late or self._beginnings[group] >= BEGINNINGS:
            waiting, self._waiting[group] = list(self._waiting[group]), deque()
            for cell in waiting:
                self._set_aside(cell, failure, lost.worker)

    def _assignment(self, worker: Worker, cell: Cell | None) -> Assignment:
        return Assignment(worker=worker, cell=cell, began=time.monotonic(), since=datetime.now(UTC))

    def _set_aside(self, cell: Cell, failure: Failure, worker: Worker | None) -> None:
        self._aside[cell.digest] = SetAside(cell=cell, failure=failure, worker=worker)

    def _failed(self, cell: Cell, failure: Failure) -> Row:
        earlier = (self._earlier or {}).get(cell.digest)
        attempts = self._begun[cell.digest] + (earlier is not None)
        return failed_row(cell, failure, earlier=earlier, attempts=attempts)

    def _store(self, row: Row) -> Finished:
        digest = row.cell.digest
        self._ledger.write_row(row)
        self._stored[digest] = row
        self._count += 1
        self._aside.pop(digest, None)
        self._at_work = {
            group: other for group, other in self._at_work.items() if other.cell is None or other.cell.digest != digest
        }
        for waiting in self._waiting:
            if row.cell in waiting:
                waiting.remove(row.cell)
        return finished_with(row)


def failed_row(cell: Cell, failure: Failure, *, earlier: str | None = None, attempts: int) -> Row:
    """The failed row of a cell that is not tried again."""
    return Row(cell=cell, status="failed", reason=last_words(failure, earlier), provenance={"attempts": attempts})


def finished_with(row: Row) -> Finished:
    """The progress line of a cell that has this row now."""
    return Finished(
        cell=str(row.cell),
        place=row.cell.place,
        status=row.status,
        seconds=row.seconds.get("total", 0.0),
        scores=None if row.scores is None else dict(row.scores),
        reason=row.reason,
    )
