"""Figures of what hyperparameters do: importances, slices, and a contour over the two most important."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.searches.axes import Axis, value_text
from reports.searches.search import Objective, Parameter, Search, Trial
from reports.searches.sensitivity import Importance, Slice, best_trials, importances, ranked_parameters, slices
from reports.style import BAND, FAINT, INK, SERIES, Drawing, clean, house_style, six, wrapped
from reports.tables.formats import MINUS

DOTS, BEST, DEFAULT = SERIES[0], SERIES[1], INK
MANY = 400
"""Dots above this number are drawn as one picture inside an SVG."""


def stem(kind: str, search: Search, place: int) -> str:
    """A figure's name: the objective is part of it where there are several."""
    return kind if len(search.objectives) == 1 else f"{kind}_{place + 1}"


def shown_value(objective: Objective, value: float) -> float:
    """A value as it is drawn: percent if it is a fraction."""
    return 100 * value if objective.fraction else value


def unit(objective: Objective, width: int = 34) -> str:
    """An axis label of an objective."""
    notes = ["percent"] if objective.fraction else []
    notes += [] if objective.maximize else ["lower is better"]
    return wrapped(objective.label + (f" ({', '.join(notes)})" if notes else ""), width)


def plain(axes: Axes, *names: str) -> None:
    """Tick labels without offsets, with a true minus sign."""
    for name in names:
        getattr(axes, f"{name}axis").set_major_formatter(lambda x, _: f"{x:g}".replace("-", MINUS))


def ticked(axes: Axes, axis: Axis, name: str, *, turn: bool = False) -> None:
    """Put a parameter's values on an x or y axis that runs from 0 to 1."""
    places, texts = zip(*axis.ticks, strict=True)
    (axes.set_xticks if name == "x" else axes.set_yticks)(places, [wrapped(text, 14) for text in texts])
    if turn and sum(len(text) for text in texts) > 26:
        for label in axes.get_xticklabels():
            label.set(rotation=35, horizontalalignment="right", rotation_mode="anchor")
    (axes.set_xlim if name == "x" else axes.set_ylim)(-0.03, 1.03)


def importance_drawing(search: Search, place: int) -> Drawing | None:
    """Shares of importance by both definitions, side by side; None if neither could be computed."""
    found = [importance for importance in importances(search, place) if importance.bars]
    if not found:
        return None
    order = [p for p in ranked_parameters(search, place) if any(p == bar.parameter for i in found for bar in i.bars)]
    with house_style():
        height = 1.3 + 0.46 * len(order)
        figure = Figure(figsize=(3.1 + 3.3 * len(found), height), layout="constrained")
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, importance in zip(panels, found, strict=True):
            _bars(axes, importance, order)
        panels[0].set_yticks(range(len(order)), [wrapped(p.label, 26) for p in order])
        panels[0].set_ylim(len(order) - 0.4, -0.6)
        if len(search.objectives) > 1:
            figure.suptitle(f"for {search.objectives[place].label}", x=0.01, ha="left", fontsize=11, color=FAINT)
        figure.supxlabel("share of the importance, percent; line: 5-95% of resampled trials", fontsize=10)
    data = tuple(
        {
            "method": importance.method,
            "parameter": bar.parameter.name,
            "share": six(bar.share),
            "p5": six(bar.low),
            "p95": six(bar.high),
            "trials": str(importance.trials),
            "resamples": str(importance.resamples),
        }
        for importance in found
        for bar in importance.bars
    )
    return Drawing(
        stem=stem("importances", search, place),
        alt=f"Importance of each hyperparameter for {search.objectives[place].label}, with its spread.",
        figure=figure,
        data=data,
        wide=True,
    )


