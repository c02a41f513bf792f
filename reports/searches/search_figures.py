"""Figures of how a search went: history, distribution, every configuration, Pareto front, ranks by seed."""

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.searches.search import Search, Trial
from reports.searches.sensitivity import best_so_far, pareto_front
from reports.searches.sensitivity_figures import BEST, DOTS, MANY, plain, shown_value, stem, unit
from reports.style import BAND, FAINT, INK, Drawing, clean, house_style, six

ABSENT = -0.12
"""Where a parameter that was not active is drawn, below its axis."""


def history_drawing(search: Search, place: int) -> Drawing | None:
    """Value by trial number, the best so far, pruned and failed trials at the bottom, and the paper's default."""
    if not search.complete:
        return None
    objective, running = search.objectives[place], best_so_far(search, place)
    with house_style():
        figure = Figure(figsize=(5.8, 3.7), layout="constrained")
        axes = figure.add_subplot()
        numbers = [trial.number for trial in search.complete]
        values = [shown_value(objective, trial.values[place]) for trial in search.complete]
        axes.scatter(
            numbers, values, s=16, color=DOTS, alpha=0.5, linewidth=0, label="trial", rasterized=len(numbers) > MANY
        )
        axes.step(
            [*(number for number, _ in running), search.trials[-1].number],
            [*(shown_value(objective, best) for _, best in running), shown_value(objective, running[-1][1])],
            where="post",
            color=BEST,
            linewidth=1.8,
            label="best so far",
        )
        for state, marker in (("pruned", "|"), ("failed", "x")):
            stopped = [trial.number for trial in search.trials if trial.state == state]
            if stopped:
                axes.plot(
                    stopped,
                    [0.02] * len(stopped),
                    marker,
                    color=FAINT,
                    markersize=7,
                    transform=axes.get_xaxis_transform(),
                    label=f"{state} ({len(stopped)})",
                )
        _default_line(axes, search, place)
        axes.set_xlabel("trial")
        axes.set_ylabel(unit(objective))
        _quiet(axes, "History")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9.5)
    best = dict(running)
    return Drawing(
        stem=stem("history", search, place),
        alt=f"{objective.label} by trial and the best so far.",
        figure=figure,
        data=tuple(
            {
                "trial": str(trial.number),
                "state": trial.state,
                "objective": six(trial.values[place] if trial.values else None),
                "best_so_far": six(best.get(trial.number)),
            }
            for trial in search.trials
        ),
    )


def _default_line(axes: Axes, search: Search, place: int, *, upright: bool = False) -> None:
    default = search.default_trial
    if default is not None:
        draw = axes.axvline if upright else axes.axhline
        at = shown_value(search.objectives[place], default.values[place])
        draw(at, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="paper's default")


def _quiet(axes: Axes, title: str) -> None:
    plain(axes, "x", "y")
    axes.grid(axis="y", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    clean(axes, title)


def edf_drawing(search: Search, place: int) -> Drawing | None:
    """The share of complete trials at or below each value (empirical distribution), with the paper's default."""
    if not search.complete:
        return None
    objective = search.objectives[place]
    values = sorted(trial.values[place] for trial in search.complete)
    shares = [(index + 1) / len(values) for index in range(len(values))]
    with house_style():
        figure = Figure(figsize=(5.8, 3.7), layout="constrained")
        axes = figure.add_subplot()
        axes.step(
            [shown_value(objective, value) for value in [values[0], *values]],
            [0.0, *(100 * share for share in shares)],
            where="post",
            color=DOTS,
            linewidth=1.8,
            label=f"complete trials, n = {len(values)}",
        )
        _default_line(axes, search, place, upright=True)
        axes.set_ylim(0, 102)
        axes.set_xlabel(unit(objective))
        axes.set_ylabel("percent of trials at or below")
        _quiet(axes, "Distribution")
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)
    return Drawing(
        stem=stem("edf", search, place),
        alt=f"Empirical distribution of {objective.label} over the complete trials.",
        figure=figure,
        data=tuple({"objective": six(value), "share": six(share)} for value, share in zip(values, shares, strict=True)),
    )


def pareto_drawing(search: Search) -> Drawing | None:
    """Every pair of the first three objectives, a dot per complete trial, with the Pareto front over all of them."""
    if len(search.objectives) < 2 or not search.complete:
        return None
    front = pareto_front(search)
    pairs = list(itertools.combinations(range(min(3, len(search.objectives))), 2))
    with house_style():
        figure = Figure(figsize=(1.2 + 4.3 * len(pairs), 4.4), layout="constrained")
        panels = figure.subplots(1, len(pairs), squeeze=False)[0]
        for axes, (first, second) in zip(panels, pairs, strict=True):
            _pair(axes, search, front, first, second)
        panels[0].set_title("Pareto front", loc="left", fontsize=12, fontweight="bold")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=9.5)
    members = {trial.number for trial in front}
    return Drawing(
        stem="pareto",
        alt=f"Pareto front of {', '.join(one.label for one in search.objectives)}.",
        figure=figure,
        data=tuple(
            {
                "trial": str(trial.number),
                **{one.metric: six(value) for one, value in zip(search.objectives, trial.values, strict=True)},
                "front": "yes" if trial.number in members else "no",
            }
            for trial in search.complete
        ),
        wide=len(pairs) > 1,
    )


def _pair(axes: Axes, search: Search, front: Sequence[Trial], first: int, second: int) -> None:
    def places(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
        found = [
            [shown_value(search.objectives[one], trial.values[one]) for trial in trials] for one in (first, second)
        ]
        return found[0], found[1]

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.scatter(
        *places(search.complete),
        s=16,
        color=DOTS,
        alpha=0.45,
        linewidth=0,
        label="trial",
        rasterized=len(search.complete) > MANY,
    )
    axes.plot(
        *places(front),
        # With more objectives the front is a surface, not a line.
        "o-" if len(search.objectives) == 2 else "o",
        color=BEST,
        markersize=6,
        markeredgecolor="white",
        linewidth=1.2,
        label=f"Pareto front ({len(front)})",
    )
    if search.default_trial is not None:
        axes.plot(
            *places([search.default_trial]),
            "X",
            color=INK,
            markersize=10,
            markeredgecolor="white",
            label="paper's default",
        )
    axes.set_xlabel(unit(search.objectives[first]))
    axes.set_ylabel(unit(search.objectives[second]))
    _quiet(axes, "")
