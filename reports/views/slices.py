"""Scores along one numeric factor, and over two factors."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.reading.plan_parts import Arm, Factor
from reports.style import (
    BAND,
    FAINT,
    INK,
    SEQUENTIAL,
    SERIES,
    TILE,
    TILE_EDGE,
    Drawing,
    clean,
    house_style,
    six,
    wrapped,
)
from reports.tables.entries import Column, Missing
from reports.tables.formats import column_title, mark_text, percent, warnings
from reports.tables.table import Table

NAME_WIDTH = 0.06
"""Share of the axis that the name of a level takes."""


def sliced_factor(table: Table) -> Factor | None:
    """The numeric factor with most levels, which becomes the x axis; None if no factor is numeric."""
    numeric = [factor for factor in table.plan.factors if factor.numeric and len(factor.levels) > 1]
    return max(numeric, key=lambda factor: len(factor.levels), default=None)


def slice_drawings(table: Table) -> tuple[Drawing, ...]:
    """A figure per column: mean over seeds, 95% band and every seed along the numeric factor; baseline marked."""
    factor = sliced_factor(table)
    return () if factor is None else tuple(_slice(table, factor, column) for column in table.columns)


def _slice(table: Table, factor: Factor, column: Column) -> Drawing:
    lines: dict[str, list[tuple[float, Arm]]] = {}
    for arm in table.plan.runnable:
        level = arm.factors.get(factor.name)
        if isinstance(level, int | float) and not isinstance(level, bool):
            others = [mark_text(value) for name, value in arm.factors.items() if name != factor.name]
            lines.setdefault(", ".join(others), []).append((float(level), arm))
    data: list[dict[str, str]] = []
    with house_style():
        figure = Figure(figsize=(5.6, 3.7), layout="constrained")
        axes = figure.add_subplot()
        for place, (name, points) in enumerate(lines.items()):
            _draw_line(
                axes, table, column, name, sorted(points, key=lambda point: point[0]), SERIES[place % len(SERIES)]
            )
        levels = sorted({level for points in lines.values() for level, _ in points})
        _scale(axes, levels)
        default = _default(table, [point for points in lines.values() for point in points])
        if default is not None:
            axes.axvline(default, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(
                "baseline",
                (default, 1),
                xycoords=("data", "axes fraction"),
                ha="left",
                va="top",
                xytext=(3, -2),
                textcoords="offset points",
                fontsize=9,
                color=FAINT,
            )
        axes.set_xlabel(factor.label)
        axes.set_ylabel("percent")
        axes.grid(axis="y", color=BAND, linewidth=0.8)
        axes.set_axisbelow(True)
        clean(axes, "\n".join([column_title(column), *warnings(table)]))
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=9)
    for name, points in lines.items():
        for level, arm in points:
            data += seed_data(table, column, arm, {"line": name, factor.name: f"{level:g}"})
    return Drawing(
        stem=f"slice_{column.metric}_{column.shots}shot",
        alt=f"{column_title(column)} along {factor.label}: mean over seeds, 95% interval and every seed.",
        figure=figure,
        data=tuple(data),
    )


def _draw_line(
    axes: Axes, table: Table, column: Column, name: str, points: Sequence[tuple[float, Arm]], colour: str
) -> None:
    xs, means, lows, highs = [], [], [], []
    for level, arm in points:
        entry = table.entries[arm.name, column]
        if isinstance(entry.value, Missing):
            axes.annotate(
                entry.value.kind,
                (level, 0.03),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="center",
                va="bottom",
                style="italic",
                color=FAINT,
                fontsize=9,
            )
            continue
        low, high = entry.value.interval or (np.nan, np.nan)
        xs.append(level)
        means.append(100 * entry.value.mean)
        lows.append(100 * low)
        highs.append(100 * high)
        axes.plot(
            [level] * len(entry.seed_means),
            [100 * mean for mean in entry.seed_means],
            "o",
            color=colour,
            markersize=3.5,
            alpha=0.45,
            zorder=2,
        )
    if len(xs) > 1:
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0, zorder=1)
    axes.plot(
        xs, means, "-D", color=colour, linewidth=1.8, markersize=5.5, markeredgecolor="white", label=name, zorder=3
    )


def _scale(axes: Axes, levels: Sequence[float]) -> None:
    positive = [level for level in levels if level > 0]
    if positive and max(positive) >= 30 * min(positive):
        if len(positive) == len(levels):
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=min(positive), linscale=0.6)
    shown = _apart(axes, levels)
    axes.set_xticks(list(levels), [f"{level:g}" if level in shown else "" for level in levels])
    axes.minorticks_off()


def _apart(axes: Axes, levels: Sequence[float]) -> set[float]:
    """Levels, from the smallest, whose names do not overlap under the axis."""
    scale = axes.xaxis.get_transform().transform
    places = scale(np.asarray(levels, dtype=float))
    shown: list[int] = []
    for number, place in enumerate(places):
        if not shown or place - places[shown[-1]] > NAME_WIDTH * (places[-1] - places[0]):
            shown.append(number)
    return {levels[number] for number in shown}


def _default(table: Table, points: Sequence[tuple[float, Arm]]) -> float | None:
    """The level of the arm that changes nothing, else of the baseline."""
    for level, arm in points:
        if not arm.changes:
            return level
    return next((level for level, arm in points if table.is_baseline(arm)), None)


def grid_drawings(table: Table) -> tuple[Drawing, ...]:
    """A heat map per column over the first two factors with several levels; a tile without a number has the reason."""
    factors = [factor for factor in table.plan.factors if len(factor.levels) > 1][:2]
    return () if len(factors) < 2 else tuple(_grid(table, factors[0], factors[1], column) for column in table.columns)


def _grid(table: Table, down: Factor, across: Factor, column: Column) -> Drawing:
    arms: dict[tuple[object, object], Arm] = {}
    for arm in table.plan.runnable:
        arms.setdefault((_key(arm.factors.get(down.name)), _key(arm.factors.get(across.name))), arm)
    means = np.full((len(down.levels), len(across.levels)), np.nan)
    words: dict[tuple[int, int], str] = {}
    data: list[dict[str, str]] = []
    for y, one in enumerate(down.levels):
        for x, other in enumerate(across.levels):
            found = arms.get((_key(one), _key(other)))
            if found is None:
                words[y, x] = "not\nplanned"
                continue
            entry = table.entries[found.name, column]
            data += seed_data(table, column, found, {down.name: mark_text(one), across.name: mark_text(other)})
            if isinstance(entry.value, Missing):
                words[y, x] = entry.value.kind
            else:
                means[y, x] = 100 * entry.value.mean
    with house_style():
        figure = Figure(figsize=(2.6 + 0.85 * len(across.levels), 1.7 + 0.62 * len(down.levels)), layout="constrained")
        axes = figure.add_subplot()
        low, high = (float(np.nanmin(means)), float(np.nanmax(means))) if np.isfinite(means).any() else (0.0, 1.0)
        sns.heatmap(
            means,
            mask=~np.isfinite(means),
            ax=axes,
            cmap=SEQUENTIAL,
            vmin=low,
            vmax=high,
            linewidths=1.5,
            linecolor="white",
            cbar_kws={"label": "percent", "pad": 0.02},
        )
        for y in range(len(down.levels)):
            for x in range(len(across.levels)):
                if (y, x) in words:
                    axes.add_patch(
                        Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, facecolor=TILE, edgecolor=TILE_EDGE, hatch="//")
                    )
                dark = high > low and (means[y, x] - low) / (high - low) < 0.55
                text = words.get((y, x)) or percent(float(means[y, x]) / 100)
                colour = INK if (y, x) in words or not dark else "white"
                axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=colour, fontsize=10)
        axes.set_xticks(np.arange(len(across.levels)) + 0.5, [mark_text(level) for level in across.levels], rotation=0)
        axes.set_yticks(np.arange(len(down.levels)) + 0.5, [mark_text(level) for level in down.levels], rotation=0)
        axes.set_xlabel(wrapped(across.label, 40))
        axes.set_ylabel(wrapped(down.label, 24))
        clean(axes, "\n".join([column_title(column), *warnings(table)]))
    return Drawing(
        stem=f"grid_{column.metric}_{column.shots}shot",
        alt=f"{column_title(column)} by {down.label} and {across.label}, mean over seeds in percent.",
        figure=figure,
        data=tuple(data),
    )


def _key(level: object) -> str:
    return repr(level)


def seed_data(table: Table, column: Column, arm: Arm, where: dict[str, str]) -> list[dict[str, str]]:
    """One line per seed of an arm, or one line with the reason for none."""
    entry = table.entries[arm.name, column]
    head = {**where, "arm": arm.name, "metric": column.metric, "shots": str(column.shots)}
    if isinstance(entry.value, Missing):
        return [{**head, "seed": "NA", "score": "NA", "mean": "NA", "low": "NA", "high": "NA", "why": entry.value.text}]
    value = entry.value
    return [
        {
            **head,
            "seed": str(seed),
            "score": six(score),
            "mean": six(value.mean),
            "low": six(value.low),
            "high": six(value.high),
            "why": "ok",
        }
        for seed, score in zip(entry.seeds, entry.seed_means, strict=True)
    ]
