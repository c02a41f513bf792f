"""What a study costs when some of its cells are done already: seconds against the number of missing cells."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from study.command.cli import main

MISSING = (40, 30, 20, 10, 0)


def measure() -> dict[str, Any]:
    """The same request on one embedded category, again and again with fewer rows removed; and the line through it."""
    with tempfile.TemporaryDirectory() as folder:
        request = ["run", "table3", "--executor", "serial", "--categories", "board", "--study", folder, "--seeds", "4"]
        # The first run also fills the feature cache.
        _run(request)
        rows = sorted(Path(folder, "rows").glob("*.json"))
        entries = []
        for missing in MISSING:
            # Every n-th, so that each part holds cells of all arms.
            for number in range(missing):
                rows[number * len(rows) // missing].unlink()
            entries.append({"planned": len(rows), "missing": missing, "seconds": _run(request)})
    counts = np.array([entry["missing"] for entry in entries])
    seconds = np.array([entry["seconds"] for entry in entries])
    slope, fixed = np.polyfit(counts, seconds, 1)
    return {
        "entries": entries,
        "seconds_per_cell": float(slope),
        "fixed_seconds": float(fixed),
        "largest_deviation": float(np.abs(seconds - fixed - slope * counts).max() / seconds.max()),
    }


def _run(request: list[str]) -> float:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(request)
    assert code == 0
    return time.perf_counter() - start
