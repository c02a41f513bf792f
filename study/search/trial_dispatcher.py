"""Hands out the cells of a search's trials and receives their rows, for every executor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from study.records.cell import Cell
from study.records.failure import Failure
from study.records.ledger import Ledger
from study.running.dispatcher import ATTEMPTS, Dispatcher, Finished, Worker, failed_row

DEATHS = 3
"""Number of dead workers after which their cell counts as the cause."""


class TrialDispatcher(Dispatcher):
    """A dispatcher whose groups are trials, added one after the other; a trial's cells run in its own order.

    Trials that share a cell share its row; while one of them runs it, the others wait. A cell that keeps failing
    becomes a failed row, and with it the trial fails: no other value is tried alone on a whole device.
    """

    def __init__(self, ledger: Ledger, *, limit: float | None = None) -> None:
        super().__init__(ledger, (), limit=limit)
        self._cells: dict[int, tuple[Cell, ...]] = {}
        self._deaths: dict[str, int] = defaultdict(int)

    def open(self, trial: int, cells: Sequence[Cell]) -> None:
        """Add a trial that is about to run."""
        new = {cell.digest: cell for cell in cells if cell.digest not in self._stored}
        rows = self._ledger.rows(new)
        self._stored |= {digest: row for digest, row in rows.items() if row.status != "failed"}
        self._planned |= new
        self._cells[trial] = tuple(cells)

    def next(self, group: int, worker: Worker) -> Cell | None:
        """The trial's next cell, None if it has none or must wait."""
        return self.turn(group, worker)[0]

    def turn(self, trial: int, worker: Worker) -> tuple[Cell | None, bool]:
        """The trial's next cell, and, if there is none, whether another trial runs it."""
        self._bury(trial)
        for cell in self._cells[trial]:
            if cell.digest in self._stored:
                continue
            at_work = {other.cell.digest for other in self._at_work.values() if other.cell is not None}
            if cell.digest in at_work:
                return None, True
            self._begun[cell.digest] += 1
            self._at_work[trial] = self._assignment(worker, cell)
            return cell, False
        return None, False

    def fail(self, group: int, digest: str, failure: Failure) -> Finished | None:
        """Queue the cell for another try, or write a failed row when no tries are left."""
        at_work = self._at_work.get(group)
        if at_work is None or at_work.cell is None or at_work.cell.digest != digest:
            return None
        del self._at_work[group]
        if self._begun[digest] < ATTEMPTS:
            return None
        return self._store(failed_row(at_work.cell, failure, attempts=self._begun[digest]))

    def lost(self, trial: int) -> None:
        """Release the cell of a trial whose worker is gone."""
        self._bury(trial)

    def _bury(self, group: int) -> None:
        lost = self._at_work.pop(group, None)
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
        self._store(failed_row(lost.cell, failure, attempts=self._begun[digest]))
