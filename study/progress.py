"""What a person sees while cells run: a bar with the remaining time, and each result as it comes."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from study.dispatch import Finished
from study.duration import duration

QUIET_INTERVAL = 15.0
"""Seconds between lines where the output is no terminal."""


class Progress:
    """A bar on a terminal, a line now and then in a log file; failures are always printed."""

    def __init__(self, total: int, *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._total, self._done = total, 0
        self._start = self._last = time.monotonic()
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
        self._bar.set_postfix_str(f"{cell.cell.rsplit(' (', 1)[0]}: {scores or cell.status}", refresh=False)
        self._bar.update()
        now = time.monotonic()
        if not self._live and (now - self._last > QUIET_INTERVAL or self._done == self._total):
            self._last = now
            remaining = (now - self._start) / self._done * (self._total - self._done)
            print(
                f"{self._done}/{self._total} cells, {duration(now - self._start)} elapsed, "
                f"{duration(remaining)} left; latest: {cell.cell.rsplit(' (', 1)[0]}: {scores or cell.status}",
                file=self._stream,
                flush=True,
            )
