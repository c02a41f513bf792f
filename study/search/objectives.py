"""Objectives of a search, and which labels each looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from promptad.configs.method_config import Task
from promptad.scoring.metric_table import METRICS
from promptad.user_error import UserError
from reports.reading.proxy_objectives import OTHER_CATEGORIES, PSEUDO_ANOMALIES
from reports.reading.shapes import Document
from study.records.cell import Query
from study.records.row import Row


class ObjectiveError(UserError):
    """An objective that does not exist, or that the data cannot answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The contribution of one cell to a trial: ``value`` is the AUROC of its task, ``cell`` its digest."""

    cell: str
    category: str
    seed: int
    task: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a trial, computed from all its cells.

    ``name`` is its key in files, ``title`` its name in reports where an objective has several. ``tasks`` are those
    whose AUROC it averages: it is then a fraction, printed in percent, and comparable with scores on fresh seeds; ()
    for anything else.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    compute: Callable[[Sequence[Step], Mapping[str, Row]], float]
    direction: Literal["maximize", "minimize"] = "maximize"


def pair_values(steps: Sequence[Step]) -> dict[tuple[str, int], float]:
    """Mean over tasks of each (category, seed) pair, in order of appearance."""
    found: dict[tuple[str, int], list[float]] = {}
    for step in steps:
        found.setdefault((step.category, step.seed), []).append(step.value)
    return {pair: math.fsum(values) / len(values) for pair, values in found.items()}


def _mean_auroc(steps: Sequence[Step], _: Mapping[str, Row]) -> float:
    values = pair_values(steps).values()
    return math.fsum(values) / len(values)


def _image_auroc(steps: Sequence[Step], rows: Mapping[str, Row]) -> float:
    return _mean_auroc([step for step in steps if step.task == "image"], rows)


def _pixel_auroc(steps: Sequence[Step], rows: Mapping[str, Row]) -> float:
    return _mean_auroc([step for step in steps if step.task == "pixel"], rows)


def _seconds(steps: Sequence[Step], rows: Mapping[str, Row]) -> float:
    measured = [rows[step.cell].seconds for step in steps]
    return math.fsum(seconds["total"] - seconds.get("features", 0.0) for seconds in measured) / len(measured)


MEAN_AUROC = Measure(name="mean_auroc", title="Mean AUROC", tasks=("image", "pixel"), compute=_mean_auroc)
"""Over (category, seed) pairs of the mean over tasks."""
IMAGE_AUROC = Measure(name="image_auroc", title=METRICS["image_auroc"].title, tasks=("image",), compute=_image_auroc)
PIXEL_AUROC = Measure(name="pixel_auroc", title=METRICS["pixel_auroc"].title, tasks=("pixel",), compute=_pixel_auroc)
SECONDS = Measure(name="seconds", title="Seconds of a cell", tasks=(), compute=_seconds, direction="minimize")
"""Without the time to read features, which depends on the cache's content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A way to judge a config, by one measure or more.

    ``on_test``: it looks at the very labels that a table would report. ``tuned_on`` says in words what it looks at;
    ``{tune}`` and ``{held_out}`` stand for categories; where ``on_test``, it begins with TUNED ON TEST. ``folds``: a
    part of the categories is held out.
    """

    name: str
    label: str
    query: Query
    on_test: bool
    tuned_on: str
    folds: bool = False
    measures: tuple[Measure, ...] = (MEAN_AUROC,)

    def __post_init__(self) -> None:
        """Check a new objective.

        Raises:
            ObjectiveError: no measure, two of one name, or text with a placeholder other than those for categories.
        """
        names = [measure.name for measure in self.measures]
        if not names or len(set(names)) < len(names):
            raise ObjectiveError(f"objective {self.name} must have measures of different names, but has {names}")
        try:
            self.tuned_on.format(tune="", held_out="")
        except (KeyError, IndexError, ValueError) as error:
            raise ObjectiveError(
                f"tuned_on of objective {self.name} must have no place but {{tune}} and {{held_out}}, but is "
                f"{self.tuned_on!r}"
            ) from error

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of a trial's values."""
        return tuple(measure.name for measure in self.measures)

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """For each of a trial's values, whether larger or smaller is better."""
        return tuple(measure.direction for measure in self.measures)

    @property
    def single(self) -> bool:
        """Whether a trial has one value; only then there is a best trial."""
        return len(self.measures) == 1

    def values(self, steps: Sequence[Step], rows: Mapping[str, Row]) -> tuple[float, ...]:
        """A trial's values, from all its cells."""
        return tuple(measure.compute(steps, rows) for measure in self.measures)


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            name=PSEUDO_ANOMALIES.name,
            label=f"AUROC on {PSEUDO_ANOMALIES.title}",
            query="synthetic",
            on_test=False,
            tuned_on="pseudo-anomalies on normal support images of {tune}; no test image, no test label",
        ),
        Objective(
            name=OTHER_CATEGORIES.name,
            label=f"test AUROC of {OTHER_CATEGORIES.title}",
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
            measures=(IMAGE_AUROC, PIXEL_AUROC, SECONDS),
        ),
    )
}
"""Every objective by the name that ``search --objective`` takes. A new one is an entry; its measures may be new."""


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
    """The step of a finished cell."""
    cell = row.cell
    scores: Document = row.scores or {}
    return Step(
        cell=cell.digest, category=cell.category, seed=cell.seed, task=cell.task, value=scores[f"{cell.task}_auroc"]
    )
