"""Main effects and interactions of a factorial design with two levels a factor."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from reports.reading.plan_parts import Factor
from reports.statistics import Difference, adjusted, equivalence, summarize, t_test
from reports.tables.entries import Column
from reports.tables.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast(Difference):
    """A main effect or interaction; one difference per seed at which every arm is complete.

    One factor: mean at its second level minus mean at its first. Two factors: half of what the second adds to the
    first one's effect. All contrasts of a table, over its metrics and shots, are one family of tests.
    """

    factors: tuple[str, ...]
    label: str


def contrasts(table: Table) -> dict[Column, tuple[Contrast, ...]]:
    """By column: main effects, and interactions of two factors unless the design is a fraction.

    Empty without a complete seed. Only factors with two levels take part, and only arms that have a level of each.
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
