"""The transfer study: whether objectives without a category's test labels rank settings as its test set does."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from reports.drawing import FAINT, RULE, SERIES, Drawing, clean, house_style, six
from reports.entries import METRICS, Shots, shots_text
from reports.formats import points
from reports.grids import Grid, Spot
from reports.records import PlannedCell
from reports.statistics import Summary, summarize
from reports.tables import Table

Objective = Literal["synthetic", "held_out_categories"]
OBJECTIVES: Mapping[Objective, str] = {
    "synthetic": "pseudo-anomalies",
    "held_out_categories": "other categories",
}
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
    objective: Objective
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
                judged: dict[Objective, list[float | None]] = {
                    "synthetic": [synthetic.get((arm, category)) for arm in settings],
                    "held_out_categories": [_mean([oracle.get((arm, name)) for name in others]) for arm in settings],
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


def over_categories(
    found: Iterable[Transfer],
) -> dict[tuple[str, Shots, Objective], tuple[Summary | None, Summary, Summary]]:
    """By metric, shots and objective: correlation, regret and blind regret over categories (None: no correlation)."""
    groups: dict[tuple[str, Shots, Objective], list[Transfer]] = {}
    for transfer in found:
        groups.setdefault((transfer.metric, transfer.shots, transfer.objective), []).append(transfer)
    return {
        key: (
            summarize(known) if (known := [t.correlation for t in group if t.correlation is not None]) else None,
            summarize([t.regret for t in group]),
            summarize([t.at_random for t in group]),
        )
        for key, group in groups.items()
    }


def transfer_text(table: Table) -> str:
    """The outcome over categories as lines for a terminal; "" where no category has all its cells."""
    lines = []
    for (metric, shots, objective), (correlation, regret, blind) in over_categories(transfers(table)).items():
        interval = None if correlation is None else correlation.interval
        rank = "none (ties)" if correlation is None else f"{correlation.mean:.2f}"
        reach = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
        lines.append(
            f"{shots_text(shots)} {METRICS[metric][0]}, {OBJECTIVES[objective]}: rank correlation {rank}{reach}, "
            f"regret {points(regret.mean)} points (blind choice {points(blind.mean)}), n = {regret.n} categories"
        )
    return "\n".join(lines)


def transfer_grids(table: Table) -> tuple[Grid, ...]:
    """A grid per metric and shots: rows are categories, columns each objective's correlation and regret."""
    found = transfers(table)
    overall = over_categories(found)
    grids = []
    for metric, shots in dict.fromkeys((t.metric, t.shots) for t in found):
        head = [("Category", "")]
        for label in OBJECTIVES.values():
            head += [(f"{label}: rank correlation", "Spearman, 95% interval"), (f"{label}: regret", "points of AUROC")]
        head += [("blind choice: regret", "points of AUROC"), ("base: regret", "points of AUROC")]
        rows = []
        for category in dict.fromkeys(t.category for t in found):
            by = {t.objective: t for t in found if (t.category, t.metric, t.shots) == (category, metric, shots)}
            spots = [Spot(main=category)]
            for objective in OBJECTIVES:
                spots += _spots(by.get(objective))
            any_one = next(iter(by.values()), None)
            spots.append(Spot(main="–" if any_one is None else points(any_one.at_random)))
            of_base = None if any_one is None else any_one.of_base
            spots.append(Spot(main="–" if of_base is None else points(of_base)))
            rows.append(tuple(spots))
        rows.append(_overall_row([overall.get((metric, shots, objective)) for objective in OBJECTIVES]))
        title = f"{shots_text(shots)} {METRICS[metric][0]}"
        grids.append(Grid(title=title, head=tuple(head), rows=tuple(rows)))
    return tuple(grids)


def transfer_drawings(table: Table) -> tuple[Drawing, ...]:
    """A figure per metric and shots: each category's rank correlation with its interval, an objective a colour."""
    found = transfers(table)
    return tuple(
        _drawing([t for t in found if (t.metric, t.shots) == key], *key)
        for key in dict.fromkeys((t.metric, t.shots) for t in found)
    )


