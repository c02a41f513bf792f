"""The transfer study as a table and a figure: how each objective ranks settings, against the test set."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from promptad.scoring.metric_table import METRICS
from reports.reading.proxy_objectives import PROXIES
from reports.reading.shots import Shots, shots_text
from reports.statistics import Summary
from reports.style import FAINT, RULE, SERIES, Drawing, clean, house_style, six
from reports.tables.formats import points
from reports.tables.grids import Grid, Spot
from reports.tables.table import Table
from reports.tables.transfer import Overall, Transfer, over_categories, transfers


def transfer_grids(table: Table) -> tuple[Grid, ...]:
    """A grid per metric and shots: rows are categories, columns each objective's correlation and regret."""
    found = transfers(table)
    overall = over_categories(found)
    grids = []
    for metric, shots in dict.fromkeys((t.metric, t.shots) for t in found):
        head = [("Category", "")]
        for label in (objective.title for objective in PROXIES):
            head += [(f"{label}: rank correlation", "Spearman, 95% interval"), (f"{label}: regret", "points of AUROC")]
        head += [("blind choice: regret", "points of AUROC"), ("base: regret", "points of AUROC")]
        rows = []
        for category in dict.fromkeys(t.category for t in found):
            by = {t.objective: t for t in found if (t.category, t.metric, t.shots) == (category, metric, shots)}
            spots = [Spot(main=category)]
            for objective in PROXIES:
                spots += _spots(by.get(objective))
            any_one = next(iter(by.values()), None)
            spots.append(Spot(main="–" if any_one is None else points(any_one.at_random)))
            of_base = None if any_one is None else any_one.of_base
            spots.append(Spot(main="–" if of_base is None else points(of_base)))
            rows.append(tuple(spots))
        rows.append(_overall_row([overall.get((metric, shots, objective)) for objective in PROXIES]))
        title = f"{shots_text(shots)} {METRICS[metric].title}"
        grids.append(Grid(title=title, head=tuple(head), rows=tuple(rows)))
    return tuple(grids)


def transfer_drawings(table: Table) -> tuple[Drawing, ...]:
    """A figure per metric and shots: each category's rank correlation with its interval, an objective a colour."""
    found = transfers(table)
    return tuple(
        _drawing([t for t in found if (t.metric, t.shots) == key], *key)
        for key in dict.fromkeys((t.metric, t.shots) for t in found)
    )


def _spots(transfer: Transfer | None) -> list[Spot]:
    if transfer is None:
        return [Spot(main="cells missing", tone="absent")] * 2
    if transfer.correlation is None or transfer.low is None or transfer.high is None:
        correlation = Spot(main="all settings tie", tone="absent")
    else:
        line = f"[{transfer.low:.2f}, {transfer.high:.2f}], n = {transfer.n} settings"
        correlation = Spot(main=f"{transfer.correlation:.2f}", lines=(line,))
    return [correlation, Spot(main=points(transfer.regret))]


def _overall_row(overall: Sequence[Overall | None]) -> tuple[Spot, ...]:
    spots = [Spot(main="mean over categories", tone="base")]
    for one in overall:
        spots += [Spot(main="–")] * 2 if one is None else [_correlation_spot(one), _regret_spot(one)]
    blind = next(((one.at_random, one.n) for one in overall if one is not None), None)
    return (*spots, Spot(main="–") if blind is None else _blind_spot(*blind), Spot(main=""))


def _correlation_spot(one: Overall) -> Spot:
    if one.correlation is None:
        return Spot(main="–")
    reach = "no interval" if one.interval is None else f"[{one.interval[0]:.2f}, {one.interval[1]:.2f}]"
    return Spot(main=f"{one.correlation:.2f}", lines=(f"{reach}, n = {one.ranked} categories",))


def _regret_spot(one: Overall) -> Spot:
    return Spot(main=points(one.regret), lines=(f"no interval, n = {one.n} categories",))


def _blind_spot(blind: Summary, n: int) -> Spot:
    reach = "no interval"
    if blind.interval is not None:
        reach = "[{:.1f}, {:.1f}]".format(*(100 * end for end in blind.interval))
    return Spot(main=points(blind.mean), lines=(f"{reach}, n = {n} categories",))


def _drawing(found: Sequence[Transfer], metric: str, shots: Shots) -> Drawing:
    categories = list(dict.fromkeys(t.category for t in found))
    data = []
    with house_style():
        figure = Figure(figsize=(6.4, 1.6 + 0.5 * len(categories)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=RULE, linewidth=1, zorder=0)
        for place, objective in enumerate(PROXIES):
            shown = [t for t in found if t.objective == objective]
            for number, transfer in enumerate(shown):
                data.append(
                    {
                        "category": transfer.category,
                        "metric": metric,
                        "shots": str(shots),
                        "objective": objective.name,
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
                name = objective.title if number == 0 else None
                axes.plot(transfer.correlation, y, "os"[place], color=SERIES[place], markersize=6, label=name)
        axes.set_yticks([-place for place in range(len(categories))], categories)
        axes.set_xlim(-1.05, 1.05)
        axes.set_xlabel("rank correlation with the category's test AUROC")
        clean(axes, f"{shots_text(shots)} {METRICS[metric].title}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=FAINT)
    alt = "Rank correlation of each objective with the test AUROC by category: " + "; ".join(
        f"{t.category}, {t.objective.title}: {'none' if t.correlation is None else f'{t.correlation:.2f}'}"
        for t in found
    )
    return Drawing(stem=f"transfer_{metric}_{shots}", alt=alt, figure=figure, data=tuple(data))
