"""Tables of numbers as plain data for the page: the text of each place, and the cells behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from promptad.scoring.metric_table import METRICS
from reports.reading.plan_parts import Arm
from reports.statistics import Difference, Effect, Summary, claim
from reports.tables.contrasts import contrasts
from reports.tables.entries import Column, Entry, Missing, PublishedValue
from reports.tables.formats import (
    claim_text,
    column_groups,
    dataset_name,
    effect_text,
    mark_text,
    missing_text,
    no_interval_reason,
    percent,
    points,
    probability,
    published_text,
    reach_text,
    row_marks,
    seeds_text,
)
from reports.tables.published import published_values
from reports.tables.table import Table
from reports.tables.verdicts import comparable_numbers, verdict_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One place of a grid. `behind` names the cells of its number: arm, metric, shots and perhaps category.

    `tone` is a class of the page: ours, published, absent, base, or a claim: higher, lower, no-effect, open.
    """

    main: str
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tone: str = "ours"
    behind: tuple[str, ...] = ()
    flag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: `head` has a title and a small second line for each column, each row begins with its label."""

    title: str
    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Spot, ...], ...]


def arm_grids(table: Table) -> tuple[Grid, ...]:
    """Rows arms; a column per metric and shots, each followed by the paper's numbers and the verdict."""
    grids = []
    for columns in column_groups(table.columns):
        sources = [_datasets(table, column) for column in columns]
        head = [("Arm", ""), *((mark, "") for mark in table.marks)]
        for column, names in zip(columns, sources, strict=True):
            head.append((METRICS[column.metric].title, _under(column, "ours")))
            head += [(METRICS[column.metric].title, f"published, {dataset_name(name)}") for name in names]
        rows = []
        for arm in table.plan.arms:
            spots = [_label(table, arm), *(Spot(main=mark_text(arm.marks.get(m)), tone="mark") for m in table.marks)]
            for column, names in zip(columns, sources, strict=True):
                entry = table.entries[arm.name, column]
                spots.append(_score(table, arm, column, entry))
                spots += [_published(table, entry, name) for name in names]
            rows.append(tuple(spots))
        grids.append(Grid(title="", head=tuple(head), rows=tuple(rows)))
    return tuple(grids)


def _under(column: Column, whose: str) -> str:
    return ", ".join(part for part in (column.shots_text, whose, column.scope) if part)


def _datasets(table: Table, column: Column) -> tuple[str, ...]:
    found = (value.dataset for arm in table.plan.arms for value in table.entries[arm.name, column].published)
    return tuple(dict.fromkeys(found))


def _label(table: Table, arm: Arm) -> Spot:
    baseline = table.is_baseline(arm) and "baseline" not in arm.label.lower()
    lines = (("baseline",) if baseline else ()) + (() if arm.runnable else (f"published only: {arm.not_runnable}",))
    return Spot(main=arm.label, lines=lines, tone="baseline" if table.is_baseline(arm) else "label")


def _score(table: Table, arm: Arm, column: Column, entry: Entry) -> Spot:
    behind = (arm.name, column.metric, str(column.shots))
    flag = ", ".join(row_marks(table, arm, entry))
    return value_spot(entry.value, entry.shortfall, behind, flag)


def value_spot(value: Summary | Missing, shortfall: Missing | None, behind: tuple[str, ...], flag: str = "") -> Spot:
    """A score with interval, n and SD, or the reason in words why there is none."""
    if isinstance(value, Missing):
        if value.kind == "published only":
            return Spot(main="not run", tone="absent")
        lone = value.kind in ("unavailable", "not planned")
        return Spot(main=value.text, notes=() if lone else (value.reason,), tone="absent", behind=behind)
    if value.interval is None:
        lines = (no_interval_reason(value), seeds_text(value.n))
    else:
        low, high = value.interval
        lines = (f"{percent(low)} to {percent(high)}", f"n = {value.n}, SD {percent(value.sd or 0.0)}")
    notes = () if shortfall is None else (missing_text(shortfall),)
    return Spot(main=percent(value.mean), lines=lines, notes=notes, behind=behind, flag=flag)


def _published(table: Table, entry: Entry, dataset: str) -> Spot:
    value = next((value for value in entry.published if value.dataset == dataset), None)
    if value is None:
        return Spot(main="none published", tone="published absent")
    return published_spot(table, value)


def published_spot(table: Table, value: PublishedValue) -> Spot:
    """A printed number with its verdict, or the reason for none unless the whole table shares it."""
    lines: tuple[str, ...] = ()
    if value.verdict != "none":
        lines = (verdict_text(value),)
    elif comparable_numbers(table.plan)[0]:
        lines = tuple(f"no verdict: {reason}" for reason in value.reasons)
    tone = {"equal": " inside", "differs": " differs"}.get(value.verdict, "")
    return Spot(
        main=published_text(value), lines=lines, notes=(value.note,) if value.note else (), tone=f"published{tone}"
    )


def effect_grids(table: Table) -> tuple[Grid, ...]:
    """Paired effects with interval, p, Holm's p, claim, and signs by category."""
    grids = []
    for columns in column_groups(table.columns):
        head = [("Arm", ""), *((METRICS[column.metric].title, _under(column, "")) for column in columns)]
        rows = [
            (_label(table, arm), *(_effect(table, arm, column) for column in columns)) for arm in table.plan.runnable
        ]
        grids.append(Grid(title="", head=tuple(head), rows=tuple(rows)))
    return tuple(grids)


