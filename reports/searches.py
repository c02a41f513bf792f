"""Searches of hyperparameters as the study keeps them, read into typed values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

STATES = ("complete", "pruned", "failed")
KINDS = ("float", "int", "choice")
SCHEMA = 1
TASKS = {"mean_auroc": ("image", "pixel"), "image_auroc": ("image",), "pixel_auroc": ("pixel",)}
"""Tasks whose AUROC a metric averages."""
TITLES = {
    "mean_auroc": "Mean AUROC",
    "image_auroc": "Image AUROC",
    "pixel_auroc": "Pixel AUROC",
    "seconds": "Seconds of a cell",
}
INDEPENDENT = ("random", "sobol", "grid")
"""Samplers that do not look at earlier trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFiles:
    """The JSON of one search: its document, trials and `damaged` files by file name, and its importances if made."""

    name: str
    document: Mapping[str, Any]
    trials: Mapping[str, Mapping[str, Any]]
    sensitivity: Mapping[str, Any] | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)


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
    values: tuple[Any, ...]
    when: tuple[str, tuple[Any, ...]] | None
    default: Any

    @property
    def numeric(self) -> bool:
        """True if its values are numbers with an order."""
        return self.kind != "choice"

    def is_default(self, value: Any) -> bool:
        """True if a value is the paper's, numbers up to their rounding."""
        if self.default is None or isinstance(value, bool) or not isinstance(value, int | float):
            return self.default is not None and bool(value == self.default)
        return isinstance(self.default, int | float) and math.isclose(value, self.default, rel_tol=1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One number that a search optimised: a mean of AUROCs over cells, or something else that cells have."""

    label: str
    metric: str
    maximize: bool

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks whose AUROC it averages; none if it is no AUROC."""
        return TASKS.get(self.metric, ())

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
    params: Mapping[str, Any]
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
    """The winner and the base config on categories that the search did not see, with the value of each."""

    categories: tuple[str, ...]
    winner: tuple[Step, ...]
    base: tuple[Step, ...]
    winner_value: float
    base_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search with its trials by number; `damaged` are files that cannot be used, each with the reason."""

    name: str
    title: str
    parameters: tuple[Parameter, ...]
    objective: str
    tuned_on: str
    on_test: bool
    objectives: tuple[Objective, ...]
    sampler: str
    asked: int
    backbone: str
    weights: str
    dataset: str
    categories: tuple[str, ...]
    shots: str
    seeds: tuple[int, ...]
    trials: tuple[Trial, ...]
    fresh: Fresh | None
    held_out: HeldOut | None
    damaged: Mapping[str, str]
    sensitivity: Mapping[str, Any]

    @property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that have values."""
        return tuple(trial for trial in self.trials if trial.state == "complete")

    @property
    def adaptive(self) -> bool:
        """True if the sampler looks at earlier trials, so that good places were tried more often."""
        return self.sampler not in INDEPENDENT

    @property
    def default_trial(self) -> Trial | None:
        """The complete trial at the paper's defaults, if it was tried."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for trial in self.complete:
            if all(known[name].is_default(value) for name, value in trial.params.items()):
                return trial
        return None


def read_search(files: SearchFiles) -> Search:
    """The JSON of a search as typed values; a trial that cannot be used is named in `damaged`.

    Raises:
        ValueError: if the document lacks a key, is of another schema, or contradicts itself.
    """
    raw = files.document
    if raw.get("schema") != SCHEMA:
        raise ValueError(
            f"search schema must be {SCHEMA}, but {files.name} has {raw.get('schema')!r}: it is another version's"
        )
    try:
        objective = raw["objective"]
        parameters = tuple(_parameter(item) for item in raw["space"])
        objectives = _objectives(objective)
        search = Search(
            name=files.name,
            title=str(raw["name"]),
            parameters=parameters,
            objective=str(objective["label"]),
            tuned_on=str(objective["tuned_on"]),
            on_test=bool(objective["on_test"]),
            objectives=objectives,
            sampler=str(raw["sampler"]),
            asked=int(raw["trials"]),
            backbone=str(raw["backbone"]),
            weights=str(raw["weights"]),
            dataset=str(raw["dataset"]),
            categories=tuple(map(str, raw["categories"])),
            shots=", ".join(map(str, raw["shots"])) if isinstance(raw["shots"], list) else str(raw["shots"]),
            seeds=tuple(map(int, raw["seeds"])),
            trials=(),
            fresh=_fresh(raw.get("fresh")),
            held_out=_held_out(raw.get("report")),
            damaged={},
            sensitivity=files.sensitivity or {},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"search {files.name} must have every key of schema {SCHEMA}, but: {error!r}") from error
    trials: dict[int, Trial] = {}
    damaged = dict(files.damaged)
    for file, item in sorted(files.trials.items()):
        try:
            trial = _trial(item, parameters, len(objectives))
            if trial.number in trials:
                raise ValueError(f"trial {trial.number} is there twice")
            trials[trial.number] = trial
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            damaged[file] = str(error) if isinstance(error, ValueError) else f"not a trial: {error!r}"
    return replace(search, trials=tuple(trial for _, trial in sorted(trials.items())), damaged=damaged)


def _parameter(raw: Mapping[str, Any]) -> Parameter:
    kind = str(raw["kind"])
    if kind not in KINDS:
        raise ValueError(f"a parameter's kind must be one of {', '.join(KINDS)}, but {raw['name']} has {kind!r}")
    numeric = kind != "choice"
    low, high = (float(raw["low"]), float(raw["high"])) if numeric else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (raw.get("log") and low <= 0):
        raise ValueError(f"the range of {raw['name']} must be finite and ordered, but is {low} to {high}")
    when = raw.get("when")
    return Parameter(
        name=str(raw["name"]),
        label=str(raw.get("label") or raw["name"]),
        kind=kind,
        low=low,
        high=high,
        log=numeric and bool(raw.get("log")),
        step=float(raw["step"]) if numeric and raw.get("step") else None,
        values=tuple(_frozen(value) for value in raw.get("values") or ()),
        when=None if not when else (str(when["parent"]), tuple(_frozen(value) for value in when["values"])),
        default=_frozen(raw.get("paper")),
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _objectives(raw: Mapping[str, Any]) -> tuple[Objective, ...]:
    """One objective per direction; a single one has the name of the whole."""
    metrics, directions = [str(name) for name in raw["metrics"]], list(raw["directions"])
    if not directions or any(direction not in ("maximize", "minimize") for direction in directions):
        raise ValueError(f"directions must be maximize or minimize, but are {directions}")
    if len(metrics) != len(directions):
        raise ValueError(f"{len(directions)} directions need as many metrics, but there are {len(metrics)}")
    single = str(raw["label"]) if len(metrics) == 1 else None
    return tuple(
        Objective(label=single or TITLES.get(name, name), metric=name, maximize=direction == "maximize")
        for name, direction in zip(metrics, directions, strict=True)
    )


def _trial(raw: Mapping[str, Any], parameters: tuple[Parameter, ...], objectives: int) -> Trial:
    state = raw["state"]
    if state not in STATES:
        raise ValueError(f"a trial's state must be one of {', '.join(STATES)}, but is {state!r}")
    unknown = sorted(set(raw["params"]) - {parameter.name for parameter in parameters})
    if unknown:
        raise ValueError(f"parameters of a trial must be in its search's space, but {', '.join(unknown)} are not")
    values = raw.get("values") if state == "complete" else ()
    if not isinstance(values, list | tuple) or not all(map(_finite, values)):
        raise ValueError(f"values of a complete trial must be finite numbers, but are {values!r}")
    if state == "complete" and len(values) != objectives:
        raise ValueError(
            f"a complete trial must have a value for each of {objectives} objectives, but has {len(values)}"
        )
    return Trial(
        number=int(raw["number"]),
        params={str(name): _frozen(value) for name, value in raw["params"].items()},
        state=state,
        values=tuple(map(float, values)),
        steps=_steps(raw.get("steps")),
        cells=tuple(map(str, raw.get("cells") or ())),
        reason=str(raw.get("reason") or ""),
        seconds=float(raw.get("seconds") or 0.0),
    )


def _steps(raw: Any) -> tuple[Step, ...]:
    steps = []
    for step in raw or ():
        if not _finite(step["value"]):
            raise ValueError(f"a step's value must be a finite number, but is {step['value']!r}")
        steps.append(
            Step(
                category=str(step["category"]),
                seed=int(step["seed"]),
                task=str(step["task"]),
                value=float(step["value"]),
            )
        )
    return tuple(steps)


def _held_out(raw: Mapping[str, Any] | None) -> HeldOut | None:
    if not raw:
        return None
    values = [raw[name]["value"] for name in ("winner", "base")]
    if not all(map(_finite, values)):
        # One of them failed: its trial says so.
        return None
    return HeldOut(
        categories=tuple(map(str, raw["held_out"])),
        winner=_steps(raw["winner"]["steps"]),
        base=_steps(raw["base"]["steps"]),
        winner_value=float(values[0]),
        base_value=float(values[1]),
    )


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fresh(raw: Mapping[str, Any] | None) -> Fresh | None:
    if not raw:
        return None
    return Fresh(
        seeds=tuple(map(int, raw["seeds"])),
        trials={int(number): tuple(map(str, digests)) for number, digests in raw["trials"].items()},
        default=tuple(map(str, raw.get("default") or ())),
    )
