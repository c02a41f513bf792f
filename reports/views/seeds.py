"""Every seed of an arm as a dot, and every epoch of an arm as a curve."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.statistics import complete_seeds, seed_means
from reports.style import BAND, FAINT, INK, RULE, SERIES, Drawing, clean, house_style, six, wrapped
from reports.tables.entries import Column, Missing
from reports.tables.formats import column_title, warnings
from reports.tables.table import Table
from reports.views.slices import seed_data


def dot_drawings(table: Table) -> tuple[Drawing, ...]:
    """A figure per column: every seed's support set as a dot, the mean and its interval, the published value a line."""
    return tuple(_dots(table, column) for column in table.columns)


def _dots(table: Table, column: Column) -> Drawing:
    arms = table.plan.runnable
    data: list[dict[str, str]] = []
    labels = [wrapped(arm.label, 24) for arm in arms]
    step = max(1.0, 0.42 * max((label.count("\n") + 1 for label in labels), default=1))
    with house_style():
        figure = Figure(figsize=(5.6, 1.6 + 0.5 * step * len(arms)), layout="constrained")
        axes = figure.add_subplot()
        published = False
        for place, arm in enumerate(arms):
            y = -place * step
            entry = table.entries[arm.name, column]
            axes.axhline(y, color=RULE, linewidth=0.6, zorder=0)
            data += seed_data(table, column, arm, {})
            for value in entry.published:
                published = True
                axes.plot([100 * value.value] * 2, [y - 0.34, y + 0.34], color=SERIES[1], linewidth=2.2, zorder=3)
            if isinstance(entry.value, Missing):
                box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
                axes.annotate(
                    entry.value.text,
                    (0.5, y),
                    xycoords=("axes fraction", "data"),
                    ha="center",
                    va="center",
                    style="italic",
                    color=FAINT,
                    bbox=box,
                )
                continue
            if entry.value.interval is not None:
                low, high = entry.value.interval
                axes.plot([100 * low, 100 * high], [y + 0.14] * 2, color=INK, linewidth=1.6, zorder=2)
            axes.plot(100 * entry.value.mean, y + 0.14, "D", color=INK, markersize=6, markeredgecolor="white", zorder=4)
            dots = [100 * mean for mean in entry.seed_means]
            axes.plot(dots, [y - 0.14] * len(dots), "o", color=SERIES[0], markersize=6, alpha=0.6, zorder=3)
        axes.set_yticks([-place * step for place in range(len(arms))], labels)
        axes.set_ylim(-(len(arms) - 0.4) * step, 0.6 * step)
        axes.set_xlabel("percent")
        clean(axes, "\n".join([column_title(column), *warnings(table)]))
        handles = [
            Line2D([], [], color=SERIES[0], marker="o", linestyle="", alpha=0.6, label="one seed"),
            Line2D([], [], color=INK, marker="D", linewidth=1.6, markeredgecolor="white", label="mean, 95% interval"),
        ]
        if published:
            handles.append(Line2D([], [], color=SERIES[1], linewidth=2.2, label="published"))
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=9.5)
    return Drawing(
        stem=f"dots_{column.metric}_{column.shots}shot",
        alt=f"{column_title(column)}: every seed as a dot, mean and 95% interval by arm.",
        figure=figure,
        data=tuple(data),
    )


def arm_curves(table: Table, column: Column) -> dict[str, dict[int, tuple[float, ...]]]:
    """Metric after every epoch by arm and seed, averaged over all measured categories; only complete seeds."""
    kept = [name for name in table.plan.categories if name not in table.unmeasurable.get(column.task, {})]
    by_arm: dict[str, dict[tuple[int, str], Sequence[float]]] = {}
    for cell in table.plan.cells:
        row = table.rows.found.get(cell.digest)
        if cell.task != column.task or cell.shots != column.shots or row is None:
            continue
        curve = row.curve.get(column.metric)
        if curve and row.status == "ok":
            by_arm.setdefault(cell.arm, {})[cell.seed, cell.category] = [float(value) for value in curve]
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    for arm, curves in by_arm.items():
        lengths = {len(curve) for curve in curves.values()}
        if len(lengths) != 1:
            continue
        seeds = complete_seeds(dict.fromkeys(curves, 0.0), table.plan.seeds, kept)
        epochs = [
            seed_means({key: curve[epoch] for key, curve in curves.items()}, seeds, kept)
            for epoch in range(lengths.pop())
        ]
        if seeds:
            found[arm] = {seed: tuple(epoch[place] for epoch in epochs) for place, seed in enumerate(seeds)}
    return found


def curve_drawings(table: Table) -> tuple[Drawing, ...]:
    """A figure per column with curves: the metric by epoch, mean and seeds; the last and the best epoch are marked."""
    drawings = [_curves(table, column, arm_curves(table, column)) for column in table.columns]
    return tuple(drawing for drawing in drawings if drawing is not None)


def _curves(table: Table, column: Column, curves: dict[str, dict[int, tuple[float, ...]]]) -> Drawing | None:
    if not curves:
        return None
    data: list[dict[str, str]] = []
    labels = {arm.name: arm.label for arm in table.plan.arms}
    with house_style():
        figure = Figure(figsize=(5.9, 3.7), layout="constrained")
        axes = figure.add_subplot()
        for place, (arm, by_seed) in enumerate(curves.items()):
            colour = SERIES[place % len(SERIES)]
            mean = np.mean(np.array(list(by_seed.values())), axis=0)
            epochs = np.arange(1, len(mean) + 1)
            for seed, curve in by_seed.items():
                axes.plot(epochs, 100 * np.array(curve), color=colour, linewidth=0.7, alpha=0.4)
                data += [
                    {
                        "arm": arm,
                        "metric": column.metric,
                        "shots": str(column.shots),
                        "seed": str(seed),
                        "epoch": str(epoch),
                        "score": six(score),
                    }
                    for epoch, score in enumerate(curve, start=1)
                ]
            best = int(np.argmax(mean))
            axes.plot(epochs, 100 * mean, color=colour, linewidth=2, label=wrapped(labels[arm], 30))
            axes.plot(epochs[-1], 100 * mean[-1], "s", color=colour, markersize=7, markeredgecolor="white", zorder=4)
            axes.plot(epochs[best], 100 * mean[best], "^", color=colour, markersize=9, markeredgecolor=INK, zorder=5)
        axes.set_xlabel("epoch")
        axes.set_ylabel("percent, on the test set")
        axes.grid(axis="y", color=BAND, linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        clean(axes, "\n".join([column_title(column), *warnings(table)]))
        lines, _ = axes.get_legend_handles_labels()
        lines += [
            Line2D([], [], color=FAINT, marker="s", linestyle="", label="last epoch"),
            Line2D(
                [], [], color=FAINT, marker="^", markeredgecolor=INK, linestyle="", label="best on test (of the mean)"
            ),
        ]
        figure.legend(handles=lines, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return Drawing(
        stem=f"curves_{column.metric}_{column.shots}shot",
        alt=f"{column_title(column)} after every epoch; last epoch and best on test are marked.",
        figure=figure,
        data=tuple(data),
    )
