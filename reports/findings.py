"""What a table says, in words made from its numbers."""

from collections.abc import Sequence

from reports.entries import METRICS, Column, Missing
from reports.formats import cells_text, column_title, direction, effect_text, listing, missing_text, points
from reports.records import Arm
from reports.statistics import Effect
from reports.tables import Table

PRIMARY = ("image_auroc", "pixel_auroc")
LISTED = 6
WITHOUT_SCORES = frozenset({"attention", "compared", "embedding", "examples", "prompts"})
"""Views that show images, features or texts, and average no scores."""


def primary_columns(table: Table) -> tuple[Column, ...]:
    """The AUROC columns, or all columns of a table without one."""
    return tuple(column for column in table.columns if column.metric in PRIMARY) or table.columns


def lead(table: Table) -> str:
    """One or two sentences: how many arms differ from the baseline, on what, and the largest change."""
    if not table.plan.cells:
        return "Nothing is computed here; what it shows is below."
    if not table.counts.get("ok"):
        return f"Nothing can be said yet: {cells_text(table)}."
    baseline = next((arm for arm in table.plan.arms if arm.name == table.plan.baseline), None)
    if WITHOUT_SCORES.issuperset(table.plan.shown_as):
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
    extreme = f"“{largest[1].label}”, {points(largest[2].summary.mean)} points of {_columns_text([largest[0]])}"
    if all(effect.summary.interval is None for _, effects in measured for _, effect in effects):
        why = "with one seed" if largest[2].summary.n == 1 else "with seeds that all agree exactly"
        return (
            f"Differences from “{baseline.label}” have no interval ({why}), so nothing here separates an effect from "
            "chance."
        )
    counts = sorted({effect.summary.n for _, effects in measured for _, effect in effects})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    said: dict[tuple[tuple[str, str, str], ...], list[Column]] = {}
    for column, effects in measured:
        said.setdefault(_behaviour(effects, named=len(measured) <= 2), []).append(column)
    clauses = "; ".join(
        f"{_columns_text(alike)} {listing([f'{one if len(alike) == 1 else many} {arms}' for one, many, arms in parts])}"
        for parts, alike in said.items()
    )
    sentence = (
        f"Against “{baseline.label}”, by paired 95% intervals over seeds ({n}): {clauses}. "
        f"The largest change is {extreme}."
    )
    return sentence if table.complete else f"{sentence} Incomplete: {cells_text(table)}."


def _behaviour(effects: Sequence[tuple[Arm, Effect]], *, named: bool) -> tuple[tuple[str, str, str], ...]:
    """Verb for one column, verb for several, and the arms (or how many) going up, going down or unclear."""
    verbs = {
        "up": ("goes up with", "go up with"),
        "down": ("goes down with", "go down with"),
        "unclear": ("is not shown to differ with", "are not shown to differ with"),
        "no interval": ("has no interval with", "have no interval with"),
    }
    parts = []
    for name, (one, many) in verbs.items():
        arms = [arm for arm, effect in effects if direction(effect) == name]
        if arms:
            listed = listing([f"“{arm.label}”" for arm in arms])
            few = named and len(effects) <= LISTED
            parts.append((one, many, listed if few else f"{len(arms)} of {len(effects)} arms"))
    return tuple(parts)


def _columns_text(columns: Sequence[Column]) -> str:
    """Columns in running text: "1-shot image AUROC", "image AUROC (1- and 2-shot) and pixel AUROC (1-shot)"."""
    shots: dict[str, list[int]] = {}
    for column in columns:
        shots.setdefault(METRICS[column.metric][0], []).append(column.shots)
    titles = {title: title[0].lower() + title[1:] for title in shots}
    if len({tuple(values) for values in shots.values()}) == 1:
        common = next(iter(shots.values()))
        return f"{_shots_text(common)} {listing(list(titles.values()))}"
    return listing([f"{_shots_text(values)} {titles[title]}" for title, values in shots.items()])


def _shots_text(shots: Sequence[int]) -> str:
    return f"{listing([*(f'{value}-' for value in shots[:-1]), f'{shots[-1]}-shot'])}"


def details(table: Table) -> tuple[str, ...]:
    """One sentence per AUROC column: which arms go up, down, are unclear or have no result; what Holm leaves."""
    if table.plan.baseline is None:
        return ()
    return tuple(_detail(table, column) for column in primary_columns(table))


def _detail(table: Table, column: Column) -> str:
    effects = sorted(_effects(table, column), key=lambda found: -found[1].summary.mean)
    parts = []
    words = {"up": "up with", "down": "down with", "unclear": "not shown to differ:", "no interval": "not tested:"}
    for name, word in words.items():
        arms = [(arm, effect) for arm, effect in effects if direction(effect) == name]
        if arms:
            ordered = arms[::-1] if name == "down" else arms
            named = [f"“{arm.label}” ({effect_text(effect.summary)})" for arm, effect in ordered[:LISTED]]
            more = [f"{len(arms) - LISTED} more in the table"] if len(arms) > LISTED else []
            parts.append(f"{word} {listing(named + more)}")
    for arm in table.plan.arms:
        effect = table.entries[arm.name, column].effect
        if isinstance(effect, Missing):
            parts.append(f"no result for “{arm.label}”, {missing_text(effect)}")
    tested = [effect for _, effect in effects if effect.p_holm is not None]
    if tested:
        left = sum(effect.p_holm is not None and effect.p_holm < 0.05 for effect in tested)
        metric = METRICS[column.metric][0]
        parts.append(
            f"{left or 'none'} of {len(tested)} below p = 0.05 after Holm's correction "
            f"({tested[0].family} {'test' if tested[0].family == 1 else 'tests'} of {metric} in this table)"
        )
    return f"{column_title(column)}: {'; '.join(parts)}."


def _effects(table: Table, column: Column) -> list[tuple[Arm, Effect]]:
    found = [(arm, table.entries[arm.name, column].effect) for arm in table.plan.arms]
    return [(arm, effect) for arm, effect in found if isinstance(effect, Effect)]


def cautions(table: Table) -> tuple[str, ...]:
    """What a reader must know before using a number of this table."""
    said = []
    plan = table.plan
    if plan.random_weights:
        said.append("RANDOM WEIGHTS: the backbone was never trained. These numbers test the machinery, not the method.")
    if table.selected_on_test:
        arms = [
            arm.label
            for arm in plan.arms
            if any(table.entries[arm.name, column].selected_on_test for column in table.columns)
        ]
        whose = "" if len(arms) in (0, len(plan.arms)) else f" ({listing([f'“{arm}”' for arm in arms])})"
        said.append(
            f"SELECTED ON TEST{whose}: the epoch was chosen by its score on the test set, which makes the numbers "
            f"too good.{_optimism(table)}"
        )
    for task, reasons in table.unmeasurable.items():
        if reasons:
            said.append(
                f"{task.capitalize()} metrics are over {len(plan.categories) - len(reasons)} of "
                f"{len(plan.categories)} categories: {'; '.join(reasons.values())}."
            )
    if len(plan.seeds) == 1:
        said.append("One seed: no standard deviation and no interval can be given.")
    return tuple(said)


def _optimism(table: Table) -> str:
    gains = []
    for column in primary_columns(table):
        found = [gap.mean for (_, other), gap in table.optimism.items() if other == column]
        if found:
            low, high = points(min(found)), points(max(found))
            gains.append(f"{low if low == high else f'{low} to {high}'} points of {_columns_text([column])}")
    return f" Over the last epoch, that choice gained {listing(gains)} (mean per arm)." if gains else ""
