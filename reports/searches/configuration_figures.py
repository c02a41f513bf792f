"""Figures of configurations: every one as a line through its hyperparameters, and the ranks of the best by seed."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.searches.axes import Axis, axis_of, value_text
from reports.searches.search import Search, Trial
from reports.searches.sensitivity import best_trials, ranked_parameters
from reports.searches.sensitivity_figures import BEST, DOTS, MANY, shown_value, spread, stem, unit
from reports.searches.winners import Standing, standings
from reports.style import BAND, FAINT, INK, RULE, SEQUENTIAL, SERIES, Drawing, clean, house_style, six, wrapped
from reports.tables.formats import MINUS

ABSENT = -0.12
"""Where a parameter that was not active is drawn, below its axis."""


def parallel_drawing(search: Search, place: int) -> Drawing | None:
    """A line per complete trial through all parameters to its value; the best tenth thick, the default dashed."""
    trials = best_trials(search, place)
    parameters = [p for p in ranked_parameters(search, place) if any(p.name in trial.params for trial in trials)]
    if len(trials) < 2 or not parameters:
        return None
    axes_of = [axis_of(search, parameter) for parameter in parameters]
    objective = search.objectives[place]
    values = [shown_value(objective, trial.values[place]) for trial in trials]
    low, high = min(values), max(values)
    scale = Normalize(low, high if high > low else low + 1)
    colours = colormaps[SEQUENTIAL if objective.maximize else f"{SEQUENTIAL}_r"]
    top = max(1, len(trials) // 10)
    with house_style():
        figure = Figure(figsize=(2.2 + 1.35 * (len(axes_of) + 1), 4.5), layout="constrained")
        axes = figure.add_subplot()
        for order, (trial, value) in enumerate(reversed(list(zip(trials, values, strict=True)))):
            lead = len(trials) - order <= top
            ys = [_along(axis, trial) for axis in axes_of] + [float(scale(value))]
            axes.plot(
                range(len(ys)),
                ys,
                color=colours(scale(value)),
                linewidth=2.2 if lead else 0.9,
                alpha=0.95 if lead else 0.45,
                zorder=3 if lead else 2,
                rasterized=len(trials) > MANY,
            )
        defaults = [None if axis.parameter.default is None else axis.place(axis.parameter.default) for axis in axes_of]
        marked = [(x, y) for x, y in enumerate(defaults) if y is not None]
        axes.plot(
            [x for x, _ in marked],
            [y for _, y in marked],
            "X",
            color=INK,
            markersize=9,
            markeredgecolor="white",
            zorder=6,
            label="paper's default",
        )
        best = [_along(axis, trials[0]) for axis in axes_of] + [float(scale(values[0]))]
        axes.plot(range(len(best)), best, color=BEST, linewidth=2.2, zorder=5, label="best trial")
        for x, axis in enumerate(axes_of):
            axes.plot([x, x], [0, 1], color=RULE, linewidth=1, zorder=1)
            for y, text in axis.ticks:
                axes.text(
                    x - 0.04,
                    y,
                    wrapped(text, 12),
                    fontsize=8,
                    color=INK,
                    ha="right",
                    va="center",
                    zorder=7,
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
                )
        if any(axis.parameter.name not in trial.params for axis in axes_of for trial in trials):
            axes.text(-0.6, ABSENT, "not active", fontsize=8.5, style="italic", color=FAINT, va="center")
        _value_axis(axes, len(axes_of), scale, colours)
        ends = [wrapped(axis.parameter.label, 13) for axis in axes_of] + [unit(objective, 13)]
        axes.set_xticks(range(len(ends)), ends, fontsize=9)
        axes.set_xlim(-0.6, len(axes_of) + 0.45)
        axes.set_ylim(ABSENT - 0.06, 1.04)
        axes.set_yticks([])
        axes.spines["bottom"].set_visible(False)
        clean(axes, "Every configuration")
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)
    return Drawing(
        stem=stem("parallel", search, place),
        alt=f"Every configuration as a line through its hyperparameters, coloured by {objective.label}.",
        figure=figure,
        data=tuple(
            {
                "trial": str(trial.number),
                **{p.name: value_text(trial.params[p.name]) if p.name in trial.params else "NA" for p in parameters},
                "objective": six(trial.values[place]),
            }
            for trial in trials
        ),
        wide=True,
    )


def _value_axis(axes: Axes, x: int, scale: Normalize, colours: Colormap) -> None:
    """The objective's axis, which is the key to the colours too."""
    shades = colours(np.linspace(0, 1, 128))[:, None, :3]
    axes.imshow(shades, extent=(x, x + 0.09, 0, 1), origin="lower", aspect="auto", zorder=4)
    low, high = float(scale.vmin or 0.0), float(scale.vmax or 1.0)
    for tick in MaxNLocator(6).tick_values(low, high):
        if low <= tick <= high:
            text = f"{tick:g}".replace("-", MINUS)
            axes.text(x + 0.13, float(scale(tick)), text, fontsize=8.5, va="center", color=INK)


