"""Rows on their way to the disk: they become durable in groups, while the cells go on."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from study.records.draft import Draft
from study.records.folder import LedgerError
from study.records.ledger import Ledger
from study.records.row import Row

if TYPE_CHECKING:
    from reports.reading.kept import Arrays

INTERVAL = 0.25
"""Seconds between two writes, at least. What a crash may lose is what nobody was told of yet."""

COMPACT_EVERY = 32
"""Writes after which small segments are put together."""


class RowWriter:
    """Writes rows to a ledger from a thread of its own, at once as many as came meanwhile.

    ``add`` returns before the row is durable; ``durable`` returns those that are. An error of the thread is raised by
    every call after it: rows that are not durable then were never shown, and their cells run again.
    """

    def __init__(self, ledger: Ledger, *, interval: float = INTERVAL) -> None:
        self._ledger, self._interval = ledger, interval
        self._draft, self._examples = Draft(), dict[str, "Arrays"]()
        self._durable: list[Row] = []
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._urgent = self._writing = self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, row: Row, examples: Arrays | None = None) -> None:
        """Take in a row, and the arrays of its cell.

        Raises:
            ValueError, TypeError: the row holds what JSON does not; no other row suffers.
            LedgerError: an earlier row could not be written.
        """
        with self._changed:
            self._raise()
            self._draft.add(row)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="row-writer", daemon=True)
                self._thread.start()
            if examples is not None:
                self._examples[row.cell.digest] = examples
            self._changed.notify_all()

    def durable(self) -> list[Row]:
        """The rows that became durable since the last call, in the order in which they were added."""
        with self._changed:
            self._raise()
            found, self._durable = self._durable, []
            return found

    def flush(self) -> None:
        """Wait until every row that was added is durable."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error is not None or not (self._draft.rows or self._writing))
            self._urgent = False
            self._raise()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        last, writes = -self._interval, 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._draft.rows or self._closed)
                if not self._draft.rows:
                    return
                self._changed.wait_for(
                    lambda: self._urgent or self._closed, timeout=max(0.0, last + self._interval - time.monotonic())
                )
                draft, examples = self._draft, self._examples
                self._draft, self._examples, self._writing = Draft(), {}, True
            error: Exception | None = None
            try:
                self._ledger.append_draft(draft, examples)
            # Raised again where the rows come from.
            except Exception as caught:
                error = caught
            last, writes = time.monotonic(), writes + 1
            with self._changed:
                self._writing, self._error = False, error
                if error is None:
                    self._durable += draft.rows
                self._changed.notify_all()
            if error is not None:
                return
            if writes % COMPACT_EVERY == 0:
                # Small segments are a matter of speed alone.
                with contextlib.suppress(LedgerError):
                    self._ledger.compact()
