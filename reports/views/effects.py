"""Figures of a table: paired effects as a forest plot, and differences by category as a heat map."""

import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from reports.statistics import MARGIN, Effect, Summary, claim
from reports.style import (
    BAND,
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    RULE,
    TILE,
    TILE_EDGE,
    Drawing,
    claim_handles,
    house_style,
    six,
    wrapped,
)
from reports.tables.entries import Column, Missing
from reports.tables.findings import primary_columns
from reports.tables.formats import MINUS, column_title, dataset_name, points, warnings
from reports.tables.table import Table


def forest_plot(table: Table, column: Column) -> Figure | None:
    """Paired effects of one column in percentage points: a dot per seed, mean and 95% t-interval.

    Colour and marker show the claim after Holm's correction; the interval is not adjusted. An arm without an effect
    keeps its line with the reason in words. None if the table has nothing to compare.
    """
    arms = [arm for arm in table.plan.runnable if not table.is_baseline(arm)]
    baseline = next((arm for arm in table.plan.runnable if table.is_baseline(arm)), None)
    if not arms or baseline is None:
        return None
    labels = [wrapped(arm.label) for arm in arms]
    step = max(1.0, 0.42 * max(label.count("\n") + 1 for label in labels))
    with house_style():
        figure = Figure(figsize=(4.9, 1.75 + 0.52 * step * len(arms)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvspan(-100 * MARGIN, 100 * MARGIN, color=BAND, zorder=0, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        datasets: list[str] = []
        for place, arm in enumerate(arms):
            y = -place * step
            axes.axhline(y, color=RULE, linewidth=0.6, zorder=0)
            entry = table.entries[arm.name, column]
            if isinstance(entry.effect, Effect):
                effect = entry.effect
                claimed = claim(effect)
                colour = COLOURS[claimed]
                if effect.summary.interval is not None:
                    low, high = effect.summary.interval
                    axes.plot([100 * low, 100 * high], [y, y], color=colour, linewidth=2.4, zorder=3)
                dots = [100 * difference for difference in effect.differences]
                axes.plot(dots, [y - 0.22] * len(dots), "o", color=FAINT, markersize=4, alpha=0.75, zorder=2)
                axes.plot(
                    100 * effect.summary.mean,
                    y,
                    MARKERS[claimed],
                    color=colour,
                    markersize=9,
                    markeredgecolor="white",
                    zorder=4,
                )
            elif isinstance(entry.effect, Missing):
                axes.annotate(
                    wrapped(entry.effect.text, 44),
                    (0.5, y),
                    xycoords=("axes fraction", "data"),
                    ha="center",
                    va="center",
                    style="italic",
                    color=FAINT,
                    fontsize=10,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
                )
            for value in entry.published:
                if value.effect is not None:
                    datasets = list(dict.fromkeys([*datasets, value.dataset]))
                    marker = "Ds"[datasets.index(value.dataset) % 2]
                    axes.plot(
                        100 * value.effect, y + 0.24, marker, color="white", markeredgecolor=INK, markersize=5, zorder=3
                    )
        axes.set_yticks([-place * step for place in range(len(arms))], labels)
        axes.set_ylim(-(len(arms) - 0.4) * step, 0.6 * step)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
        _whole_points(figure, table, column, baseline.label)
        _forest_key(figure, table, column, datasets)
    return figure


def _whole_points(figure: Figure, table: Table, column: Column, baseline: str) -> None:
    axes = figure.axes[0]
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", MINUS))
    axes.set_xlabel(f"percentage points above\n{wrapped(baseline, 36)}", fontsize=10.5)
    axes.set_title(_title(table, column), loc="left", fontsize=12, fontweight="bold")


def _title(table: Table, column: Column) -> str:
    return "\n".join([column_title(column), *warnings(table)])


def _forest_key(figure: Figure, table: Table, column: Column, datasets: list[str]) -> None:
    """A key that lists only what is drawn."""
    effects = [table.entries[arm.name, column].effect for arm in table.plan.arms]
    drawn = [effect for effect in effects if isinstance(effect, Effect)]
    handles: list[Artist] = [*claim_handles(claim(effect) for effect in drawn)]
    if drawn:
        handles.append(Line2D([], [], color=FAINT, marker="o", linestyle="", markersize=4, label="one seed"))
    handles += [
        Line2D(
            [],
            [],
            color="white",
            markeredgecolor=INK,
            marker="Ds"[place % 2],
            linestyle="",
            markersize=5,
            label=f"published, {dataset_name(dataset)}",
        )
        for place, dataset in enumerate(datasets)
    ]
    handles.append(Rectangle((0, 0), 1, 1, facecolor=BAND, label=f"within ±{100 * MARGIN:g} points"))
    if handles:
        # "outside" makes the constrained layout leave room below the axes.
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)


def category_heatmap(table: Table, column: Column) -> Figure | None:
    """Mean paired difference of every arm in every category, in points; a hatched tile has the reason for none.

    None if there is nothing to compare.
    """
    arms = [arm for arm in table.plan.runnable if not table.is_baseline(arm)]
    if not arms or not any(table.is_baseline(arm) for arm in table.plan.runnable):
        return None
    categories = table.plan.categories
    deltas = [[table.by_category[arm.name, column, category].delta for category in categories] for arm in arms]
    means = np.array([[100 * d.mean if isinstance(d, Summary) else np.nan for d in line] for line in deltas])
    limit = max(1.0, float(np.nanmax(np.abs(means), initial=0.0, where=np.isfinite(means))))
    with house_style():
        figure = Figure(figsize=(2.9 + 0.66 * len(categories), 1.9 + 0.5 * len(arms)), layout="constrained")
        axes = figure.add_subplot()
        sns.heatmap(
            means,
            mask=~np.isfinite(means),
            ax=axes,
            cmap=sns.diverging_palette(30, 245, s=85, l=50, as_cmap=True),
            vmin=-limit,
            vmax=limit,
            linewidths=1.5,
            linecolor="white",
            cbar_kws={"label": "points", "shrink": 0.9, "pad": 0.02, "format": _signed},
        )
        for y, line in enumerate(deltas):
            for x, delta in enumerate(line):
                if isinstance(delta, Summary):
                    few = f"\nn = {delta.n}" if delta.n < len(table.plan.seeds) else ""
                    strong = abs(100 * delta.mean) > 0.62 * limit
                    text, colour, size = points(delta.mean) + few, "white" if strong else INK, 9.5
                else:
                    axes.add_patch(
                        Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, facecolor=TILE, edgecolor=TILE_EDGE, hatch="//")
                    )
                    kind = "" if delta is None else delta.kind.replace(" ", "\n")
                    text, colour, size = {"unavailable": "not\navail."}.get(kind, kind), INK, 7.5
                box = None if isinstance(delta, Summary) else {"facecolor": TILE, "edgecolor": "none", "pad": 1}
                axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size, color=colour, bbox=box)
        turn = max(len(category) for category in categories) > 7
        axes.set_xticks(np.arange(len(categories)) + 0.5, categories, rotation=35 if turn else 0)
        if turn:
            for label in axes.get_xticklabels():
                label.set_horizontalalignment("right")
                label.set_rotation_mode("anchor")
        axes.set_yticks(np.arange(len(arms)) + 0.5, [wrapped(arm.label) for arm in arms], rotation=0)
        axes.tick_params(length=0)
        axes.set_title(_title(table, column), loc="left", fontsize=12, fontweight="bold")
    return figure


