"""Numbers as text: the only place where a fraction becomes a percentage."""

from collections.abc import Sequence
from typing import Literal

from promptad.datasets import known_sets
from promptad.scoring.metric_table import METRICS
from reports.reading.plan_parts import Arm
from reports.reading.shots import shots_text
from reports.statistics import Difference, Summary, claim
from reports.tables.entries import Column, Entry, Missing, PublishedValue
from reports.tables.table import Table

MINUS = "\N{MINUS SIGN}"


def percent(fraction: float) -> str:
    """A fraction as percent with one decimal: 0.8514 -> "85.1"."""
    return _signed_zero_free(f"{100 * fraction:.1f}")


def points(difference: float) -> str:
    """A difference of fractions as signed percentage points: 0.032 -> "+3.2"; what rounds to zero has no sign."""
    return _signed_zero_free(f"{100 * difference:+.1f}")


def _signed_zero_free(text: str) -> str:
    return "0.0" if text in ("-0.0", "+0.0") else text.replace("-", MINUS)


def probability(p: float | None) -> str:
    """A p value with three decimals, "< 0.001" below; "no test" for None."""
    if p is None:
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def arm_text(arm: Arm, *, baseline: bool) -> str:
    """An arm's label, with "(baseline)" unless the label says so itself."""
    return f"{arm.label} (baseline)" if baseline and "baseline" not in arm.label.lower() else arm.label


def seeds_text(count: int) -> str:
    """A count of seeds: "1 seed", "3 seeds"."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def no_interval_reason(summary: Summary) -> str:
    """Why a summary has no interval."""
    return "no interval" if summary.n == 1 else "no interval (all seeds equal)"


def summary_text(summary: Summary, *, sd: bool = False) -> str:
    """Mean, interval, SD on request, and n of a score: "85.1 [82.1, 88.0], SD 1.2, n = 3"."""
    if summary.interval is None:
        return f"{percent(summary.mean)}, {no_interval_reason(summary)}, n = {summary.n}"
    low, high = summary.interval
    spread = f", SD {percent(summary.sd)}" if sd and summary.sd is not None else ""
    return f"{percent(summary.mean)} [{percent(low)}, {percent(high)}]{spread}, n = {summary.n}"


def effect_text(summary: Summary) -> str:
    """Mean, interval and n of a difference in points: "+3.2 [+1.1, +5.3], n = 3"."""
    return f"{points(summary.mean)}{'' if summary.interval else ','} {reach_text(summary)}"


def difference_text(summary: Summary) -> str:
    """The same for use in a sentence: "a difference of +3.2 points [+1.1, +5.3], n = 3"."""
    return f"a difference of {points(summary.mean)} points{'' if summary.interval else ','} {reach_text(summary)}"


def reach_text(difference: Summary) -> str:
    """The interval of a difference in points, or why there is none, and n."""
    if difference.interval is None:
        return f"{no_interval_reason(difference)}, n = {difference.n}"
    low, high = difference.interval
    return f"[{points(low)}, {points(high)}], n = {difference.n}"


def claim_text(difference: Difference) -> str:
    """The claim about a difference, in words."""
    match claim(difference):
        case "higher":
            return "higher (Holm p < 0.05)"
        case "lower":
            return "lower (Holm p < 0.05)"
        case "no effect":
            return "no effect (within ±0.5, Holm p < 0.05)"
        case "open":
            return "open: neither shown nor excluded"
        case "no interval":
            return "nothing can be claimed"


def family_text(family: int, of: Literal["effect", "contrast"] = "effect") -> str:
    """The correction behind the claims: "after Holm's correction over all 8 tested effects of this table"."""
    tested = f"the only tested {of}" if family == 1 else f"all {family} tested {of}s"
    return f"after Holm's correction over {tested} of this table"


def dataset_name(dataset: str) -> str:
    """A published data set's short name; for a set unknown to this version, its key."""
    known = known_sets().get(dataset)
    return dataset if known is None else known.short


def published_text(value: PublishedValue) -> str:
    """A published number without its data set: "81.5", "95.9 (SD 0.5)", "86.7 (0-shot)"."""
    notes = [] if value.std is None else [f"SD {percent(value.std)}"]
    if value.shots in (0, "full"):
        notes.append(shots_text(value.shots))
    return percent(value.value) + (f" ({', '.join(notes)})" if notes else "")


