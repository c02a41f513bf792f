"""Main effects and interactions of a factorial design with two levels a factor."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.drawing import (
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
from reports.entries import Column
from reports.formats import MINUS, column_title, warnings
from reports.records import Factor
from reports.statistics import MARGIN, Difference, adjusted, claim, equivalence, summarize, t_test
from reports.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast(Difference):
    """What factors do together; one difference per seed at which every arm is complete.

    Of one factor: mean at its second level minus mean at its first. Of two: half of what the second factor adds to the
    first one's effect. All contrasts of a table, over its metrics and shots, are one family of tests.
    """

    factors: tuple[str, ...]
    label: str


def contrasts(table: Table) -> dict[Column, tuple[Contrast, ...]]:
    """By column: main effects, and interactions of two factors unless the design is a fraction.

    () without a complete seed. Only factors with two levels take part, and only arms that have a level of each.
    """
    found = [(column, contrast) for column in table.columns for contrast in _untested(table, column)]
    family = adjusted([contrast for _, contrast in found])
    by_column: dict[Column, list[Contrast]] = {column: [] for column in table.columns}
    for (column, _), contrast in zip(found, family, strict=True):
        by_column[column].append(contrast)
    return {column: tuple(made) for column, made in by_column.items()}


def _untested(table: Table, column: Column) -> list[Contrast]:
    """The contrasts of a column before Holm's adjustment."""
    factors = [factor for factor in table.plan.factors if len(factor.levels) == 2]
    signs = {}
    for arm in table.plan.runnable:
        found = [_sign(factor, arm.factors.get(factor.name)) for factor in factors]
        if all(found):
            signs[arm.name] = dict(zip((factor.name for factor in factors), found, strict=True))
    if not factors or len(signs) < 2:
        return []
    scores = {
        arm: dict(zip(table.entries[arm, column].seeds, table.entries[arm, column].seed_means, strict=True))
        for arm in signs
    }
    seeds = tuple(seed for seed in table.plan.seeds if all(seed in means for means in scores.values()))
    if not seeds:
        return []
    single: Iterable[tuple[Factor, ...]] = ((factor,) for factor in factors)
    pairs = () if table.plan.design == "fractional_factorial" else itertools.combinations(factors, 2)
    made = []
    for group in (*single, *pairs):
        weights = {arm: math.prod(levels[factor.name] for factor in group) for arm, levels in signs.items()}
        values = tuple(_contrast(weights, {arm: scores[arm][seed] for arm in weights}) for seed in seeds)
        summary = summarize(values)
        made.append(
            Contrast(
                factors=tuple(factor.name for factor in group),
                label=" × ".join(factor.label if len(group) == 1 else factor.name for factor in group),
                seeds=seeds,
                differences=values,
                summary=summary,
                p=t_test(summary),
                p_equivalent=equivalence(summary),
            )
        )
    return made


def _sign(factor: Factor, level: object) -> int:
    """-1 at the first level, +1 at the second, 0 at none of them."""
    places = [place for place, known in enumerate(factor.levels) if known == level and type(known) is type(level)]
    return (-1, 1)[places[0]] if places else 0


def _contrast(weights: dict[str, int], scores: dict[str, float]) -> float:
    high = [scores[arm] for arm, weight in weights.items() if weight > 0]
    low = [scores[arm] for arm, weight in weights.items() if weight < 0]
    return math.fsum(high) / len(high) - math.fsum(low) / len(low)


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
