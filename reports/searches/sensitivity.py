"""What a search says of each hyperparameter, and how it went: plain numbers for figures and sentences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reports.searches.axes import Axis, axis_of
from reports.searches.search import Parameter, Search, Trial
from reports.statistics import Summary, summarize


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A parameter's share of the importance: by all trials, and 5th and 95th percentile over resampled trials."""

    parameter: Parameter
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Importances by one definition, highest first; `why_not` says why there are none, `absent` which lack one."""

    method: str
    trials: int
    resamples: int
    bars: tuple[Bar, ...]
    absent: Mapping[str, str]
    why_not: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Complete trials with a parameter in one part of its axis; `summary` is of their values, None without any."""

    low: float
    high: float
    text: str
    summary: Summary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One objective along one parameter: the complete trials in which it was active, and their means by group."""

    axis: Axis
    trials: tuple[Trial, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Cells of all trials: `planned` as if none had been pruned, `evaluated`, and what the pruned trials left out."""

    planned: int
    evaluated: int
    saved: int
    pruned: int


def importances(search: Search, place: int) -> tuple[Importance, ...]:
    """Importances of one objective as the study computed them; none if it did not."""
    objectives = search.sensitivity.get("objectives") or []
    known = {parameter.name: parameter for parameter in search.parameters}
    found = []
    for method in objectives[place]["methods"] if place < len(objectives) else []:
        shares = method.get("parameters") or {}
        bars = [
            Bar(parameter=known[name], share=one["all_trials"], low=one["low"], high=one["high"])
            for name, one in shares.items()
            if name in known
        ]
        found.append(
            Importance(
                method=str(method["method"]),
                trials=int(method["trials"]),
                resamples=int(method.get("resamples") or 0),
                bars=tuple(sorted(bars, key=lambda bar: (-bar.share, bar.parameter.name))),
                absent=dict(method.get("absent") or {}),
                why_not=str(method.get("why_not") or ""),
            )
        )
    return tuple(found)


def ranked_parameters(search: Search, place: int) -> tuple[Parameter, ...]:
    """All parameters, the most important first: by the mean of their shares in the definitions that have one."""
    shares: dict[str, list[float]] = {}
    for importance in importances(search, place):
        for bar in importance.bars:
            shares.setdefault(bar.parameter.name, []).append(bar.share)
    means = {name: math.fsum(found) / len(found) for name, found in shares.items()}
    return tuple(sorted(search.parameters, key=lambda parameter: -means.get(parameter.name, 0.0)))


def slices(search: Search, place: int) -> tuple[Slice, ...]:
    """A slice per parameter that some complete trial had, the most important first."""
    made = []
    for parameter in ranked_parameters(search, place):
        axis = axis_of(search, parameter)
        trials = tuple(trial for trial in search.complete if parameter.name in trial.params)
        members: dict[int, list[float]] = {}
        for trial in trials:
            members.setdefault(axis.group(trial.params[parameter.name]), []).append(trial.values[place])
        groups = tuple(
            Group(low=low, high=high, text=text, summary=summarize(members[i]) if i in members else None)
            for i, (low, high, text) in enumerate(axis.groups)
        )
        if trials:
            made.append(Slice(axis=axis, trials=trials, groups=groups))
    return tuple(made)


def best_trials(search: Search, place: int) -> tuple[Trial, ...]:
    """Complete trials, the best first; of equal ones the earlier."""
    objective = search.objectives[place]
    return tuple(sorted(search.complete, key=lambda trial: (objective.best_first(trial.values[place]), trial.number)))


def best_so_far(search: Search, place: int) -> tuple[tuple[int, float], ...]:
    """(trial number, best value of the complete trials up to it), in order."""
    better = max if search.objectives[place].maximize else min
    found: list[tuple[int, float]] = []
    for trial in search.complete:
        value = trial.values[place]
        found.append((trial.number, better(found[-1][1], value) if found else value))
    return tuple(found)


def pareto_front(search: Search) -> tuple[Trial, ...]:
    """Complete trials that no other one equals or betters in every objective and betters in one, by the first."""
    keys = {
        trial.number: tuple(o.best_first(v) for o, v in zip(search.objectives, trial.values, strict=True))
        for trial in search.complete
    }

    def dominated(mine: tuple[float, ...]) -> bool:
        return any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in keys.values())

    front = [trial for trial in search.complete if not dominated(keys[trial.number])]
    return tuple(sorted(front, key=lambda trial: (keys[trial.number], trial.number)))


def work(search: Search) -> Work:
    """Cells planned and evaluated. A trial is planned to have as many cells as the longest complete one."""
    full = max((len(trial.steps) for trial in search.complete), default=0)
    tried = [trial for trial in search.trials if trial.state != "failed"]
    pruned = [trial for trial in tried if trial.state == "pruned"]
    saved = sum(max(0, full - len(trial.steps)) for trial in pruned)
    evaluated = sum(len(trial.steps) for trial in tried)
    return Work(planned=evaluated + saved, evaluated=evaluated, saved=saved, pruned=len(pruned))