def _bars(axes: Axes, importance: Importance, order: Sequence[Parameter]) -> None:
    bars = {bar.parameter.name: bar for bar in importance.bars}
    for y, parameter in enumerate(order):
        bar = bars.get(parameter.name)
        if bar is None:
            axes.text(2, y, "not always active: no value", va="center", style="italic", color=FAINT, fontsize=9)
            continue
        axes.barh(y, 100 * bar.share, height=0.56, color=DOTS, alpha=0.55, zorder=2)
        axes.plot([100 * bar.low, 100 * bar.high], [y, y], color=INK, linewidth=1.8, zorder=3)
        axes.plot([100 * bar.low, 100 * bar.high], [y, y], "|", color=INK, markersize=8, markeredgewidth=1.8, zorder=3)
    axes.set_xlim(0, 100)
    axes.grid(axis="x", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    clean(axes, f"{importance.method}, n = {importance.trials}")


def slice_drawing(search: Search, place: int) -> Drawing | None:
    """Every complete trial along each parameter, with means by level or range and their 95% t-intervals."""
    found = slices(search, place)
    if not found:
        return None
    objective, best = search.objectives[place], best_trials(search, place)[0]
    columns = min(3, len(found))
    lines = -(-len(found) // columns)
    with house_style():
        figure = Figure(figsize=(1.0 + 3.3 * columns, 0.7 + 2.9 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for axes, one in zip(panels, found, strict=False):
            _slice(axes, search, place, one, best)
        for axes in panels[len(found) :]:
            axes.set_visible(False)
        # An interval over two trials may be wider than all that was measured: the frame cuts it.
        values = [shown_value(objective, trial.values[place]) for trial in search.complete]
        margin = 0.08 * (max(values) - min(values)) or 0.5
        panels[0].set_ylim(min(values) - margin, max(values) + margin)
        figure.supylabel(unit(objective), fontsize=10.5)
        handles: list[Artist] = [
            Line2D([], [], color=DOTS, marker="o", linestyle="", alpha=0.6, markersize=5, label="a trial"),
            Line2D([], [], color=INK, marker="D", markersize=5, linewidth=1.8, label="mean, 95% interval"),
            Line2D([], [], color=BEST, marker="*", linestyle="", markersize=11, label="best trial"),
            Line2D([], [], color=DEFAULT, linestyle=(0, (4, 3)), linewidth=1, label="paper's default"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=9.5)
    data = tuple(
        {
            "parameter": one.axis.parameter.name,
            "trial": str(trial.number),
            "value": value_text(trial.params[one.axis.parameter.name]),
            "objective": six(trial.values[place]),
            "group": group.text,
            "group_mean": six(group.summary.mean if group.summary else None),
            "group_low": six(group.summary.low if group.summary else None),
            "group_high": six(group.summary.high if group.summary else None),
            "group_n": str(group.summary.n if group.summary else 0),
        }
        for one in found
        for trial in one.trials
        for group in (one.groups[one.axis.group(trial.params[one.axis.parameter.name])],)
    )
    return Drawing(
        stem=stem("slices", search, place),
        alt=f"{objective.label} along each hyperparameter: every trial, means and 95% intervals.",
        figure=figure,
        data=data,
        wide=columns > 1,
    )


def _slice(axes: Axes, search: Search, place: int, one: Slice, best: Trial) -> None:
    axis, objective = one.axis, search.objectives[place]
    name = axis.parameter.name
    xs = [spread(axis, trial) for trial in one.trials]
    ys = [shown_value(objective, trial.values[place]) for trial in one.trials]
    axes.scatter(xs, ys, s=14, color=DOTS, alpha=0.45, linewidth=0, zorder=2, rasterized=len(xs) > MANY)
    means = [((group.low + group.high) / 2, group) for group in one.groups]
    drawn = [(x, group.summary) for x, group in means if group.summary is not None]
    for x, summary in drawn:
        if summary.interval is not None:
            axes.plot([x, x], [shown_value(objective, y) for y in summary.interval], color=INK, linewidth=1.8, zorder=4)
    axes.plot(
        [x for x, _ in drawn],
        [shown_value(objective, summary.mean) for _, summary in drawn],
        "D-" if axis.parameter.numeric else "D",
        color=INK,
        linewidth=1,
        markersize=5,
        markeredgecolor="white",
        zorder=5,
    )
    if name in best.params:
        axes.plot(
            spread(axis, best), shown_value(objective, best.values[place]), "*", color=BEST, markersize=13, zorder=6
        )
    if axis.parameter.default is not None:
        axes.axvline(axis.place(axis.parameter.default), color=DEFAULT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    ticked(axes, axis, "x", turn=True)
    plain(axes, "y")
    axes.grid(axis="y", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    clean(axes, wrapped(axis.parameter.label, 30))
    if axis.parameter.when is not None:
        axes.set_xlabel(wrapped(condition(search, axis.parameter), 40), fontsize=9, color=FAINT)


def spread(axis: Axis, trial: Trial) -> float:
    """Where a trial is drawn along a parameter: beside others of the same level, always at the same place."""
    at = axis.place(trial.params[axis.parameter.name])
    # The golden ratio spreads consecutive numbers evenly.
    return at + (0.55 * ((trial.number * 0.618034) % 1 - 0.5) / len(axis.levels) if axis.levels else 0.0)


def condition(search: Search, parameter: Parameter) -> str:
    """When a parameter is active: "only where alignment loss is on"."""
    if parameter.when is None:
        return ""
    parent, values = parameter.when
    label = next((other.label for other in search.parameters if other.name == parent), parent)
    return f"only where {label} is {' or '.join(map(value_text, values))}"
