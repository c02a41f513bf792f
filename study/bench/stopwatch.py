"""Where a cell's seconds go."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by stage; a stage inside another is not counted in the outer one.

    The watch stands still while others are at work: it goes in `running` and in stages.
    """

    def __init__(self) -> None:
        self._stages: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._total, self._since = 0.0, 0.0
        self._running = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a ``with`` block in the total."""
        if not self._running:
            self._since = time.perf_counter()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._total += time.perf_counter() - self._since

    def add(self, stage: str, seconds: float) -> None:
        """Count a cell's share of what was done for several."""
        self._stages[stage] += seconds
        self._total += seconds

    def of(self, stage: str) -> float:
        """Seconds of a stage so far."""
        return self._stages.get(stage, 0.0)

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Count the seconds of a ``with`` block under ``stage``."""
        start = time.perf_counter()
        self._open.append(stage)
        try:
            with self.running():
                yield
        finally:
            self._open.pop()
            elapsed = time.perf_counter() - start
            self._stages[stage] += elapsed
            if self._open:
                self._stages[self._open[-1]] -= elapsed

    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, and their ``total`` with what is in no stage."""
        going = time.perf_counter() - self._since if self._running else 0.0
        return {
            **{stage: round(value, 4) for stage, value in self._stages.items()},
            "total": round(self._total + going, 4),
        }
