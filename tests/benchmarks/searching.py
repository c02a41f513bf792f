"""What a search costs besides its cells: real searches, serial and on Ray, over cells that only wait."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import ray

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

# ruff: noqa: E402
from helpers.inspection_set import write_inspection_set
from helpers.scored_cells import ScoredBench, search_plan

from study.records.cell import Cell
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.running.dispatcher import Finished
from study.running.execution_options import CacheSettings, ExecutionOptions, Listeners
from study.search.engine import Search
from study.search.ray_search import search_on_ray
from study.search.ray_trial import SearchTrial
from study.search.serial_search import search_serially
from study.search.trial_records import SearchLog

SECONDS = 1.0
WORKERS = 2


class WaitingBench(ScoredBench):
    """A cell is a pause, its score a formula."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def run(self, cell: Cell) -> Outcome:
        """Wait, then score."""
        time.sleep(SECONDS)
        outcome = super().run(cell)
        row = dataclasses.replace(outcome.row, provenance={"process": os.getpid()})
        return dataclasses.replace(outcome, row=row)


class WaitingTrial(SearchTrial):
    """A search's own trial over cells that wait."""

    bench = WaitingBench


def measure(trials: int) -> dict[str, float]:
    """Seconds besides the cells' pauses as a share of them, and what the first row waits for.

    A process counts from its own first row to its last, changes of trials included: when processes start, and that
    some have nothing left to do at the end, is not the search's doing.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:3], os.environ.get("PYTHONPATH", "")])
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = write_inspection_set(Path(folder) / "data")
        for name in ("serial", "ray"):
            start, rows = _run(name, Path(folder), data, trials)
            process_of = {
                str(row.cell): row.provenance["process"] for row in Ledger(f"{folder}/{name}").rows().values()
            }
            by_process: dict[int, list[float]] = defaultdict(list)
            for cell, when in rows:
                by_process[process_of[cell]].append(when)
            work = SECONDS * sum(len(times) - 1 for times in by_process.values())
            spent = sum(times[-1] - times[0] for times in by_process.values())
            found[f"{name}: seconds to the first row, besides its own"] = rows[0][1] - start - SECONDS
            found[f"{name}: cells"] = len(rows)
            found[f"{name}: processes"] = len(by_process)
            found[f"{name}: overhead"] = spent / work - 1
    return found


def _run(name: str, folder: Path, data: Path, trials: int) -> tuple[float, list[tuple[str, float]]]:
    """When a search began, and which rows came when."""
    rows: list[tuple[str, float]] = []

    def on_finished(finished: Finished) -> None:
        rows.append((finished.cell, time.perf_counter()))

    plan = search_plan(data, trials=trials)
    ledger = Ledger(str(folder / name))
    start = time.perf_counter()
    search = Search(plan, ledger, SearchLog(ledger.folder, plan.id), trials=trials)
    if name == "serial":
        search_serially(WaitingBench(), ledger, search, Listeners(on_finished=on_finished))
        return start, rows
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    search_on_ray(
        ledger,
        search,
        ExecutionOptions(gpus=0.0, cache=CacheSettings(root=folder)),
        Listeners(on_finished=on_finished),
        trial=WaitingTrial,
    )
    ray.shutdown()
    return start, rows


if __name__ == "__main__":
    for key, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 8).items():
        print(f"{key}: {value:.4g}")
