"""An objective over the two most important hyperparameters: a contour between trials, or tiles of means."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.tri import Triangulation

from reports.searches.axes import Axis, axis_of, value_text
from reports.searches.search import Search, Trial
from reports.searches.sensitivity import best_trials, ranked_parameters
from reports.searches.sensitivity_figures import BEST, MANY, shown_value, spread, stem, ticked, unit
from reports.style import INK, RULE, SEQUENTIAL, TILE, Drawing, clean, house_style, six, wrapped


def contour_drawing(search: Search, place: int) -> Drawing | None:
    """The objective over the two most important parameters; None if fewer than four trials have both.

    Two numeric ones give a contour, interpolated linearly between trials; else tiles of means.
    """
    ranked = ranked_parameters(search, place)
    if len(ranked) < 2:
        return None
    across, down = (axis_of(search, parameter) for parameter in ranked[:2])
    names = across.parameter.name, down.parameter.name
    trials = [trial for trial in search.complete if all(name in trial.params for name in names)]
    if len(trials) < 4:
        return None
    objective = search.objectives[place]
    with house_style():
        figure = Figure(figsize=(6.2, 4.9), layout="constrained")
        axes = figure.add_subplot()
        numeric = across.parameter.numeric and down.parameter.numeric
        mesh = _triangles(across, down, trials) if numeric else None
        values = [shown_value(objective, trial.values[place]) for trial in trials]
        colours = SEQUENTIAL if objective.maximize else f"{SEQUENTIAL}_r"
        if mesh is None:
            drawn = _tiles(axes, across, down, trials, values, colours)
        else:
            drawn = _surface(axes, mesh, values, colours)
        bar = figure.colorbar(drawn, ax=axes, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label(unit(objective))
        # On tiles, trials of a level lie beside each other; on a contour, where they are.
        where = (lambda axis, trial: axis.place(trial.params[axis.parameter.name])) if mesh else spread
        points = [(where(across, trial), where(down, trial)) for trial in trials]
        xs, ys = zip(*points, strict=True)
        axes.scatter(xs, ys, s=11, color="white", edgecolor=INK, linewidth=0.6, zorder=4, rasterized=len(xs) > MANY)
        best = next((trial for trial in best_trials(search, place) if trial in trials), trials[0])
        axes.plot(
            where(across, best),
            where(down, best),
            "*",
            color=BEST,
            markersize=16,
            markeredgecolor="white",
            zorder=6,
            label="best trial",
        )
        if across.parameter.default is not None and down.parameter.default is not None:
            axes.plot(
                across.place(across.parameter.default),
                down.place(down.parameter.default),
                "X",
                color=INK,
                markersize=11,
                markeredgecolor="white",
                zorder=6,
                label="paper's default",
            )
        ticked(axes, across, "x", turn=True)
        ticked(axes, down, "y")
        axes.set_xlabel(across.parameter.label)
        axes.set_ylabel(wrapped(down.parameter.label, 30))
        clean(axes, "The two most important")
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)
    data = tuple(
        {
            "trial": str(trial.number),
            names[0]: value_text(trial.params[names[0]]),
            names[1]: value_text(trial.params[names[1]]),
            "objective": six(trial.values[place]),
        }
        for trial in trials
    )
    return Drawing(
        stem=stem("contour", search, place),
        alt=f"{objective.label} over {across.parameter.label} and {down.parameter.label}.",
        figure=figure,
        data=data,
    )


def _triangles(across: Axis, down: Axis, trials: Sequence[Trial]) -> tuple[Triangulation, list[list[int]]] | None:
    """Triangles between the trials' places, each with the trials that lie there; None if they lie on one line."""
    found: dict[tuple[float, float], list[int]] = {}
    for index, trial in enumerate(trials):
        x, y = (axis.place(trial.params[axis.parameter.name]) for axis in (across, down))
        found.setdefault((round(x, 9), round(y, 9)), []).append(index)
    try:
        mesh = Triangulation([x for x, _ in found], [y for _, y in found])
    except (RuntimeError, ValueError):
        return None
    return mesh, list(found.values())


def _surface(
    axes: Axes, mesh: tuple[Triangulation, list[list[int]]], values: Sequence[float], colours: str
) -> ScalarMappable:
    triangles, members = mesh
    heights = [float(np.mean([values[index] for index in group])) for group in members]
    return axes.tricontourf(triangles, heights, levels=12, cmap=colours)


def _tiles(
    axes: Axes, across: Axis, down: Axis, trials: Sequence[Trial], values: Sequence[float], colours: str
) -> ScalarMappable:
    """Means by level or range; an empty tile is hatched."""
    members: dict[tuple[int, int], list[float]] = {}
    for trial, value in zip(trials, values, strict=True):
        x, y = (axis.group(trial.params[axis.parameter.name]) for axis in (across, down))
        members.setdefault((x, y), []).append(value)
    means = np.full((len(down.groups), len(across.groups)), np.nan)
    for (x, y), inside in members.items():
        means[y, x] = float(np.mean(inside))
    edges = [[0.0, *(high for _, high, _ in axis.groups)] for axis in (across, down)]
    drawn = axes.pcolormesh(
        edges[0],
        edges[1],
        np.ma.masked_invalid(means),
        cmap=colours,
        edgecolor="white",
        linewidth=1.5,
    )
    for x, (left, right, _) in enumerate(across.groups):
        for y, (low, high, _) in enumerate(down.groups):
            if (x, y) not in members:
                tile = Rectangle((left, low), right - left, high - low, facecolor=TILE, edgecolor=RULE, hatch="//")
                axes.add_patch(tile)
    return drawn
