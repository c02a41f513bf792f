"""The paper's numbers beside ours, with the verdict on each."""

from reports.reading.plan_document import Plan
from reports.reading.plan_parts import Arm, PrintedNumber
from reports.statistics import Summary
from reports.tables.entries import Column, Missing, PublishedValue, Verdict
from reports.tables.equality import equality, more_seeds


def published_values(
    plan: Plan,
    arm: Arm,
    column: Column,
    value: Summary | Missing,
    shortfall: Missing | None,
    category: str | None = None,
) -> tuple[PublishedValue, ...]:
    """The printed numbers of an arm and column, each with its effect over the published baseline and a verdict.

    `category` None: the mean over all categories, of which `value` is ours.
    """
    baseline = next((other for other in plan.arms if other.name == plan.baseline), None)
    shown = []
    for number in _numbers(plan, arm, column, category):
        effect = None
        if baseline is not None and baseline.name != arm.name:
            theirs = [n for n in _numbers(plan, baseline, column, category) if n.dataset == number.dataset]
            effect = (number.value - theirs[0].value) / 100 if theirs else None
        shown.append(_judged(number, column, value, shortfall, effect))
    return tuple(shown)


def _numbers(plan: Plan, arm: Arm, column: Column, category: str | None) -> list[PrintedNumber]:
    place = (arm.name, column.metric, column.shots, category)
    return [number for number in plan.printed if (number.arm, number.metric, number.shots, number.category) == place]


def _judged(
    number: PrintedNumber, column: Column, value: Summary | Missing, shortfall: Missing | None, effect: float | None
) -> PublishedValue:
    printed, sd = number.value / 100, None if number.std is None else number.std / 100
    verdict, detail = _without_test(number, column, value, shortfall)
    found = None if verdict is not None or isinstance(value, Missing) else equality(value, printed, sd)
    difference, low, high, more = None, None, None, None
    if verdict == "plain difference" and isinstance(value, Summary):
        difference = value.mean - printed
    elif found is not None and isinstance(value, Summary):
        verdict, difference, low, high = found.outcome, found.difference, found.low, found.high
        more = more_seeds(value, printed, sd) if found.outcome == "open" else None
    return PublishedValue(
        dataset=number.dataset,
        shots=number.printed_shots,
        value=printed,
        std=sd,
        effect=effect,
        verdict=verdict or "no interval",
        difference=difference,
        low=low,
        high=high,
        more_seeds=more,
        own_spread=found is not None and found.own_spread,
        reasons=tuple(obstacle.text for obstacle in number.obstacles),
        note=number.note,
        detail=detail,
    )


def _without_test(
    number: PrintedNumber, column: Column, value: Summary | Missing, shortfall: Missing | None
) -> tuple[Verdict | None, str]:
    """The verdict and its detail if there is nothing to test, else None."""
    if number.obstacles:
        return "none", ""
    missing = value if isinstance(value, Missing) else shortfall
    if missing is not None:
        there = missing.count if missing.kind == "incomplete" else 0
        return "incomplete", f"{there} of {missing.planned} {missing.unit}"
    if column.scope:
        return "incomplete", column.scope
    return (None, "") if number.draws else ("plain difference", "")
