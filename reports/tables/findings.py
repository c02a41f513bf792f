"""Findings of a table, in words made from its numbers."""

from collections.abc import Mapping, Sequence

from promptad.scoring.metric_table import METRICS
from reports.reading.plan_parts import Arm
from reports.reading.shots import Shots, shots_text
from reports.statistics import MARGIN, Claim, Effect, claim
from reports.tables.entries import Column, Missing
from reports.tables.formats import (
    cells_text,
    claim_text,
    column_title,
    effect_text,
    family_text,
    listing,
    missing_text,
    points,
)
from reports.tables.table import Table
from reports.view_table import VIEWS

PRIMARY = ("image_auroc", "pixel_auroc")
LISTED = 6


def primary_columns(table: Table) -> tuple[Column, ...]:
    """The AUROC columns, or all columns of a table without one."""
    return tuple(column for column in table.columns if column.metric in PRIMARY) or table.columns


def lead(table: Table) -> str:
    """One or two sentences: the arms claimed to be higher, lower or the same, and the largest difference.

    A direction is named only where it is claimed after Holm's correction over the whole table.
    """
    if not table.plan.cells:
        return "Nothing is computed here; what it shows is below."
    if not table.counts.get("ok"):
        return f"Nothing can be said yet: {cells_text(table)}."
    baseline = next((arm for arm in table.plan.arms if arm.name == table.plan.baseline), None)
    if not any(name not in VIEWS or VIEWS[name].averages for name in table.plan.shown_as):
        return "Shown below; no scores are averaged here."
    if len(table.plan.arms) == 1:
        return "There is no other arm to compare with, so the table gives the scores alone."
    if baseline is None:
        return "No arm is the baseline, so the table gives the scores alone."
    columns = [(column, _effects(table, column)) for column in primary_columns(table)]
    measured = [(column, effects) for column, effects in columns if effects]
    if not measured:
        return f"No arm can be compared with “{baseline.label}” yet: {cells_text(table)}."
    largest = max(
        ((column, arm, effect) for column, effects in measured for arm, effect in effects),
        key=lambda found: abs(found[2].summary.mean),
    )
    extreme = (
        f"{points(largest[2].summary.mean)} points of {columns_text([largest[0]])}, with “{largest[1].label}”: "
        f"{claim_text(largest[2])}"
    )
    if all(effect.summary.interval is None for _, effects in measured for _, effect in effects):
        why = "with one seed" if largest[2].summary.n == 1 else "with seeds that all agree exactly"
        return (
            f"Differences from “{baseline.label}” have no interval ({why}), so nothing here separates an effect from "
            "chance."
        )
    counts = sorted({effect.summary.n for _, effects in measured for _, effect in effects})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    family = max(effect.family for _, effects in measured for _, effect in effects)
    said: dict[tuple[tuple[str, str, str], ...], list[Column]] = {}
    for column, effects in measured:
        said.setdefault(_behaviour(effects, named=len(measured) <= 2), []).append(column)
    clauses = "; ".join(
        f"{columns_text(alike)} {listing([f'{one if len(alike) == 1 else many} {arms}' for one, many, arms in parts])}"
        for parts, alike in said.items()
    )
    sentence = (
        f"Against “{baseline.label}”, {family_text(family)} ({n}): {clauses}. The largest mean difference is {extreme}."
    )
    return sentence if table.complete else f"{sentence} Incomplete: {cells_text(table)}."


def _behaviour(effects: Sequence[tuple[Arm, Effect]], *, named: bool) -> tuple[tuple[str, str, str], ...]:
    """For each claim made: verb for one column, verb for several, and the arms (or how many) it is made of."""
    within = f"within ±{100 * MARGIN:g} points with"
    verbs: Mapping[Claim, tuple[str, str]] = {
        "higher": ("is higher with", "are higher with"),
        "lower": ("is lower with", "are lower with"),
        "no effect": (f"stays {within}", f"stay {within}"),
        "open": ("is left open with", "are left open with"),
        "no interval": ("has no interval with", "have no interval with"),
    }
    parts = []
    for name, (one, many) in verbs.items():
        arms = [arm for arm, effect in effects if claim(effect) == name]
        if arms:
            listed = listing([f"“{arm.label}”" for arm in arms])
            few = named and len(effects) <= LISTED
            parts.append((one, many, listed if few else f"{len(arms)} of {len(effects)} arms"))
    return tuple(parts)


def columns_text(columns: Sequence[Column]) -> str:
    """Columns in running text: "1-shot image AUROC", "image AUROC (1- and 2-shot) and pixel AUROC (1-shot)"."""
    shots: dict[str, list[Shots]] = {}
    for column in columns:
        shots.setdefault(METRICS[column.metric].title, []).append(column.shots)
    titles = {title: title[0].lower() + title[1:] for title in shots}
    if len({tuple(values) for values in shots.values()}) == 1:
        common = next(iter(shots.values()))
        return f"{_shots_text(common)} {listing(list(titles.values()))}"
    return listing([f"{_shots_text(values)} {titles[title]}" for title, values in shots.items()])


def _shots_text(shots: Sequence[Shots]) -> str:
    if "own" in shots:
        return listing([shots_text(value) for value in shots])
    return f"{listing([*(f'{value}-' for value in shots[:-1]), f'{shots[-1]}-shot'])}"


def details(table: Table) -> tuple[str, ...]:
    """One sentence per AUROC column: which arms are claimed higher, lower or the same, are open, or have no result."""
    if table.plan.baseline is None:
        return ()
    return tuple(_detail(table, column) for column in primary_columns(table))


def _detail(table: Table, column: Column) -> str:
    effects = sorted(_effects(table, column), key=lambda found: -found[1].summary.mean)
    parts = []
    words: Mapping[Claim, str] = {
        "higher": "higher with",
        "lower": "lower with",
        "no effect": f"within ±{100 * MARGIN:g} points with",
        "open": "open with",
        "no interval": "not tested:",
    }
    for name, word in words.items():
        arms = [(arm, effect) for arm, effect in effects if claim(effect) == name]
        if arms:
            ordered = arms[::-1] if name == "lower" else arms
            named = [f"“{arm.label}” ({effect_text(effect.summary)})" for arm, effect in ordered[:LISTED]]
            more = [f"{len(arms) - LISTED} more in the table"] if len(arms) > LISTED else []
            parts.append(f"{word} {listing(named + more)}")
    for arm in table.plan.arms:
        effect = table.entries[arm.name, column].effect
        if isinstance(effect, Missing):
            parts.append(f"no result for “{arm.label}”, {missing_text(effect)}")
    family = max((effect.family for _, effect in effects), default=0)
    if family:
        parts.append(f"claims {family_text(family)}, intervals not adjusted")
    return f"{column_title(column)}: {'; '.join(parts)}."


def _effects(table: Table, column: Column) -> list[tuple[Arm, Effect]]:
    found = [(arm, table.entries[arm.name, column].effect) for arm in table.plan.arms]
    return [(arm, effect) for arm, effect in found if isinstance(effect, Effect)]