def _signed(value: float, _: object = None) -> str:
    return "0" if value == 0 else f"{value:+g}".replace("-", MINUS)


def drawn_columns(table: Table) -> tuple[Column, ...]:
    """The columns with figures: all, or only AUROC if there are more than six; tables have the others."""
    return table.columns if len(table.columns) <= 6 else primary_columns(table)


def forest_drawings(table: Table) -> tuple[Drawing, ...]:
    """A forest plot per column, with every seed's paired difference as data."""
    drawings = []
    for column in drawn_columns(table):
        figure = forest_plot(table, column)
        if figure is None:
            continue
        data = []
        for arm in table.plan.runnable:
            effect = table.entries[arm.name, column].effect
            head = {"arm": arm.name, "metric": column.metric, "shots": str(column.shots)}
            if isinstance(effect, Effect):
                summary = effect.summary
                bounds = {"mean": six(summary.mean), "low": six(summary.low), "high": six(summary.high), "why": "ok"}
                seeds = zip(effect.seeds, effect.differences, strict=True)
                data += [{**head, "seed": str(seed), "difference": six(value), **bounds} for seed, value in seeds]
            elif isinstance(effect, Missing):
                none = dict.fromkeys(("seed", "difference", "mean", "low", "high"), "NA")
                data.append({**head, **none, "why": effect.text})
        drawings.append(
            Drawing(
                stem=f"effects_{column.metric}_{column.shots}shot",
                alt=f"Paired effects on {column_title(column)} with a dot per seed, 95% intervals and what is claimed.",
                figure=figure,
                data=tuple(data),
            )
        )
    return tuple(drawings)


def map_drawings(table: Table) -> tuple[Drawing, ...]:
    """A heat map of differences by category per column."""
    drawings = []
    for column in drawn_columns(table):
        figure = category_heatmap(table, column)
        if figure is None:
            continue
        data = []
        for arm in table.plan.runnable:
            for category in table.plan.categories:
                delta = table.by_category[arm.name, column, category].delta
                if delta is not None:
                    there = isinstance(delta, Summary)
                    data.append(
                        {
                            "arm": arm.name,
                            "metric": column.metric,
                            "shots": str(column.shots),
                            "category": category,
                            "difference": six(delta.mean) if isinstance(delta, Summary) else "NA",
                            "n": str(delta.n) if isinstance(delta, Summary) else "0",
                            "why": "ok" if there else delta.text if isinstance(delta, Missing) else "NA",
                        }
                    )
        drawings.append(
            Drawing(
                stem=f"delta_map_{column.metric}_{column.shots}shot",
                alt=f"Mean difference from the baseline by arm and category: {column_title(column)}.",
                figure=figure,
                data=tuple(data),
                wide=True,
            )
        )
    return tuple(drawings)
