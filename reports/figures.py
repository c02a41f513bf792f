"""Figures of a table: paired effects as a forest plot, and differences by category as a heat map."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from reports.entries import Column, Missing
from reports.formats import MINUS, column_title, dataset_name, direction, points, warnings
from reports.statistics import Effect, Summary
from reports.tables import Table

# Okabe and Ito's colours, told apart with every common colour vision deficiency; the marker says the same in shape.
COLOURS = {"up": "#0072B2", "down": "#D55E00", "unclear": "#6B6B6B", "no interval": "#6B6B6B"}
MARKERS = {"up": "^", "down": "v", "unclear": "o", "no interval": "X"}
INK, FAINT, RULE = "#1b1f24", "#57606a", "#d0d7de"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "promptad-study",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "hatch.linewidth": 0.6,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with matplotlib's own defaults plus STYLE, whatever the caller's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", STYLE))
        yield


def svg(figure: Figure) -> bytes:
    """The figure as SVG with neither a date nor random identifiers: equal figures give equal bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": STYLE["svg.hashsalt"], "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG of at most 256 colours, without metadata: equal figures give equal bytes.

    A figure drawn before has a settled layout and may differ by a pixel from a fresh one: draw each figure once.
    """
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    buffer = io.BytesIO()
    # Photographs under coloured maps need no more colours on a page, and take a third of the bytes.
    Image.fromarray(np.ascontiguousarray(pixels)).quantize(256).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def wrapped(text: str, width: int = 22) -> str:
    """A label broken into lines of at most `width` characters."""
    return textwrap.fill(text, width, break_long_words=False) or text


def forest_plot(table: Table, column: Column) -> Figure | None:
    """Paired effects of one column in percentage points: a dot per seed, mean and 95% t-interval.

    An arm without an effect keeps its line and says why in words. None if the table has nothing to compare.
    """
    arms = [arm for arm in table.plan.arms if not table.is_baseline(arm)]
    baseline = next((arm for arm in table.plan.arms if table.is_baseline(arm)), None)
    if not arms or baseline is None:
        return None
    labels = [wrapped(arm.label) for arm in arms]
    step = max(1.0, 0.42 * max(label.count("\n") + 1 for label in labels))
    with house_style():
        figure = Figure(figsize=(4.9, 1.75 + 0.52 * step * len(arms)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        datasets: list[str] = []
        for place, arm in enumerate(arms):
            y = -place * step
            axes.axhline(y, color=RULE, linewidth=0.6, zorder=0)
            entry = table.entries[arm.name, column]
            if isinstance(entry.effect, Effect):
                effect = entry.effect
                colour = COLOURS[direction(effect)]
                if effect.summary.interval is not None:
                    low, high = effect.summary.interval
                    axes.plot([100 * low, 100 * high], [y, y], color=colour, linewidth=2.4, zorder=3)
                dots = [100 * difference for difference in effect.differences]
                axes.plot(dots, [y - 0.22] * len(dots), "o", color=FAINT, markersize=4, alpha=0.75, zorder=2)
                axes.plot(
                    100 * effect.summary.mean,
                    y,
                    MARKERS[direction(effect)],
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
    words = {
        "up": "interval above 0",
        "down": "interval below 0",
        "unclear": "interval includes 0",
        "no interval": "mean, no interval",
    }
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[name],
            marker=MARKERS[name],
            linewidth=0 if name == "no interval" else 2.4,
            markersize=8,
            label=words[name],
        )
        for name in words
        if any(direction(effect) == name for effect in drawn)
    ]
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
    if handles:
        # "outside" makes the constrained layout leave room below the axes.
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)


def category_heatmap(table: Table, column: Column) -> Figure | None:
    """Mean paired difference of every arm in every category, in points; a hatched tile says why it has none.

    None if there is nothing to compare.
    """
    arms = [arm for arm in table.plan.arms if not table.is_baseline(arm)]
    if not arms or table.plan.baseline is None:
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
                        Rectangle(
                            (x + 0.02, y + 0.03), 0.96, 0.94, facecolor="#f3f4f6", edgecolor="#b6bcc4", hatch="//"
                        )
                    )
                    kind = "" if delta is None else delta.kind.replace(" ", "\n")
                    text, colour, size = {"unavailable": "not\navail."}.get(kind, kind), INK, 7.5
                box = None if isinstance(delta, Summary) else {"facecolor": "#f3f4f6", "edgecolor": "none", "pad": 1}
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
