"""The content of one place of a table: a number with its interval and notes, or the reason why there is none."""

from dataclasses import dataclass
from typing import Literal

from promptad.scoring.metric_table import METRICS
from reports.reading.shots import Shots, shots_text
from reports.statistics import Effect, Summary

Kind = Literal["failed", "pruned", "unavailable", "missing", "not planned", "published only", "incomplete"]
Verdict = Literal["differs", "equal", "open", "plain difference", "incomplete", "no interval", "none"]
"""The verdict on a printed number and ours; "none": no verdict, for the value's `reasons`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why there is no number: `count` of `planned` units are of this `kind`.

    If `kind` is "incomplete", `count` units have a number.
    """

    kind: Kind
    reason: str
    count: int
    planned: int
    unit: str = "cells"

    @property
    def text(self) -> str:
        """Text in place of a number; begins with a word, never empty, never a number alone."""
        if self.kind == "unavailable":
            return f"unavailable ({self.reason})"
        if self.kind in ("not planned", "published only"):
            return self.kind
        if self.kind == "incomplete":
            return f"incomplete ({self.count} of {self.planned} {self.unit})"
        return f"{self.kind} ({self.count} of {self.planned})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One metric at one number of shots; `scope` names the categories if the data lack the metric for some."""

    metric: str
    shots: Shots
    scope: str = ""

    @property
    def shots_text(self) -> str:
        """The shots in words: "1-shot", "full-shot", "own shots"."""
        return shots_text(self.shots)

    @property
    def task(self) -> str:
        """The task whose cells hold the metric."""
        return METRICS[self.metric].task


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedValue:
    """A published number as fraction, its difference from the published baseline, and our verdict on it.

    `shots` are the paper's (0: without support images). `difference` is ours minus the printed number, `low` and
    `high` the interval of the test of equality (`reports/tables/equality.py`), None where nothing was tested;
    `more_seeds` of ours would settle an open one, None where no number would. `own_spread`: the paper prints no SD, so
    its seeds are assumed to spread as ours. `reasons`: why there is no verdict. `note`: what the paper prints
    elsewhere. `detail`: the number of seeds or categories of an incomplete number.
    """

    dataset: str
    shots: Shots | None
    value: float
    std: float | None
    effect: float | None
    verdict: Verdict
    difference: float | None
    low: float | None
    high: float | None
    more_seeds: int | None
    own_spread: bool
    reasons: tuple[str, ...]
    note: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One arm in one column.

    `value` is over the complete seeds in `seeds` (their means in `seed_means`); `shortfall` is set if fewer seeds than
    planned are complete. `effect` is None for the baseline itself and in tables without one; `effect_shortfall` is set
    if it is over fewer seeds than planned. `digests` are the cells behind `value`. `one_support_set` are categories in
    which all seeds share their support images, `effect_on_one_set` those in which the arm's or the baseline's do.
    """

    value: Summary | Missing
    shortfall: Missing | None
    seeds: tuple[int, ...]
    seed_means: tuple[float, ...]
    n_categories: int
    effect: Effect | Missing | None
    effect_shortfall: Missing | None
    published: tuple[PublishedValue, ...]
    digests: tuple[str, ...]
    selected_on_test: bool
    one_support_set: tuple[str, ...]
    effect_on_one_set: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEntry:
    """One arm, column and category, over the seeds that exist; `shortfall` counts them if some are missing."""

    value: Summary | Missing
    shortfall: Missing | None
    delta: Summary | Missing | None
    digests: tuple[str, ...]