def _transfer(
    values: Sequence[float], truth: Sequence[float], base: float | None, place: tuple[str, str, Shots, Objective]
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
        if cell.shots == shots and cell.task == METRICS[metric][1]:
            row = table.rows.found.get(cell.digest)
            scores.setdefault((cell.arm, cell.category), []).append(None if row is None else row.scores.get(metric))
    means = {place: _mean(values) for place, values in scores.items()}
    return {place: mean for place, mean in means.items() if mean is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _spots(transfer: Transfer | None) -> list[Spot]:
    if transfer is None:
        return [Spot(main="cells missing", tone="absent")] * 2
    if transfer.correlation is None or transfer.low is None or transfer.high is None:
        correlation = Spot(main="all settings tie", tone="absent")
    else:
        line = f"[{transfer.low:.2f}, {transfer.high:.2f}], n = {transfer.n} settings"
        correlation = Spot(main=f"{transfer.correlation:.2f}", lines=(line,))
    return [correlation, Spot(main=points(transfer.regret))]


def _overall_row(overall: Sequence[tuple[Summary | None, Summary, Summary] | None]) -> tuple[Spot, ...]:
    spots = [Spot(main="mean over categories", tone="base")]
    for one in overall:
        if one is None:
            spots += [Spot(main="–")] * 2
            continue
        correlation, regret, _ = one
        spots += [
            Spot(main="–")
            if correlation is None
            else _summary_spot(correlation, f"{correlation.mean:.2f}", 1.0, "{:.2f}"),
            _summary_spot(regret, points(regret.mean), 100.0, "{:.1f}"),
        ]
    blind = next((one[2] for one in overall if one is not None), None)
    return (
        *spots,
        Spot(main="–") if blind is None else _summary_spot(blind, points(blind.mean), 100.0, "{:.1f}"),
        Spot(main=""),
    )


def _summary_spot(summary: Summary, main: str, scale: float, form: str) -> Spot:
    n = f"n = {summary.n} categories"
    if summary.interval is None:
        return Spot(main=main, lines=(n,))
    low, high = (form.format(scale * end) for end in summary.interval)
    return Spot(main=main, lines=(f"[{low}, {high}], {n}",))


def _drawing(found: Sequence[Transfer], metric: str, shots: Shots) -> Drawing:
    categories = list(dict.fromkeys(t.category for t in found))
    data = []
    with house_style():
        figure = Figure(figsize=(6.4, 1.6 + 0.5 * len(categories)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=RULE, linewidth=1, zorder=0)
        for place, (objective, label) in enumerate(OBJECTIVES.items()):
            shown = [t for t in found if t.objective == objective]
            for number, transfer in enumerate(shown):
                data.append(
                    {
                        "category": transfer.category,
                        "metric": metric,
                        "shots": str(shots),
                        "objective": objective,
                        "settings": str(transfer.n),
                        "spearman": six(transfer.correlation),
                        "low": six(transfer.low),
                        "high": six(transfer.high),
                        "regret": six(transfer.regret),
                        "blind_regret": six(transfer.at_random),
                        "base_regret": six(transfer.of_base),
                    }
                )
                if transfer.correlation is None or transfer.low is None or transfer.high is None:
                    continue
                y = -categories.index(transfer.category) + 0.14 - 0.28 * place
                axes.plot([transfer.low, transfer.high], [y, y], color=SERIES[place], linewidth=1.6)
                name = label if number == 0 else None
                axes.plot(transfer.correlation, y, "os"[place], color=SERIES[place], markersize=6, label=name)
        axes.set_yticks([-place for place in range(len(categories))], categories)
        axes.set_xlim(-1.05, 1.05)
        axes.set_xlabel("rank correlation with the category's test AUROC")
        clean(axes, f"{shots_text(shots)} {METRICS[metric][0]}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=FAINT)
    alt = "Rank correlation of each objective with the test AUROC by category: " + "; ".join(
        f"{t.category}, {OBJECTIVES[t.objective]}: {'none' if t.correlation is None else f'{t.correlation:.2f}'}"
        for t in found
    )
    return Drawing(stem=f"transfer_{metric}_{shots}", alt=alt, figure=figure, data=tuple(data))
