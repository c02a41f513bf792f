"""The paper's numbers beside ours, and what may be said of both."""

from reports.entries import Column, Missing, PublishedValue, Verdict
from reports.records import Arm, Plan, PublishedNumber
from reports.statistics import Summary


def published_values(
    plan: Plan, arm: Arm, column: Column, value: Summary | Missing, shortfall: Missing | None
) -> tuple[PublishedValue, ...]:
    """What the paper prints for an arm and column, each with its effect over the published baseline and a verdict."""
    baseline = next((other for other in plan.arms if other.name == plan.baseline), None)
    shown = []
    for number in _published_numbers(plan, arm, column):
        effect = None
        if baseline is not None and baseline.name != arm.name:
            theirs = [n for n in _published_numbers(plan, baseline, column) if n.dataset == number.dataset]
            effect = (number.value - theirs[0].value) / 100 if theirs else None
        shown.append(
            PublishedValue(
                dataset=number.dataset,
                shots=number.shots,
                value=number.value / 100,
                std=None if number.std is None else number.std / 100,
                effect=effect,
                verdict=verdict(plan, column, value, shortfall, number.value / 100),
                detail=_detail(column, value, shortfall),
            )
        )
    return tuple(shown)


def _published_numbers(plan: Plan, arm: Arm, column: Column) -> list[PublishedNumber]:
    """The paper's numbers for an arm: at the column's shots, else those printed without support images."""
    if arm.published is None:
        return []
    matching = [
        number
        for number in plan.published
        if number.factors == arm.published
        and number.category is None
        and number.metric == column.metric
        and plan.published_dataset in (None, number.dataset)
    ]
    exact = [number for number in matching if number.shots in (column.shots, None)]
    return exact or [number for number in matching if number.shots == 0]


def published_by_category(plan: Plan, arm: Arm, column: Column, category: str) -> PublishedNumber | None:
    """What the paper prints for one category, if it does."""
    for number in plan.published:
        key = (number.factors, number.metric, number.category)
        here = number.shots in (column.shots, None) and plan.published_dataset in (None, number.dataset)
        if here and key == (arm.published, column.metric, category):
            return number
    return None


def _detail(column: Column, value: Summary | Missing, shortfall: Missing | None) -> str:
    missing = value if isinstance(value, Missing) else shortfall
    if missing is not None:
        there = missing.count if missing.kind == "incomplete" else 0
        return f"{there} of {missing.planned} {missing.unit}"
    return column.scope


def verdict(
    plan: Plan, column: Column, value: Summary | Missing, shortfall: Missing | None, published: float
) -> Verdict:
    """Where our interval lies beside a published fraction, or why that cannot be said."""
    if not plan.comparable:
        return "not comparable"
    if isinstance(value, Missing) or shortfall is not None or column.scope:
        return "incomplete"
    if value.interval is None:
        return "no interval"
    low, high = value.interval
    return "inside our interval" if low <= published <= high else "above" if low > published else "below"