def _along(axis: Axis, trial: Trial) -> float:
    return spread(axis, trial) if axis.parameter.name in trial.params else ABSENT


def stability_drawing(search: Search, place: int) -> Drawing | None:
    """Ranks by seed of the ten best configurations (a dot each), and how often each wins when seeds are drawn again."""
    found = standings(search, place)
    if len(found) < 2 or len(search.seeds) < 2:
        return None
    with house_style():
        figure = Figure(figsize=(8.2, 1.5 + 0.36 * len(found)), layout="constrained")
        ranks, wins = figure.subplots(1, 2, sharey=True, width_ratios=(2.2, 1))
        _ranks(ranks, found)
        shares = {"seeds": [one.by_seeds for one in found], "categories": [one.by_categories for one in found]}
        drawn = {
            name: [share for share in values if share is not None]
            for name, values in shares.items()
            if values[0] is not None
        }
        for order, (name, values) in enumerate(drawn.items()):
            ys = np.arange(len(found)) + (order - (len(drawn) - 1) / 2) * 0.36
            wins.barh(
                ys,
                [100 * value for value in values],
                height=0.34,
                color=SERIES[order],
                alpha=0.7,
                label=f"{name} drawn",
            )
        wins.set_xlim(0, 100)
        wins.set_xlabel("percent of resamples won")
        wins.grid(axis="x", color=BAND, linewidth=0.8)
        wins.set_axisbelow(True)
        clean(wins, "How often it wins")
        figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9.5)
    return Drawing(
        stem=stem("stability", search, place),
        alt="Rank of the ten best configurations at each seed, and how often each wins a resample.",
        figure=figure,
        data=tuple(
            {
                "trial": str(one.trial.number),
                "seed": str(seed),
                "rank": str(rank),
                "wins_by_seeds": six(one.by_seeds),
                "wins_by_categories": six(one.by_categories),
            }
            for one in found
            for seed, rank in one.ranks
        ),
        wide=True,
    )


def _ranks(axes: Axes, found: Sequence[Standing]) -> None:
    segments = []
    for y, one in enumerate(found):
        places = [rank for _, rank in one.ranks]
        segments.append([(min(places), y), (max(places), y)])
        offsets = np.linspace(-0.14, 0.14, len(places)) if len(places) > 1 else [0.0]
        axes.scatter(places, y + np.asarray(offsets), s=26, color=DOTS, alpha=0.8, linewidth=0, zorder=3)
    axes.add_collection(LineCollection(segments, colors=RULE, linewidths=2.5, zorder=2))
    axes.set_yticks(range(len(found)), [f"trial {one.trial.number}" for one in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    highest = max(rank for one in found for _, rank in one.ranks)
    axes.set_xlim(0, highest + 1)
    axes.set_xlabel("rank at a seed among all trials (1 is best)")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(axis="x", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    clean(axes, "Rank by seed")
