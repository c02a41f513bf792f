"""Notes under a table: how its numbers were made, in sentences that are true for this table."""

from typing import Literal

from reports.tables.formats import listing
from reports.tables.table import Table

SCORES = (
    "Percent: mean over seeds [95% t-interval of that mean], n = seeds; categories are averaged within a seed first."
)
SCORES_ON_ONE_SET = (
    "Percent: mean over seeds [95% t-interval at one support set: over initial tokens, say], n = seeds; categories are "
    "averaged within a seed first. All seeds see the same support images: the interval says nothing of other images."
)
SOME_ON_ONE_SET = (
    "Where “one support set” stands, the interval is that of what else a seed draws (initial tokens, say)."
)
EFFECTS = (
    "Percentage points: arm minus baseline at equal seed, category and shots; mean over seeds [95% t-interval, not "
    "adjusted], n = seeds; p: t-test over seeds, Holm: adjusted over all metrics, arms and shots of the table; "
    "categories: how many went up, down, or stayed equal; last, what may be claimed (no effect: two one-sided t-tests "
    "against 0.5 points, Holm-adjusted in the same way)."
)
ALL_ON_ONE_SET = "All seeds see the same support images: intervals and claims are about this one set."
ONE_SET_CLAIMS = "Claims are about this one support set."
NAMED = 6
"""Categories of a pool that are named one by one."""


def on_one_set(table: Table) -> Literal["all", "some", "none"]:
    """Whether the seeds of a table's arms share their support images: "all" of the arms, "some", or "none"."""
    shared = table.plan.one_support_set
    planned = {(cell.arm, cell.shots) for cell in table.plan.cells}
    if planned.isdisjoint(shared):
        return "none"
    return "all" if planned <= set(shared) else "some"


def shared_models(table: Table) -> str:
    """Which rows are of one model for all categories, and of which; "" where each category has a model of its own."""
    pooled = [arm for arm in table.plan.runnable if arm.pool]
    if not pooled:
        return ""
    (pool,) = {arm.pool for arm in pooled}
    named = listing(pool) if len(pool) <= NAMED else f"{len(pool)} categories"
    if len(pooled) == len(table.plan.runnable):
        return f"One model for all of {named} at a seed, in each row: it learns from the support images of all of them."
    return (
        f"Rows with “one model for {len(pool)} categories” have one model for all of {named} at a seed, which learns "
        "from the support images of all of them. No other row that runs here shares what it learned between categories."
    )


def scores_note(table: Table) -> str:
    """How a table's scores were made."""
    match on_one_set(table):
        case "all":
            note = SCORES_ON_ONE_SET
        case "some":
            note = f"{SCORES} {SOME_ON_ONE_SET}"
        case _:
            note = SCORES
    return f"{note} {shared_models(table)}".strip()


def effects_note(table: Table) -> str:
    """How a table's effects were made."""
    note = EFFECTS if on_one_set(table) == "none" else f"{EFFECTS} {SOME_ON_ONE_SET} {ONE_SET_CLAIMS}"
    return f"{note} {shared_models(table)}".strip()


def intervals_note(table: Table) -> str:
    """What a figure's intervals do not cover if seeds share their support images; "" if they do not."""
    return {"none": "", "some": SOME_ON_ONE_SET, "all": ALL_ON_ONE_SET}[on_one_set(table)]
