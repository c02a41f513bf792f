"""What scheduling costs: the real Ray executor on cells that only wait, and a replay on imagined clusters."""

from __future__ import annotations

import heapq
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Category
from study.cluster import executor
from study.records.cell import Cell
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.records.row import Row
from study.running.execution_options import CacheSettings, ExecutionOptions, Listeners

CELLS = {0.1: 40, 1.0: 9, 10.0: 4}
"""Seconds of a cell, and how many of them each worker gets."""
WORKERS = (1, 2, 4, 8)


class WaitingBench:
    """Stands in for a workbench: a cell is a pause of ``config.learning_rate`` seconds."""

    company = 1

    def __init__(self, **_: Any) -> None:
        pass

    def start_group(self, cells: Sequence[Cell], categories: Sequence[Category]) -> None:
        """Nothing to prepare."""

    def release(self) -> None:
        """Nothing to give back."""

    def run_together(self, cells: Sequence[Cell], _: Any = None) -> Iterator[tuple[Cell, Outcome]]:
        """A row for each."""
        return ((cell, self.run(cell)) for cell in cells)

    def run(self, cell: Cell) -> Outcome:
        """Wait, and return a row of the usual size."""
        time.sleep(cell.config.learning_rate)
        names = [f"test/crack/{number:03}.png" for number in range(160)]
        row = Row(
            cell=cell,
            status="ok",
            scores={"image_auroc": 0.5, "image_aupr": 0.5},
            test_images={"name": names, "anomalous": [0] * 160, "score": np.linspace(0, 1, 160).tolist()},
            seconds={"total": cell.config.learning_rate},
        )
        return Outcome(row=row, examples=None)


class WaitingTrial(executor.GroupTrial):
    """The executor's own trial over cells that wait."""

    bench = WaitingBench


def measure() -> list[dict[str, Any]]:
    """Overhead per cell by duration and workers, and how long the first row took."""
    entries = []
    # Ray's workers must find this module.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    for workers in WORKERS:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        for duration, count in CELLS.items():
            start, per_cell = _run(workers, count, duration)
            entries.append(
                {
                    "workers": workers,
                    "cell_seconds": duration,
                    "overhead_seconds": per_cell - duration,
                    "overhead": (per_cell - duration) / duration,
                    "start_seconds": start - duration,
                }
            )
        ray.shutdown()
    return entries


def _run(workers: int, count: int, duration: float) -> tuple[float, float]:
    """Seconds until the last worker's first row, and seconds per cell from then on: the mean over workers.

    One group of ``count`` cells for each worker; a worker's rate is taken between its own first and last row.
    """
    config = PromptADConfig(learning_rate=duration)
    category = Category(name="plate", train=(), test=(), has_masks=True)
    cells = [
        Cell(
            method="promptad",
            config=config,
            backbone="tiny",
            architecture="tiny",
            weights="w",
            dataset="mvtec",
            category="plate",
            data="d",
            shots=1,
            seed=seed,
            task="image",
        )
        for seed in range(workers * count)
    ]
    groups = [Group(categories=(category,), cells=tuple(cells[worker::workers])) for worker in range(workers)]
    worker_of = {str(cell): worker for worker, group in enumerate(groups) for cell in group.cells}
    rows: dict[int, list[float]] = defaultdict(list)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        executor.run_on_ray(
            Ledger(folder),
            groups,
            ExecutionOptions(gpus=0.0, cache=CacheSettings(root=Path(folder))),
            Listeners(on_finished=lambda finished: rows[worker_of[finished.cell]].append(time.perf_counter() - start)),
            trial=WaitingTrial,
        )
    rates = [(times[-1] - times[0]) / (count - 1) for times in rows.values()]
    return max(times[0] for times in rows.values()), statistics.mean(rates)


@dataclass(frozen=True, kw_only=True)
class ReplayGroup:
    """A group to replay: what encoding its images costs on a node that has not seen them, and its cells' seconds."""

    category: str
    encode_seconds: float
    cell_seconds: tuple[float, ...]


def replay(groups: Sequence[ReplayGroup], nodes: int, *, per_node: int = 1, load_seconds: float = 0.0) -> float:
    """Seconds until the last group is done, groups going in order to the worker that is free first.

    Each worker loads its backbone once; each node encodes a category's images once, however many groups need them.
    """
    free = [(load_seconds, worker) for worker in range(nodes * per_node)]
    heapq.heapify(free)
    seen: set[tuple[int, str]] = set()
    last = 0.0
    for group in groups:
        start, worker = heapq.heappop(free)
        node = worker // per_node
        encode = 0.0 if (node, group.category) in seen else group.encode_seconds
        seen.add((node, group.category))
        end = start + encode + sum(group.cell_seconds)
        last = max(last, end)
        heapq.heappush(free, (end, worker))
    return last


PAPER = {
    # Table: (arms, shots) of PromptAD cells on MVTec and VisA, two tasks each.
    "1 and 4": (1, 3),
    "3": (5, 1),
    "5, learned": (4, 1),
    "7": (3, 1),
    "8": (2, 3),
    "Figure 4": (16, 1),
    "Figure 5": (5, 1),
}
CATEGORIES = {"mvtec": (15, 115), "visa": (12, 180)}
"""Categories, and test images per category on average."""
SEEDS = 5
NODES = (1, 2, 4, 8, 16, 32, 64)


def replay_paper(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Makespans of all learned cells of the paper on 1 to 64 workers, from this run's durations."""
    case = next(c for c in cells if c["backbone"].startswith("ViT-B") and c["test_images"] == 160)
    further = [entry["further_cell_seconds"] for entry in case["tasks"].values()]
    encode = case["tasks"]["image"]["stages"]["features"] / case["test_images"]
    arms = sum(arms * shots for arms, shots in PAPER.values())
    groups = []
    for name, (categories, images) in CATEGORIES.items():
        for number in range(categories):
            seconds = [second for second in further for _ in range(arms * SEEDS)]
            groups += [
                ReplayGroup(
                    category=f"{name}{number}",
                    encode_seconds=encode * images,
                    cell_seconds=tuple(seconds[start : start + 32]),
                )
                for start in range(0, len(seconds), 32)
            ]
    load = case["tasks"]["image"]["load_seconds"]
    makespans = {nodes: replay(groups, nodes, load_seconds=load) for nodes in NODES}
    count = sum(len(group.cell_seconds) for group in groups)
    return {
        "note": (
            f"{count} cells (tables {', '.join(PAPER)}; MVTec and VisA, {SEEDS} seeds, both tasks) in groups as the "
            "executor makes them, with this run's CPU durations of ViT-B/16+ for every backbone; each worker is a node "
            "that encodes a category's images when it first meets them. On GPUs the seconds differ, the shape does not."
        ),
        "entries": [
            {
                "nodes": nodes,
                "seconds": seconds,
                "speed_up": makespans[1] / seconds,
                "efficiency": makespans[1] / seconds / nodes,
            }
            for nodes, seconds in makespans.items()
        ],
    }
