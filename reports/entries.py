"""What stands in one place of a table: a number with all that it needs to be read, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from reports.statistics import Effect, Summary

METRICS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "image_auroc": ("Image AUROC", "image"),
        "image_aupr": ("Image AUPR", "image"),
        "pixel_auroc": ("Pixel AUROC", "pixel"),
        "pro": ("Pixel PRO", "pixel"),
    }
)
"""Metric -> (title, task); the order is the order of the columns."""

Shots = int | Literal["full", "own"]
"""Support images of a column: their number, all normal images of each category, or each row's own number."""

Kind = Literal["failed", "pruned", "unavailable", "missing", "not planned", "published only", "incomplete"]
Verdict = Literal["inside our interval", "above", "below", "incomplete", "no interval", "not comparable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why there is no number: `count` of `planned` units are `kind` (of "incomplete": are there)."""

    kind: Kind
    reason: str
    count: int
    planned: int
    unit: str = "cells"

    @property
    def text(self) -> str:
        """What is printed where a number would stand; begins with a word, never empty, never a number alone."""
        if self.kind == "unavailable":
            return f"unavailable ({self.reason})"
        if self.kind in ("not planned", "published only"):
            return self.kind
        if self.kind == "incomplete":
            return f"incomplete ({self.count} of {self.planned} {self.unit})"
        return f"{self.kind} ({self.count} of {self.planned})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One metric at one number of shots; `scope` says so where the data leaves categories without it."""

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
        return METRICS[self.metric][1]


def shots_text(shots: Shots) -> str:
    """Shots in words: "1-shot", "full-shot", "own shots"."""
    return "own shots" if shots == "own" else f"{shots}-shot"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedValue:
    """A published number as fraction, its difference from the published baseline, and our verdict on it.

    The verdict says where OUR interval lies: "above" means above the published number. `shots` is 0 where the paper
    gives this arm without support images. `detail` says of how many seeds or categories an incomplete number is.
    """

    dataset: str
    shots: int | None
    value: float
    std: float | None
    effect: float | None
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One arm in one column.

    `value` is over the complete seeds in `seeds` (their means in `seed_means`); `shortfall` says if fewer seeds than
    planned are complete. `effect` is None for the baseline itself and in tables without one; `effect_shortfall` says
    if it is over fewer seeds than planned. `digests` are the cells behind `value`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEntry:
    """One arm, column and category: over the seeds that are there, however few; `shortfall` says how few."""

    value: Summary | Missing
    shortfall: Missing | None
    delta: Summary | Missing | None
    digests: tuple[str, ...]
