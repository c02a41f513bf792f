"""A plan document as typed values; `reports/reading/plan_reading.py` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from reports.reading.shots import Shots

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One variant of an ablation.

    `factors` are the levels it stands for. An arm with `not_runnable` has no cells: only published numbers.
    """

    name: str
    label: str
    marks: Mapping[str, object]
    changes: Mapping[str, object]
    factors: Mapping[str, object]
    method: str
    not_runnable: str | None
    random_weights: bool

    @property
    def runnable(self) -> bool:
        """True if cells were planned for it."""
        return self.not_runnable is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Something that an ablation varies, with its levels in order."""

    name: str
    label: str
    levels: tuple[object, ...]

    @property
    def numeric(self) -> bool:
        """True if every level is a number."""
        return bool(self.levels) and all(
            isinstance(level, int | float) and not isinstance(level, bool) for level in self.levels
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCell:
    """One planned measurement: which arm, category, shots, seed and task the row `digest` holds.

    `shots` is its column, `images` the cell's number of support images.
    """

    digest: str
    arm: str
    category: str
    shots: Shots
    images: int
    seed: int
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a printed number gets no verdict: a word for the kind of reason, and a clause for people."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedNumber:
    """A number of the paper beside an arm, a metric and a column; `value` and `std` in percent, as printed.

    `category` is None for a mean over all categories. `printed_shots` are those that the paper prints it for. `note`
    is a sentence on what the paper prints elsewhere. `draws` is false where an arm sees no support image, so its seeds
    are equal and only the plain difference can be reported. There is a verdict if there is no obstacle.
    """

    arm: str
    shots: Shots
    metric: str
    dataset: str
    category: str | None
    printed_shots: Shots | None
    value: float
    std: float | None
    note: str
    draws: bool
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One ablation as planned; field for field the plan JSON of schema 1. `name` is unique in its study.

    `proxies` are cells that score pseudo-anomalies instead of test images; no table holds them.
    `printed_firsts`: for each data set, metric and shots of the paper's table, whether the baseline is first there.
    """

    name: str
    ablation: str
    title: str
    question: str
    method_note: str
    baseline: str | None
    backbone: str
    weights_label: str
    protocol: str
    selection: str
    dataset: str
    dataset_title: str
    categories: tuple[str, ...]
    shots: tuple[Shots, ...]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    arms: tuple[Arm, ...]
    printed: tuple[PrintedNumber, ...]
    cells: tuple[PlannedCell, ...]
    left_out: tuple[tuple[str, str], ...]
    data_cautions: tuple[str, ...]
    metrics: tuple[str, ...]
    design: str
    factors: tuple[Factor, ...]
    shown_as: tuple[str, ...]
    prompts: Mapping[str, tuple[str, ...]]
    one_support_set: Mapping[tuple[str, Shots], tuple[str, ...]]
    printed_firsts: Mapping[tuple[str, str, object], bool]
    proxies: tuple[PlannedCell, ...] = ()

    @property
    def runnable(self) -> tuple[Arm, ...]:
        """The arms that have cells."""
        return tuple(arm for arm in self.arms if arm.runnable)

    @property
    def random_arms(self) -> tuple[Arm, ...]:
        """The arms that run on random weights."""
        return tuple(arm for arm in self.runnable if arm.random_weights)
