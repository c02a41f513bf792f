"""The transfer study: whether objectives without a category's test labels rank settings as its test set does."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from promptad.scoring.metric_table import METRICS
from reports.reading.planned_cells import PlannedCell
from reports.reading.proxy_objectives import OTHER_CATEGORIES, PSEUDO_ANOMALIES, ProxyObjective
from reports.reading.shots import Shots, shots_text
from reports.statistics import Summary, summarize
from reports.tables.formats import points
from reports.tables.table import Table

CONFIDENCE = 0.95
LEAST = 4
"""Settings below which a rank correlation has no interval."""

AUROC = ("image_auroc", "pixel_auroc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How one objective ranks settings against the test set of one category.

    ``correlation`` is Spearman's, None where all settings tie, with a 95% interval over ``n`` settings.
    ``regret``: test AUROC of the best setting minus that of the chosen one (mean over ties), a fraction; ``at_random``:
    the same for a setting picked blindly; ``of_base``: for the base, negative where it beats every setting.
    """

    category: str
    metric: str
    shots: Shots
    objective: ProxyObjective
    n: int
    correlation: float | None
    low: float | None
    high: float | None
    regret: float
    at_random: float
    of_base: float | None


def transfers(table: Table) -> tuple[Transfer, ...]:
    """Every category, metric, shots and objective that has all its cells."""
    plan = table.plan
    base = plan.baseline
    settings = [arm.name for arm in plan.runnable if arm.name != base]
    found = []
    for metric in (name for name in AUROC if name in plan.metrics):
        for shots in plan.shots:
            oracle = _means(table, plan.cells, metric, shots)
            synthetic = _means(table, plan.proxies, metric, shots)
            for category in plan.categories:
                others = [name for name in plan.categories if name != category]
                judged: dict[ProxyObjective, list[float | None]] = {
                    PSEUDO_ANOMALIES: [synthetic.get((arm, category)) for arm in settings],
                    OTHER_CATEGORIES: [_mean([oracle.get((arm, name)) for name in others]) for arm in settings],
                }
                truth = [oracle.get((arm, category)) for arm in settings]
                for objective, values in judged.items():
                    if len(settings) < 2 or None in values or None in truth:
                        continue
                    found.append(
                        _transfer(
                            [value for value in values if value is not None],
                            [value for value in truth if value is not None],
                            None if base is None else oracle.get((base, category)),
                            (category, metric, shots, objective),
                        )
                    )
    return tuple(found)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float] | None:
    """Spearman's correlation with a 95% interval; None if one of them is constant or there are fewer than 4 pairs.

    Fisher's transformation with Bonett and Wright's standard error, sqrt((1 + r^2 / 2) / (n - 3)).
    """
    if len(first) < LEAST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    r = float(stats.spearmanr(first, second).statistic)
    inside = min(max(r, -1 + 1e-9), 1 - 1e-9)
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt((1 + r * r / 2) / (len(first) - 3))
    return r, math.tanh(math.atanh(inside) - half), math.tanh(math.atanh(inside) + half)


def regret_of(values: Sequence[float], truth: Sequence[float]) -> float:
    """Best truth minus the truth of the setting with the highest value; of several such settings, their mean."""
    chosen = [true for value, true in zip(values, truth, strict=True) if value == max(values)]
    return max(truth) - math.fsum(chosen) / len(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """One objective over `n` categories: the means of its correlations, of its regrets and of blind regrets.

    `correlation` is over the `ranked` categories in which not all settings tie, None without any. `interval` is its 95%
    t-interval over categories; None for other categories, which judge each other: their correlations are not
    independent, and in simulation such an interval covers 78 to 92% (a jackknife over categories 93 to 99%). A regret
    has none either: it is often 0 and sometimes large, and its t-interval covers 50 to 95%.
    """

    n: int
    ranked: int
    correlation: float | None
    interval: tuple[float, float] | None
    regret: float
    at_random: Summary


def over_categories(found: Iterable[Transfer]) -> dict[tuple[str, Shots, ProxyObjective], Overall]:
    """By metric, shots and objective: what was found, averaged over categories."""
    groups: dict[tuple[str, Shots, ProxyObjective], list[Transfer]] = {}
    for transfer in found:
        groups.setdefault((transfer.metric, transfer.shots, transfer.objective), []).append(transfer)
    return {key: _overall(group, independent=key[2].independent) for key, group in groups.items()}


def _overall(group: Sequence[Transfer], *, independent: bool) -> Overall:
    known = [transfer.correlation for transfer in group if transfer.correlation is not None]
    summary = summarize(known) if known else None
    return Overall(
        n=len(group),
        ranked=len(known),
        correlation=None if summary is None else summary.mean,
        interval=None if summary is None or not independent else summary.interval,
        regret=math.fsum(transfer.regret for transfer in group) / len(group),
        at_random=summarize([transfer.at_random for transfer in group]),
    )


def transfer_text(table: Table) -> str:
    """The outcome over categories as lines for a terminal; "" where no category has all its cells."""
    return "\n".join(
        f"{shots_text(shots)} {METRICS[metric].title}, {objective.title}: rank correlation "
        f"{_correlation_text(one)}, regret {points(one.regret)} points (blind choice {points(one.at_random.mean)}), "
        f"n = {one.n} categories"
        for (metric, shots, objective), one in over_categories(transfers(table)).items()
    )


def _correlation_text(one: Overall) -> str:
    if one.correlation is None:
        return "none (ties)"
    if one.interval is None:
        return f"{one.correlation:.2f}, no interval"
    return f"{one.correlation:.2f} [{one.interval[0]:.2f}, {one.interval[1]:.2f}]"


def _transfer(
    values: Sequence[float], truth: Sequence[float], base: float | None, place: tuple[str, str, Shots, ProxyObjective]
) -> Transfer:
    category, metric, shots, objective = place
    r, low, high = rank_correlation(values, truth) or (None, None, None)
    return Transfer(
        category=category,
        metric=metric,
        shots=shots,
        objective=objective,
        n=len(values),
        correlation=r,
        low=low,
        high=high,
        regret=regret_of(values, truth),
        at_random=max(truth) - math.fsum(truth) / len(truth),
        of_base=None if base is None else max(truth) - base,
    )


def _means(table: Table, cells: Iterable[PlannedCell], metric: str, shots: Shots) -> dict[tuple[str, str], float]:
    """Mean over seeds by arm and category, where every seed has its score."""
    scores: dict[tuple[str, str], list[float | None]] = {}
    for cell in cells:
        if cell.shots == shots and cell.task == METRICS[metric].task:
            row = table.rows.found.get(cell.digest)
            scores.setdefault((cell.arm, cell.category), []).append(None if row is None else row.scores.get(metric))
    means = {place: _mean(values) for place, values in scores.items()}
    return {place: mean for place, mean in means.items() if mean is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
