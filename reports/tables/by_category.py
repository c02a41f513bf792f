"""Categories as rows and arms side by side: who is first in a category, and who second."""

from collections.abc import Mapping
from dataclasses import replace

from reports.statistics import TIE, Summary
from reports.tables.entries import Column
from reports.tables.formats import column_title
from reports.tables.grids import Grid, Spot, arm_categories
from reports.tables.table import Table

PLACES = {1: "first", 2: "second"}
"""Places that are marked; the page has a class of each name, and "unplaced" for numbers without a place."""


def side_by_side(table: Table) -> tuple[Grid, ...]:
    """A grid per metric and shots: rows categories and their mean, columns arms, with the paper's numbers beside.

    In each row the highest mean is marked as first and the next as second, among arms with all planned seeds: a mean
    over other seeds is another number. Equal means share a place.
    """
    return tuple(_grid(table, column) for column in table.columns)


def _grid(table: Table, column: Column) -> Grid:
    plan = table.plan
    parts = {arm.name: arm_categories(table, arm, [column]) for arm in plan.runnable}
    head = [("Category", "")]
    for arm in plan.runnable:
        head += [(arm.label, small) for _, small in parts[arm.name].head[1:]]
    rows = []
    for number, category in enumerate((*plan.categories, None)):
        scores = _complete(table, column, category)
        placed = places(scores)
        labels = [part.rows[number][0] for part in parts.values()]
        spots = [labels[0]]
        for arm in plan.runnable:
            ours, *published = parts[arm.name].rows[number][1:]
            spots += [_marked(ours, placed.get(arm.name), len(scores), len(plan.runnable)), *published]
        rows.append(tuple(spots))
    return Grid(title=column_title(column), head=tuple(head), rows=tuple(rows))


def _complete(table: Table, column: Column, category: str | None) -> dict[str, float]:
    """Means by arm, of a category or of all (None), of arms with every planned seed."""
    found = {}
    for arm in table.plan.runnable:
        place = table.entries[arm.name, column] if category is None else table.by_category[arm.name, column, category]
        if isinstance(place.value, Summary) and place.shortfall is None:
            found[arm.name] = place.value.mean
    return found


def places(means: Mapping[str, float]) -> dict[str, int]:
    """The place of each name: 1 plus the number of higher means; equal means share a place."""
    return {name: 1 + sum(other > mean + TIE for other in means.values()) for name, mean in means.items()}


def _marked(spot: Spot, place: int | None, compared: int, planned: int) -> Spot:
    # A first place among one arm means nothing.
    if place not in PLACES or compared < 2:
        return replace(spot, tone=f"{spot.tone} unplaced")
    among = "" if compared == planned else f" of {compared} that are complete"
    return replace(spot, tone=f"{spot.tone} {PLACES[place]}", lines=(f"{PLACES[place]}{among}", *spot.lines))
