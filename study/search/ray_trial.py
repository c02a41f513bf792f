"""What runs in a worker during a search: a Ray Tune trial is a trial of the search, each of its steps one cell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune

from promptad.backbones.accelerator import DeviceError, device_of
from promptad.configs.method_config import Task
from promptad.datasets import Category
from study.cluster.group_trial import TrialSetup, cause_of, end_process, own_worker, watched
from study.cluster.readiness import ReadinessError, lacks
from study.records.cell import Cell
from study.records.folder import LedgerError
from study.running.dispatcher import Report
from study.running.row_desk import Worker
from study.search.trial_bench import TrialBench, run_next

TURN_SECONDS = 0.2
"""Seconds between two checks whether a cell that another trial runs has its row."""


class SearchTrial(tune.Trainable):  # type: ignore[misc]
    """One trial of a search; its process stays for the next one, with backbone, features and masks."""

    bench: type[TrialBench] = TrialBench

    def setup(
        self,
        config: dict[str, Any],
        shared: TrialSetup,
        categories: Mapping[str, Category],
        tasks: tuple[Task, ...],
    ) -> None:
        """Open the workbench, which outlives this trial."""
        self._worker, self._source, self._limit = own_worker(), RemoteTrials(shared.dispatcher), shared.limit
        try:
            device = device_of(shared.resources.gpus)
        except DeviceError as error:
            raise ReadinessError(f"node {self._worker.name} cannot work: {error}") from error
        if self._worker.node not in shared.fit and (problems := lacks(shared.needs)):
            raise ReadinessError(f"a node that joined cannot work: {'; '.join(problems)}")
        self._bench = self.bench(
            cache=shared.cache.feature_cache(),
            device=device,
            gpus=shared.resources.gpus,
            threads=shared.resources.threads,
            categories=categories,
            tasks=tasks,
        )
        self._number: int = config["number"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self._number = new_config["number"]
        return True

    def step(self) -> dict[str, Any]:
        """Run the trial's next cell; the driver decides whether the trial ends with it."""
        try:
            with watched(self._limit):
                more, finished = run_next(self._bench, self._source, self._number, self._worker)
        except LedgerError as error:
            return {"done": True, "number": self._number, "broken": cause_of(error)}
        except DeviceError:
            end_process()
        return {"done": not more, "number": self._number, "finished": finished, "cell": self._source.last}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the ledger has everything."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Load nothing: the ledger has everything."""


class RemoteTrials:
    """The dispatcher as seen from a worker; a cell that another trial runs is waited for. ``last`` is its digest."""

    last: str | None = None

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def next(self, trial: int, worker: Worker) -> Cell | None:
        """The trial's next cell."""
        while True:
            cell: Cell | None
            cell, wait = ray.get(self._dispatcher.turn.remote(trial, worker))
            if not wait:
                self.last = None if cell is None else cell.digest
                return cell
            time.sleep(TURN_SECONDS)

    def report(self, trial: int, report: Report) -> bool:
        """Call the dispatcher's method of this name."""
        finished: bool = ray.get(self._dispatcher.report.remote(trial, report))
        return finished
