"""What every dispatcher knows of its cells: which have rows, and which worker has which now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from study.records.cell import Cell
from study.records.failure import Failure, last_words
from study.records.folder import LedgerError
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.records.pulse import RunningCell
from study.records.row import Row
from study.records.row_writer import RowWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that runs cells: its node's identity, how people call the node, and its process number there."""

    node: str
    name: str
    process: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The task of a worker: ``cells`` in their order (none while it prepares its group), and since when it has them."""

    worker: Worker
    cells: tuple[Cell, ...]
    began: float
    since: datetime

    @classmethod
    def now(cls, worker: Worker, cells: Sequence[Cell]) -> Assignment:
        """One that begins now."""
        return cls(worker=worker, cells=tuple(cells), began=time.monotonic(), since=datetime.now(UTC))

    @property
    def cell(self) -> Cell | None:
        """The first cell that it has not reported on; None while it prepares its group."""
        return self.cells[0] if self.cells else None

    @property
    def allowance(self) -> int:
        """How many cells' time the worker may take: of all its cells together."""
        return max(1, sum(cell.allowance for cell in self.cells))

    @property
    def seconds(self) -> float:
        """How long the worker has been at it, by the dispatcher's clock."""
        return time.monotonic() - self.began

    def running(self) -> RunningCell:
        """The cell at work as a pulse reports it."""
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
    """One line of progress: a cell whose row is durable; ``place`` names it without its digest."""

    cell: str
    digest: str
    place: str
    status: str
    seconds: float
    scores: dict[str, float] | None
    reason: str | None


def finished_with(row: Row) -> Finished:
    """The line of a cell that has this row now."""
    return Finished(
        cell=str(row.cell),
        digest=row.cell.digest,
        place=row.cell.place,
        status=row.status,
        seconds=row.seconds.get("total", 0.0),
        scores=None if row.scores is None else dict(row.scores),
        reason=row.reason,
    )


def failed_row(cell: Cell, failure: Failure, *, earlier: str | None = None, attempts: int) -> Row:
    """The row of a cell that is given up."""
    return Row(cell=cell, status="failed", reason=last_words(failure, earlier), provenance={"attempts": attempts})


class RowDesk:
    """The only writer of rows while cells run. Workers are known by a number that the dispatcher gives their task.

    All that matters can be read from the ledger again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._writer = ledger, RowWriter(ledger)
        self._stored: set[str] = set()
        self._at_work: dict[int, Assignment] = {}
        self._tasks: dict[str, int] = {}
        self.count = 0

    def know(self, cells: Iterable[Cell]) -> None:
        """Look up which of these cells have a row that is not failed."""
        # Rows that are there and cannot be read are missing: their cells run again.
        states = self._ledger.sound_states(cell.digest for cell in cells)
        self._stored |= {digest for digest, state in states.items() if state.status != "failed"}

    def has(self, digest: str) -> bool:
        """Whether a cell has its row, or will have it in a moment."""
        return digest in self._stored

    def assign(self, task: int, worker: Worker, cells: Sequence[Cell]) -> None:
        """Note what a worker does from now on: these cells, or (without any) preparing its group."""
        self.release(task)
        self._at_work[task] = Assignment.now(worker, cells)
        for cell in cells:
            self._tasks[cell.digest] = task

    def assignment(self, task: int) -> Assignment | None:
        """What the worker of a task does."""
        return self._at_work.get(task)

    def task_of(self, digest: str) -> int | None:
        """The task in which a cell is at work."""
        return self._tasks.get(digest)

    def release(self, task: int) -> Assignment | None:
        """Note that the worker of a task does nothing any more; what it did."""
        was = self._at_work.pop(task, None)
        for cell in () if was is None else was.cells:
            self._tasks.pop(cell.digest, None)
        return was

    def reported(self, task: int, digest: str) -> Cell | None:
        """Note that the worker of a task reported on a cell; None if the cell is not at work there."""
        was = self._at_work.get(task)
        found = None if was is None else next((cell for cell in was.cells if cell.digest == digest), None)
        if was is None or found is None:
            return None
        del self._tasks[digest]
        if left := tuple(cell for cell in was.cells if cell is not found):
            self._at_work[task] = Assignment.now(was.worker, left)
        else:
            del self._at_work[task]
        return found

    def at_work(self) -> dict[int, Assignment]:
        """What every worker does at the moment, by task."""
        return dict(self._at_work)

    def accept(self, digest: str, outcome: Outcome) -> Failure | None:
        """Take in what came of the cell ``digest``; a second outcome changes nothing.

        The failure that it is instead, if another cell ran (by its config or its weights), or the row is no JSON.

        Raises:
            LedgerError: rows cannot be written.
        """
        try:
            cell = outcome.row.cell
            if cell.digest != digest:
                raise ValueError(f"the cell that ran must be the one that was asked for, {digest[:8]}, but was {cell}")
            if digest not in self._stored:
                self.store(outcome.row, outcome)
        except LedgerError:
            raise
        # A row that holds what cannot be written is its cell's failure, whatever it raises.
        except Exception as error:
            return Failure(kind="error", reason=f"{type(error).__name__}: {error}")
        return None

    def store(self, row: Row, outcome: Outcome | None = None) -> None:
        """Take in a row; it is durable in a moment."""
        digest = row.cell.digest
        self._writer.add(row, None if outcome is None else outcome.examples)
        self._stored.add(digest)
        self.count += 1
        if (task := self._tasks.get(digest)) is not None:
            self.reported(task, digest)

    def news(self) -> list[Finished]:
        """The cells whose rows became durable since the last call."""
        return [finished_with(row) for row in self._writer.durable()]

    def flush(self) -> None:
        """Wait until every row is durable."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits, and write no more."""
        self._writer.close()