def _effect(table: Table, arm: Arm, column: Column) -> Spot:
    entry = table.entries[arm.name, column]
    effect, behind = entry.effect, (arm.name, column.metric, str(column.shots))
    if effect is None:
        return Spot(main="baseline" if table.is_baseline(arm) else "no baseline", tone="absent")
    if isinstance(effect, Missing):
        return Spot(main=effect.text, notes=(effect.reason,), tone="absent", behind=behind)
    notes = () if entry.effect_shortfall is None else (missing_text(entry.effect_shortfall),)
    return Spot(
        main=points(effect.summary.mean),
        lines=_effect_lines(effect),
        notes=notes,
        tone=claim_tone(effect),
        behind=behind,
        flag="one support set" if entry.effect_on_one_set else "",
    )


def claim_tone(difference: Difference) -> str:
    """The page's class for the claim about a difference."""
    return claim(difference).replace(" ", "-")


def _effect_lines(effect: Effect) -> tuple[str, ...]:
    summary = effect.summary
    bounds = summary.interval
    reach = no_interval_reason(summary) if bounds is None else f"{points(bounds[0])} to {points(bounds[1])}"
    lines = [claim_text(effect), f"{reach}, n = {summary.n}"]
    if effect.p is not None:
        lines.append(f"p {probability(effect.p)}, Holm {probability(effect.p_holm)}")
        lines.append(_equivalence_line(effect))
    return (*lines, f"categories: {effect.up} up, {effect.down} down, {effect.tied} equal")


def _equivalence_line(one: Difference) -> str:
    return f"within ±0.5: p {probability(one.p_equivalent)}, Holm {probability(one.p_equivalent_holm)}"


def category_grids(table: Table) -> tuple[Grid, ...]:
    """Rows categories; columns shots of each metric and arm that runs, with the paper's numbers where it has them."""
    grids = []
    for arm in table.plan.runnable:
        for metric in dict.fromkeys(column.metric for column in table.columns):
            columns = [column for column in table.columns if column.metric == metric]
            grids.append(arm_categories(table, arm, columns))
    return tuple(grids)


def arm_categories(table: Table, arm: Arm, columns: Sequence[Column]) -> Grid:
    """One arm: rows categories and their mean, columns shots of one metric, with the paper's numbers beside them."""
    numbers = {
        (column, name): published_values(table.plan, arm, column, found.value, found.shortfall, name)
        for column in columns
        for name in table.plan.categories
        for found in [table.by_category[arm.name, column, name]]
    }
    printed = [any(numbers[column, name] for name in table.plan.categories) for column in columns]
    head: list[tuple[str, str]] = [("Category", "")]
    for column, has in zip(columns, printed, strict=True):
        head += [(column.shots_text, "ours")] + ([(column.shots_text, "published")] if has else [])
    rows = []
    for category in table.plan.categories:
        spots = [Spot(main=category, tone="label")]
        for column, has in zip(columns, printed, strict=True):
            found = table.by_category[arm.name, column, category]
            spot = value_spot(found.value, found.shortfall, (arm.name, column.metric, str(column.shots), category))
            if isinstance(found.delta, Summary):
                spot = Spot(
                    main=spot.main,
                    lines=(*spot.lines, f"effect {effect_text(found.delta)}"),
                    notes=spot.notes,
                    behind=spot.behind,
                )
            spots.append(spot)
            if has:
                number = next(iter(numbers[column, category]), None)
                none = Spot(main="none published", tone="published absent")
                spots.append(none if number is None else published_spot(table, number))
        rows.append(tuple(spots))
    mean = [Spot(main="mean of all", tone="baseline")]
    for column, has in zip(columns, printed, strict=True):
        mean.append(_score(table, arm, column, table.entries[arm.name, column]))
        if has:
            value = next(iter(table.entries[arm.name, column].published), None)
            none = Spot(main="none published", tone="published absent")
            mean.append(none if value is None else published_spot(table, value))
    title = f"{arm.label}: {METRICS[columns[0].metric].title}"
    return Grid(title=title, head=tuple(head), rows=(*rows, tuple(mean)))


def contrast_grids(table: Table) -> tuple[Grid, ...]:
    """Main effects and interactions in numbers, a column per metric and shots."""
    found = contrasts(table)
    labels = list(dict.fromkeys(contrast.label for made in found.values() for contrast in made))
    if not labels:
        return ()
    rows = []
    for label in labels:
        spots = [Spot(main=label, tone="label")]
        for made in found.values():
            contrast = next((one for one in made if one.label == label), None)
            if contrast is None:
                spots.append(Spot(main="incomplete", notes=("no seed has every arm",), tone="absent"))
                continue
            lines = [reach_text(contrast.summary)]
            if contrast.p is not None:
                lines.append(f"p {probability(contrast.p)}, Holm {probability(contrast.p_holm)}")
                lines.append(_equivalence_line(contrast))
            tone = claim_tone(contrast)
            spots.append(Spot(main=points(contrast.summary.mean), lines=(claim_text(contrast), *lines), tone=tone))
        rows.append(tuple(spots))
    head = [("Contrast", ""), *((METRICS[column.metric].title, _under(column, "points")) for column in found)]
    return (Grid(title="", head=tuple(head), rows=tuple(rows)),)


def prompt_grids(table: Table) -> tuple[Grid, ...]:
    """The anomaly suffixes, a row per group: the generic ones and each category's own."""
    prompts = table.plan.prompts
    groups = {} if prompts is None else {"generic": prompts.generic, **prompts.own}
    rows = tuple(
        (
            Spot(main=group, lines=(f"{len(texts)} suffixes",), tone="label"),
            Spot(main=texts[0] if texts else "none", lines=texts[1:], tone="text" if texts else "absent"),
        )
        for group, texts in groups.items()
    )
    return (Grid(title="", head=(("Group", ""), ("Suffixes", "{} is the object's name")), rows=rows),) if rows else ()