def missing_text(value: Missing) -> str:
    """A missing value with its reason: "failed (2 of 18): out of memory"."""
    return value.text if value.kind in ("unavailable", "not planned") else f"{value.text}: {value.reason}"


def column_title(column: Column) -> str:
    """A column's heading: "Image AUROC, 1-shot", with the number of categories if not all."""
    scope = f", {column.scope}" if column.scope else ""
    return f"{METRICS[column.metric].title}, {column.shots_text}{scope}"


def mark_text(value: object) -> str:
    """A component's mark: "yes", "no", "not set", or its value as text."""
    if value is None:
        return "not set"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def listing(items: Sequence[object]) -> str:
    """Items in a sentence: "a", "a and b", "a, b and c"."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def column_groups(columns: Sequence[Column], most: int = 4) -> tuple[tuple[Column, ...], ...]:
    """Groups of columns that fit beside each other: one up to `most` columns, else one per task, else per metric."""
    if len(columns) <= most:
        return (tuple(columns),)
    tasks = [
        tuple(column for column in columns if column.task == task) for task in dict.fromkeys(c.task for c in columns)
    ]
    if all(len(group) <= most for group in tasks):
        return tuple(tasks)
    metrics = dict.fromkeys(column.metric for column in columns)
    return tuple(tuple(column for column in columns if column.metric == metric) for metric in metrics)


def warnings(table: Table) -> tuple[str, ...]:
    """The marks that every table of this plan carries: random weights, selection on test."""
    marks = []
    if random := table.plan.random_arms:
        marks.append("RANDOM WEIGHTS" if len(random) == len(table.plan.runnable) else "RANDOM WEIGHTS IN SOME ROWS")
    if table.selected_on_test:
        marks.append("SELECTED ON TEST")
    return tuple(marks)


def selected_alone(table: Table, entry: Entry) -> bool:
    """True for a number selected on test in a table with other numbers: then the table's mark is not enough."""
    numbers = [other for other in table.entries.values() if isinstance(other.value, Summary)]
    return (
        entry.selected_on_test
        and isinstance(entry.value, Summary)
        and not all(other.selected_on_test for other in numbers)
    )


def row_marks(table: Table, arm: Arm, entry: Entry) -> tuple[str, ...]:
    """Marks of one number that hold for only some rows, and so are not among the table's marks."""
    if not isinstance(entry.value, Summary):
        return ()
    marks = ["SELECTED ON TEST"] if selected_alone(table, entry) else []
    if arm.random_weights and len(table.plan.random_arms) < len(table.plan.runnable):
        marks.append("RANDOM WEIGHTS")
    if entry.one_support_set:
        marks.append("one support set")
    return tuple(marks)


def heading(table: Table) -> tuple[tuple[str, str], ...]:
    """The facts that every rendering prints about its numbers, as (name, value) pairs."""
    plan = table.plan
    departures = {name: marks for name, marks in table.departures.items() if marks}
    same = len(set(table.departures.values())) == 1
    if not departures:
        in_force = "none"
    elif same:
        in_force = ", ".join(next(iter(departures.values())))
    else:
        in_force = "; ".join(f"{name}: {', '.join(marks)}" for name, marks in departures.items())
    return (
        ("Protocol", plan.protocol),
        ("Departures in force", in_force),
        ("Selection", "best epoch on test (SELECTED ON TEST)" if plan.selection == "best_on_test" else plan.selection),
        ("Weights", plan.weights_label),
        ("Backbone", plan.backbone),
        ("Dataset", f"{plan.dataset_title} ({plan.dataset}), {len(plan.categories)} categories"),
        ("Seeds", ", ".join(str(seed) for seed in plan.seeds)),
        ("Shots", ", ".join("each row's own" if shots == "own" else str(shots) for shots in plan.shots)),
        ("Cells", cells_text(table)),
    )


def cells_text(table: Table) -> str:
    """Count the plan's cells by status: "178 of 180 ok, 1 failed, 1 missing"."""
    total = sum(table.counts.values())
    rest = [f"{count} {status}" for status, count in table.counts.items() if status != "ok"]
    return ", ".join([f"{table.counts.get('ok', 0)} of {total} ok", *rest])
