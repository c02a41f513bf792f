"""The best configurations of a search: against the paper's defaults, on fresh seeds, and how stable their lead is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reports.reading.rows import read_row
from reports.reading.shapes import Document
from reports.searches.search import Search, Step, Trial
from reports.searches.sensitivity import best_trials, pareto_front
from reports.statistics import (
    Effect,
    SeedScores,
    Summary,
    adjusted,
    complete_seeds,
    paired_effect,
    seed_means,
    summarize,
)

SHOWN = 10
RESAMPLES = 2000

Rows = Mapping[str, Document]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshScore:
    """A configuration on seeds that the search did not see: over them, and against the defaults at the same seeds.

    `summary` is None while a cell is missing; `there` of `planned` cells have the score. `defaults` are the paper's
    defaults at the seeds of `effect`, None with it.
    """

    summary: Summary | None
    defaults: Summary | None
    effect: Effect | None
    there: int
    planned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of the best trials of an objective; `effect` is against the trial at the defaults during the search.

    `optimism` is how much better the search's value looks than the mean on fresh seeds.
    """

    trial: Trial
    default: bool
    effect: Effect | None
    fresh: FreshScore | None
    optimism: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A configuration's rank at each seed among all complete trials (1: best), and how often it wins a resample.

    `by_seeds` and `by_categories` are shares of resamples (with replacement) in which it leads the best ten; None
    where there is only one seed or category.
    """

    trial: Trial
    ranks: tuple[tuple[int, int], ...]
    by_seeds: float | None
    by_categories: float | None


def candidates(search: Search, place: int, rows: Rows) -> tuple[Candidate, ...]:
    """The ten best trials (of several objectives: of the Pareto front), then the defaults if not among them."""
    best = best_trials(search, place) if len(search.objectives) == 1 else pareto_front(search)
    chosen = list(best[:SHOWN])
    default = search.default_trial
    if default is not None and default not in chosen:
        chosen.append(default)
    base = measured(search, default.steps, place) if default is not None else {}
    made = []
    for trial in chosen:
        is_default = trial is default
        scores = measured(search, trial.steps, place)
        effect = None if is_default or not base else _paired(scores, base, search.seeds)
        fresh = _fresh(search, place, trial, rows, is_default=is_default)
        optimism = None
        if fresh is not None and fresh.summary is not None:
            objective = search.objectives[place]
            optimism = objective.best_first(fresh.summary.mean) - objective.best_first(trial.values[place])
        made.append(Candidate(trial=trial, default=is_default, effect=effect, fresh=fresh, optimism=optimism))
    return tuple(made)


def fresh_claims(found: Sequence[Sequence[Candidate]]) -> tuple[tuple[Candidate, ...], ...]:
    """The candidates of all objectives with their effects on fresh seeds adjusted as one family of tests.

    Effects during the search stay untested: the candidates were chosen by these very numbers.
    """
    fresh = [one.fresh.effect for group in found for one in group if one.fresh is not None and one.fresh.effect]
    family = iter(adjusted(fresh))
    return tuple(tuple(_adjusted(one, family) for one in group) for group in found)


def _adjusted(one: Candidate, family: Iterator[Effect]) -> Candidate:
    if one.fresh is None or one.fresh.effect is None:
        return one
    return replace(one, fresh=replace(one.fresh, effect=next(family)))


def measured(search: Search, steps: Sequence[Step], place: int) -> dict[tuple[int, str], float]:
    """What cells measured of one objective, by seed and "category task"; empty if they do not."""
    tasks = search.objectives[place].tasks
    return {(step.seed, f"{step.category} {step.task}"): step.value for step in steps if step.task in tasks}


def held_out_effect(search: Search, rows: Rows) -> Effect | None:
    """The winner against the base config on categories that the search did not see; None without both."""
    found = search.held_out
    if found is None:
        return None
    return _paired(_row_scores(search, 0, found.winner, rows), _row_scores(search, 0, found.base, rows), search.seeds)


def _paired(mine: SeedScores, base: SeedScores, seeds: Sequence[int]) -> Effect | None:
    return paired_effect(mine, base, seeds=seeds, categories=_places(mine, base)) if mine else None


def _places(*scores: SeedScores) -> tuple[str, ...]:
    return tuple(sorted({place for found in scores for _, place in found}))


def _fresh(search: Search, place: int, trial: Trial, rows: Rows, *, is_default: bool) -> FreshScore | None:
    """The trial on fresh seeds; None if it was not planned there."""
    if search.fresh is None:
        return None
    digests = search.fresh.trials.get(trial.number) or (search.fresh.default if is_default else ())
    if not digests:
        return None
    mine, planned = _row_scores(search, place, digests, rows), _planned(search, place, digests, rows)
    base = _row_scores(search, place, search.fresh.default, rows)
    seeds = complete_seeds(mine, search.fresh.seeds, _places(mine))
    complete = len(mine) == planned and bool(mine)
    effect = None if is_default or not complete or not base else _paired(mine, base, search.fresh.seeds)
    return FreshScore(
        summary=summarize(seed_means(mine, seeds, _places(mine))) if complete and seeds else None,
        defaults=None if effect is None else _defaults(mine, base, search.fresh.seeds),
        effect=effect,
        there=len(mine),
        planned=planned,
    )


def _defaults(mine: SeedScores, base: SeedScores, seeds: Sequence[int]) -> Summary:
    """The defaults over the seeds at which they and the trial have everything: those of their difference."""
    places = _places(mine, base)
    theirs = set(complete_seeds(base, seeds, places))
    both = [seed for seed in complete_seeds(mine, seeds, places) if seed in theirs]
    return summarize(seed_means(base, both, places))


def _planned(search: Search, place: int, digests: Sequence[str], rows: Rows) -> int:
    """How many of the cells measure the objective; a cell without a row counts, for nobody knows."""
    tasks = search.objectives[place].tasks
    return sum(digest not in rows or (rows[digest].get("cell") or {}).get("task") in tasks for digest in digests)


def _row_scores(search: Search, place: int, digests: Sequence[str], rows: Rows) -> dict[tuple[int, str], float]:
    found = {}
    for digest in digests:
        try:
            row = read_row(digest, rows[digest])
            task, seed = str(row.cell["task"]), int(row.cell["seed"])
            where = f"{row.cell['category']} {task}"
        except (KeyError, ValueError, TypeError, AttributeError):
            # A row that is missing or cannot be used: the count tells.
            continue
        if task in search.objectives[place].tasks and f"{task}_auroc" in row.scores:
            found[seed, where] = row.scores[f"{task}_auroc"]
    return found


def standings(search: Search, place: int) -> tuple[Standing, ...]:
    """The ten best trials with their ranks by seed and their shares of won resamples.

    Only trials with every cell of every seed take part; none if the objective is not measured by cells.
    """
    scores = {trial.number: measured(search, trial.steps, place) for trial in search.complete}
    places = _places(*scores.values())
    whole = [
        trial
        for trial in best_trials(search, place)
        if places and len(complete_seeds(scores[trial.number], search.seeds, places)) == len(search.seeds)
    ]
    if not whole:
        return ()
    maximize = search.objectives[place].maximize
    cube = np.array([[[scores[t.number][seed, where] for where in places] for seed in search.seeds] for t in whole])
    by_seed = (1 if maximize else -1) * cube.mean(axis=2)
    top = by_seed[:SHOWN]
    ranks = [[1 + int((by_seed[:, s] > one[s]).sum()) for s in range(len(search.seeds))] for one in top]
    by_category = (1 if maximize else -1) * cube[:SHOWN].mean(axis=1)
    wins = (_win_shares(top), _win_shares(by_category))
    return tuple(
        Standing(
            trial=trial,
            ranks=tuple(zip(search.seeds, ranks[i], strict=True)),
            by_seeds=None if wins[0] is None else wins[0][i],
            by_categories=None if wins[1] is None else wins[1][i],
        )
        for i, trial in enumerate(whole[:SHOWN])
    )


def _win_shares(scores: np.ndarray[Any, np.dtype[np.float64]]) -> list[float] | None:
    """How often each row has the highest mean when columns are drawn with replacement; ties are shared."""
    configurations, units = scores.shape
    if units < 2 or configurations < 2:
        return None
    drawn = np.random.default_rng(0).integers(0, units, (RESAMPLES, units))
    means = scores[:, drawn].mean(axis=2)
    won = means >= means.max(axis=0) - 1e-12
    shares = (won / won.sum(axis=0)).mean(axis=1)
    return [float(share) for share in shares] if math.isclose(float(shares.sum()), 1.0) else None
