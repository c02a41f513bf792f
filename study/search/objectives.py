"""What a search makes as good as it can, and whose labels that looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptad.user_error import UserError
from study.records.cell import Query
from study.records.row import Row


class ObjectiveError(UserError):
    """An objective that does not exist, or that the data cannot answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one cell adds to a trial: ``value`` is the AUROC of its task, ``cell`` its digest."""

    cell: str
    category: str
    seed: int
    task: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A way to judge a config.

    ``metrics`` and ``directions`` are those of a trial's values. ``on_test``: it looks at the very labels that a table
    would report. ``tuned_on`` says in words what it looks at; ``{tune}`` and ``{held_out}`` stand for categories.
    """

    name: str
    label: str
    query: Query
    on_test: bool
    tuned_on: str
    folds: bool = False
    metrics: tuple[str, ...] = ("mean_auroc",)
    directions: tuple[str, ...] = ("maximize",)

    @property
    def single(self) -> bool:
        """Whether a trial has one value, so that there is a best trial."""
        return len(self.metrics) == 1

    def values(self, steps: Sequence[Step], rows: Mapping[str, Row]) -> tuple[float, ...]:
        """A trial's values from its cells, all being there.

        The mean AUROC is over (category, seed) pairs of the mean over tasks; seconds are a cell's, without reading
        features, which depends on what the cache holds.
        """
        return tuple(_MEASURES[metric](steps, rows) for metric in self.metrics)


def pair_values(steps: Sequence[Step]) -> dict[tuple[str, int], float]:
    """Mean over tasks of each (category, seed) pair, in order of appearance."""
    found: dict[tuple[str, int], list[float]] = {}
    for step in steps:
        found.setdefault((step.category, step.seed), []).append(step.value)
    return {pair: math.fsum(values) / len(values) for pair, values in found.items()}


def _mean_auroc(steps: Sequence[Step], _: Mapping[str, Row]) -> float:
    values = pair_values(steps).values()
    return math.fsum(values) / len(values)


def _of_task(task: str) -> Callable[[Sequence[Step], Mapping[str, Row]], float]:
    def mean(steps: Sequence[Step], rows: Mapping[str, Row]) -> float:
        return _mean_auroc([step for step in steps if step.task == task], rows)

    return mean


def _seconds(steps: Sequence[Step], rows: Mapping[str, Row]) -> float:
    measured = [rows[step.cell].seconds for step in steps]
    return math.fsum(seconds["total"] - seconds.get("features", 0.0) for seconds in measured) / len(measured)


_MEASURES: Mapping[str, Callable[[Sequence[Step], Mapping[str, Row]], float]] = {
    "mean_auroc": _mean_auroc,
    "image_auroc": _of_task("image"),
    "pixel_auroc": _of_task("pixel"),
    "seconds": _seconds,
}

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            name="synthetic",
            label="AUROC on pseudo-anomalies",
            query="synthetic",
            on_test=False,
            tuned_on="pseudo-anomalies on normal support images of {tune}; no test image, no test label",
        ),
        Objective(
            name="held_out_categories",
            label="test AUROC of other categories",
            query="test",
            on_test=False,
            folds=True,
            tuned_on="test labels of {tune}; the labels of {held_out} are held out",
        ),
        Objective(
            name="oracle",
            label="test AUROC (TUNED ON TEST)",
            query="test",
            on_test=True,
            tuned_on="TUNED ON TEST: the test labels of {tune} themselves; for sensitivity studies only",
        ),
        Objective(
            name="pareto",
            label="image AUROC, pixel AUROC on pseudo-anomalies, and seconds",
            query="synthetic",
            on_test=False,
            tuned_on="pseudo-anomalies on normal support images of {tune}; no test image, no test label",
            metrics=("image_auroc", "pixel_auroc", "seconds"),
            directions=("maximize", "maximize", "minimize"),
        ),
    )
}
"""Every objective by the name that ``search --objective`` takes."""


def named_objective(name: str) -> Objective:
    """An objective by name; raises ``ObjectiveError`` that lists them."""
    if name not in OBJECTIVES:
        raise ObjectiveError(f"no objective is called {name}; there are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]


def fold_of(categories: Sequence[str], *, folds: int, fold: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Categories to tune on, and those of fold ``fold`` (from 1): every ``folds``-th category from there on.

    Raises:
        ObjectiveError: fewer categories than folds, or a fold that is none of them.
    """
    if not 2 <= folds <= len(categories):
        raise ObjectiveError(
            f"held_out_categories needs at least 2 folds and a category for each, but --folds is {folds} and there "
            f"{'is' if len(categories) == 1 else 'are'} {len(categories)} ({', '.join(categories)})"
        )
    if not 1 <= fold <= folds:
        raise ObjectiveError(f"--fold must be between 1 and the {folds} folds, but got {fold}")
    held_out = tuple(categories[fold - 1 :: folds])
    return tuple(name for name in categories if name not in held_out), held_out


def step_of(row: Row) -> Step:
    """What a finished cell adds."""
    cell = row.cell
    scores: Mapping[str, Any] = row.scores or {}
    return Step(
        cell=cell.digest, category=cell.category, seed=cell.seed, task=cell.task, value=scores[f"{cell.task}_auroc"]
    )
