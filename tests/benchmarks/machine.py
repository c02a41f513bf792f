"""What a benchmark ran on: names, versions, and how fast this machine multiplies matrices."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def describe() -> dict[str, Any]:
    """Processor, threads and versions."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "open_clip_torch", "numpy", "scikit-learn", "ray")},
    }


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Median wall-clock seconds of ``function``, after one call that is not counted."""
    function()
    return once(function, repeats)


def once(function: Callable[[], object], repeats: int = 1) -> float:
    """Median wall-clock seconds without a warm-up call: for things that are only cold once."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matmul_rate(rows: int, inner: int, columns: int) -> float:
    """Floating-point operations per second of one float32 product of this shape."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    repeats = max(1, int(2e9 / (2 * rows * inner * columns)))

    def run() -> None:
        for _ in range(repeats):
            torch.mm(left, right)

    return repeats * 2 * rows * inner * columns / seconds(run, repeats=5)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
