"""Handing out the cells of a search's trials and taking in their rows, whatever runs them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from study.records.cell import Cell
from study.records.failure import Failure
from study.records.ledger import Ledger
from study.running.dispatcher import ATTEMPTS, Report
from study.running.row_desk import Assignment, Finished, RowDesk, Worker, failed_row

DEATHS = 3
"""How many workers may die with a cell before it is held to be the cause."""


class TrialSource(Protocol):
    """The dispatcher of a search as a worker sees it, in its own process or across a cluster."""

    def next(self, trial: int, worker: Worker) -> Cell | None:
        """The trial's next cell without a row; None when it has none."""
        ...

    def report(self, trial: int, report: Report) -> bool:
        """Report on the cell that was given; whether it has its row now, which is durable then."""
        ...


class TrialDispatcher:
    """Trials come one after the other, and a trial's cells run in its own order.

    Trials that share a cell share its row; while one of them runs it, the others wait. A cell that keeps failing
    becomes a failed row, and with it the trial fails: no other value is tried alone on a whole device. Every row is
    durable before the next cell is given, because the next trial's values depend on it.
    """

    def __init__(self, ledger: Ledger, *, limit: float | None = None) -> None:
        self._desk, self._limit = RowDesk(ledger), limit
        self._cells: dict[int, tuple[Cell, ...]] = {}
        self._begun: dict[str, int] = defaultdict(int)
        self._deaths: dict[str, int] = defaultdict(int)

    def open(self, trial: int, cells: Sequence[Cell]) -> None:
        """Take in a trial that is about to run."""
        self._desk.know(cell for cell in cells if not self._desk.has(cell.digest))
        self._cells[trial] = tuple(cells)

    def next(self, trial: int, worker: Worker) -> Cell | None:
        """The trial's next cell, None if it has none or must wait."""
        return self.turn(trial, worker)[0]

    def turn(self, trial: int, worker: Worker) -> tuple[Cell | None, bool]:
        """The trial's next cell; if there is none, whether that is because another trial runs it."""
        self._bury(trial)
        for cell in self._cells[trial]:
            if self._desk.has(cell.digest):
                continue
            if self._desk.task_of(cell.digest) is not None:
                return None, True
            self._begun[cell.digest] += 1
            self._desk.assign(trial, worker, (cell,))
            return cell, False
        return None, False

    def report(self, trial: int, report: Report) -> bool:
        """Take in what came of a cell; whether it has its row now, durable: a failed one when its tries are spent.

        Raises:
            LedgerError: rows cannot be written.
        """
        result = report.result
        failure = result if isinstance(result, Failure) else self._desk.accept(report.digest, result)
        if failure is not None:
            cell = self._desk.reported(trial, report.digest)
            if cell is None:
                # The report of a worker that was given up meanwhile.
                return False
            if self._begun[report.digest] < ATTEMPTS:
                return False
            self._desk.store(failed_row(cell, failure, attempts=self._begun[report.digest]))
        self._desk.flush()
        return True

    def lost(self, trial: int) -> None:
        """A trial's worker is gone: its cell may be run by another."""
        self._bury(trial)

    def at_work(self) -> list[Assignment]:
        """What every worker does at the moment."""
        return list(self._desk.at_work().values())

    def news(self) -> list[Finished]:
        """The cells whose rows became durable since the last call."""
        return self._desk.news()

    def close(self) -> None:
        """Write what waits, and write no more."""
        self._desk.close()

    def _bury(self, trial: int) -> None:
        lost = self._desk.release(trial)
        if lost is None or lost.cell is None:
            return
        digest = lost.cell.digest
        self._deaths[digest] += 1
        late = self._limit is not None and lost.seconds >= self._limit
        if not late and self._deaths[digest] < DEATHS:
            return
        reason = f"{self._deaths[digest]} worker processes died while they computed this cell (killed or crashed)"
        if late:
            assert self._limit is not None
            reason = f"the worker was ended: this cell took longer than --cell-timeout, {self._limit / 60:g} minutes"
        failure = Failure(kind="timeout" if late else "death", reason=reason)
        self._desk.store(failed_row(lost.cell, failure, attempts=self._begun[digest]))
        self._desk.flush()
