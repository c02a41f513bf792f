"""The workbench of a search: each trial's cells use all categories, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from promptad.configs.method_config import Task
from promptad.datasets import Category
from promptad.features.cache import FeatureCache
from study.bench.workbench import Workbench
from study.records.cell import Cell
from study.records.outcome import Outcome


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
    ) -> None:
        super().__init__(cache=cache, device=device, threads=threads, all_categories=True)
        self._categories, self._tasks = categories, tasks

    def run(self, cell: Cell) -> Outcome:
        """Fit and score one cell; each image is encoded once for all tasks."""
        both = [dataclasses.replace(cell, task=task) for task in self._tasks]
        self.start_group([cell, *both], self._categories[cell.category])
        return super().run(cell)
