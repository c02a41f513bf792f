"""Main effects and interactions of a factorial design as forest plots, a figure per column."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.statistics import MARGIN, claim
from reports.style import (
    BAND,
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    RULE,
    Drawing,
    claim_handles,
    clean,
    house_style,
    six,
    wrapped,
)
from reports.tables.contrasts import Contrast, contrasts
from reports.tables.entries import Column
from reports.tables.formats import MINUS, column_title, warnings
from reports.tables.table import Table


def contrast_drawings(table: Table) -> tuple[Drawing, ...]:
    """A forest plot of the contrasts per column, every seed as a dot."""
    return tuple(_forest(table, column, found) for column, found in contrasts(table).items() if found)


def _forest(table: Table, column: Column, found: Sequence[Contrast]) -> Drawing:
    with house_style():
        figure = Figure(figsize=(5.4, 1.5 + 0.5 * len(found)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvspan(-100 * MARGIN, 100 * MARGIN, color=BAND, zorder=0, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        for place, contrast in enumerate(found):
            axes.axhline(-place, color=RULE, linewidth=0.6, zorder=0)
            kind = claim(contrast)
            if contrast.summary.interval is not None:
                low, high = contrast.summary.interval
                axes.plot([100 * low, 100 * high], [-place] * 2, color=COLOURS[kind], linewidth=2.4, zorder=3)
            axes.plot(
                [100 * value for value in contrast.differences],
                [-place - 0.24] * len(contrast.differences),
                "o",
                color=FAINT,
                markersize=4,
                alpha=0.75,
            )
            mean = 100 * contrast.summary.mean
            axes.plot(mean, -place, MARKERS[kind], color=COLOURS[kind], markersize=9, markeredgecolor="white", zorder=4)
        axes.set_yticks([-place for place in range(len(found))], [wrapped(contrast.label, 26) for contrast in found])
        axes.set_ylim(-len(found) + 0.4, 0.6)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", MINUS))
        axes.set_xlabel("percentage points (main effects, then\ninteractions ×)", fontsize=10)
        clean(axes, "\n".join([column_title(column), *warnings(table)]))
        handles: list[Artist] = [*claim_handles(claim(contrast) for contrast in found)]
        handles.append(Rectangle((0, 0), 1, 1, facecolor=BAND, label=f"within ±{100 * MARGIN:g} points"))
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)
    data = [
        {
            "contrast": " x ".join(contrast.factors),
            "metric": column.metric,
            "shots": str(column.shots),
            "seed": str(seed),
            "value": six(value),
            "mean": six(contrast.summary.mean),
            "low": six(contrast.summary.low),
            "high": six(contrast.summary.high),
            "p": six(contrast.p),
            "p_holm": six(contrast.p_holm),
            "claim": claim(contrast),
        }
        for contrast in found
        for seed, value in zip(contrast.seeds, contrast.differences, strict=True)
    ]
    return Drawing(
        stem=f"main_effects_{column.metric}_{column.shots}shot",
        alt=f"Main effects and interactions on {column_title(column)}, 95% intervals, a dot per seed, what is claimed.",
        figure=figure,
        data=tuple(data),
    )
