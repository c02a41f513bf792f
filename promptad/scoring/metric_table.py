"""Every metric by name: title, task, and the function that computes it. Reading the table loads no torch or scipy.

A new metric is a function and an entry here: cells then measure it, tables may name it, reports show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from promptad.configs.method_config import Task
from promptad.configs.parts import part_at
from promptad.user_error import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, a fraction in [0, 1] that is higher where a method is better.

    ``title`` is what tables call it, ``task`` whose cells have it. ``chance`` is what a method that knows nothing has,
    None where that depends on the data. ``measure`` (``module:function``) is loaded on first
    use: it takes labels and scores of the images, or masks and maps in parts, and returns metrics by name, several at
    once where they share work. Each measure runs once a cell.
    """

    title: str
    task: Task
    measure: str
    chance: float | None = None

    def compute(self, *arguments: object) -> Mapping[str, float]:
        """The values of all metrics of the measure, by name.

        Raises:
            MissingPartError: there is no such function.
        """
        found: Mapping[str, float] = part_at(self.measure, f"the measure of metric {self.title}")(*arguments)
        return found


PIXEL_MEASURES = "promptad.scoring.metrics:pixel_measures"
"""The measure of the pixel task's metrics."""

METRICS: Mapping[str, Metric] = {
    "image_auroc": Metric(
        title="Image AUROC", task="image", measure="promptad.scoring.metrics:image_measures", chance=0.5
    ),
    "image_aupr": Metric(title="Image AUPR", task="image", measure="promptad.scoring.metrics:image_measures"),
    "pixel_auroc": Metric(title="Pixel AUROC", task="pixel", measure=PIXEL_MEASURES, chance=0.5),
    "pro": Metric(title="Pixel PRO", task="pixel", measure=PIXEL_MEASURES),
}
"""Every metric; the order is that of the columns of every table."""


class MeasureError(UserError):
    """A measure that does not return a metric which names it."""


def measured(
    task: Task, *arguments: object, known: Mapping[str, Mapping[str, float]] | None = None
) -> dict[str, float]:
    """All metrics of a task, in the order of the table; each measure that is not ``known`` is computed once.

    Raises:
        MeasureError: a measure returns no value for a metric which names it.
    """
    found: dict[str, float] = {}
    computed: dict[str, Mapping[str, float]] = dict(known or {})
    for name, metric in METRICS.items():
        if metric.task != task:
            continue
        if metric.measure not in computed:
            computed[metric.measure] = metric.compute(*arguments)
        if name not in computed[metric.measure]:
            given = ", ".join(computed[metric.measure]) or "nothing"
            raise MeasureError(f"metric {name} must be among what {metric.measure} returns, but that is {given}")
        found[name] = computed[metric.measure][name]
    return found
