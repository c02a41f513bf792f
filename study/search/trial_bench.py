"""The workbench of a search: each trial's cells use all categories, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from promptad.configs.method_config import Task
from promptad.datasets import Category
from promptad.features.cache import FeatureCache
from study.bench.workbench import Workbench
from study.records.cell import Cell
from study.records.failure import Failure
from study.records.outcome import Outcome
from study.running.row_desk import Worker
from study.running.worker import poisoned, run_cell
from study.search.trial_dispatcher import TrialSource


class TrialBench(Workbench):
    """Keeps backbone, features and masks of every category for the next trial."""

    def __init__(
        self,
        *,
        cache: FeatureCache | None,
        device: str,
        threads: int,
        categories: Mapping[str, Category],
        tasks: tuple[Task, ...],
        gpus: float = 1.0,
    ) -> None:
        super().__init__(cache=cache, device=device, threads=threads, gpus=gpus, all_categories=True)
        self._of_study, self._tasks = categories, tasks

    def run(self, cell: Cell) -> Outcome:
        """Fit and score one cell; each image is encoded once for all tasks."""
        # A trial pays for what another trial on the same images had computed: its seconds may be an objective.
        for features in self._features.values():
            features.remembered.clear()
        both = [dataclasses.replace(cell, task=task) for task in self._tasks]
        self.start_group([cell, *both], [self._of_study[cell.category]])
        return super().run(cell)


def run_next(bench: Workbench, source: TrialSource, trial: int, worker: Worker) -> tuple[bool, bool]:
    """Run one cell of a trial; whether there was one, and whether it has its row now (else it is tried again).

    Raises:
        LedgerError: rows cannot be written, which is not the cell's fault.
        DeviceError: the device can compute no more in this process; the cell is reported.
    """
    cell = source.next(trial, worker)
    if cell is None:
        return False, False
    report = run_cell(bench, cell)
    stored = source.report(trial, report)
    if isinstance(report.result, Failure) and report.result.poisons:
        raise poisoned(report.result)
    return True, stored
