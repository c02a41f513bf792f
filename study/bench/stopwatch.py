"""Where a cell's seconds go."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by stage; a stage inside another is not counted in the outer one."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = defaultdict(float)
        self._open: list[str] = []

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Count the seconds of a ``with`` block under ``stage``."""
        start = time.perf_counter()
        self._open.append(stage)
        try:
            yield
        finally:
            self._open.pop()
            elapsed = time.perf_counter() - start
            self._stages[stage] += elapsed
            if self._open:
                self._stages[self._open[-1]] -= elapsed

    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, and ``total`` since the watch was made."""
        return {
            **{stage: round(value, 4) for stage, value in self._stages.items()},
            "total": round(time.perf_counter() - self._start, 4),
        }
