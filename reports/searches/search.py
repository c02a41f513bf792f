"""A search of hyperparameters as typed values: space, objectives and trials."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reports.reading.given import DataName, Given
from reports.reading.shapes import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A searched hyperparameter: numeric between `low` and `high`, or one of `values`.

    `when` are its parent and the values of it with which it is active; None if it always is. `default` is the paper's
    value, None if it has none.
    """

    name: str
    label: str
    kind: str
    low: float
    high: float
    log: bool
    step: float | None
    values: tuple[object, ...]
    when: tuple[str, tuple[object, ...]] | None
    default: object

    @property
    def numeric(self) -> bool:
        """True if its values are numbers with an order."""
        return self.kind != "choice"

    def is_default(self, value: object) -> bool:
        """True if a value is the paper's, numbers up to their rounding."""
        if self.default is None or isinstance(value, bool) or not isinstance(value, int | float):
            return self.default is not None and bool(value == self.default)
        return isinstance(self.default, int | float) and math.isclose(value, self.default, rel_tol=1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One number that a search optimised: a mean of AUROCs over cells, or something else that cells have.

    ``tasks`` are those whose AUROC it averages; none if it is no AUROC.
    """

    label: str
    metric: str
    maximize: bool
    tasks: tuple[str, ...]

    @property
    def fraction(self) -> bool:
        """True if it is printed in percent."""
        return bool(self.tasks)

    def best_first(self, value: float) -> float:
        """A key that sorts the best value first."""
        return -value if self.maximize else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One evaluated cell of a trial: the AUROC of its task."""

    category: str
    seed: int
    task: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration that was tried; `values` are in the order of the objectives, empty unless complete."""

    number: int
    params: Document
    state: str
    values: tuple[float, ...]
    steps: tuple[Step, ...]
    cells: tuple[str, ...]
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Cells on seeds that the search did not see: digests by trial number, and those of the paper's defaults."""

    seeds: tuple[int, ...]
    trials: Mapping[int, tuple[str, ...]]
    default: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The winner and the base config on categories that the search did not see: digests of cells, and their values.

    A value is None if a cell failed.
    """

    categories: tuple[str, ...]
    winner: tuple[str, ...]
    base: tuple[str, ...]
    winner_value: float | None
    base_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search with its trials by number; `damaged` are files that cannot be used, each with the reason.

    `adaptive`: the sampler looks at earlier trials, so that good places were tried more often.
    """

    name: str
    space: str
    title: str
    parameters: tuple[Parameter, ...]
    objective: str
    tuned_on: str
    on_test: bool
    on_test_images: bool
    objectives: tuple[Objective, ...]
    sampler: str
    adaptive: bool
    asked: int
    backbone: str
    random_weights: bool
    weights: str
    dataset: str
    given: Given
    categories: tuple[str, ...]
    shots: str
    seeds: tuple[int, ...]
    trials: tuple[Trial, ...]
    fresh: Fresh | None
    held_out: HeldOut | None
    damaged: Mapping[str, str]
    sensitivity: Document

    @property
    def data_name(self) -> DataName:
        """What headings call the data by."""
        return DataName(title=self.dataset, given=self.given)

    @property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that have values."""
        return tuple(trial for trial in self.trials if trial.state == "complete")

    @property
    def default_trial(self) -> Trial | None:
        """The complete trial at the paper's defaults, if it was tried."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for trial in self.complete:
            if all(known[name].is_default(value) for name, value in trial.params.items()):
                return trial
        return None
