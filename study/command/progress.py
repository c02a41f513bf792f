"""Progress on the screen while cells run: a bar with the remaining time, and each new result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from tqdm import tqdm

from study.command.duration import duration

if TYPE_CHECKING:
    from study.running.row_desk import Finished

QUIET_INTERVAL = 15.0
"""Seconds between lines where the output is no terminal."""

FEWEST_FOR_ESTIMATE = 5
"""Finished cells below which the remaining time is not estimated."""


class Progress:
    """A bar on a terminal, a line every few seconds in a log file; failures are always printed."""

    def __init__(
        self, total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._total, self._done, self._clock = total, 0, clock
        self._start = self._last = clock()
        self._first: float | None = None
        self._bar = tqdm(total=total, unit="cell", file=self._stream, disable=not self._live, dynamic_ncols=True)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the finished bar on the screen."""
        self._bar.close()

    def notice(self, message: str) -> None:
        """Show a message that concerns the whole run."""
        tqdm.write(message, file=self._stream)

    def finished(self, cell: Finished) -> None:
        """Count a finished cell and show its scores or its reason."""
        self._done += 1
        if cell.status == "failed":
            tqdm.write(f"failed: {cell.cell}: {cell.reason}", file=self._stream)
        scores = "  ".join(f"{name} {value:.3f}" for name, value in (cell.scores or {}).items())
        self._bar.set_postfix_str(f"{cell.place}: {scores or cell.status}", refresh=False)
        self._bar.update()
        now = self._clock()
        self._first = now if self._first is None else self._first
        if not self._live and (now - self._last > QUIET_INTERVAL or self._done == self._total):
            self._last = now
            print(
                f"{self._done}/{self._total} cells, {duration(now - self._start)} elapsed, {self._left(now)}latest: "
                f"{cell.place}: {scores or cell.status}",
                file=self._stream,
                flush=True,
            )

    def _left(self, now: float) -> str:
        """The remaining time by the rate since the first cell; before it, workers were starting."""
        if self._done < FEWEST_FOR_ESTIMATE or self._first is None:
            return ""
        return f"{duration((now - self._first) / (self._done - 1) * (self._total - self._done))} left; "
