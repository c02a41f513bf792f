"""Verdicts on the paper's numbers in words: for one number, for a table, and reasons for no verdict."""

from collections.abc import Iterable, Sequence

from promptad.scoring.metric_table import METRICS
from reports.reading.plan_document import Plan
from reports.reading.plan_parts import PrintedNumber
from reports.tables.entries import PublishedValue
from reports.tables.formats import listing, points
from reports.tables.table import Table

NOT_RUN = "not_run"
"""The reason of a row without cells here, which its place in the table shows already."""


def verdict_text(value: PublishedValue) -> str:
    """The verdict with the difference and its interval: "differs: +0.8 [+0.2, +1.4]"."""
    if value.verdict == "none":
        return "no verdict"
    if value.verdict == "incomplete":
        return f"incomplete ({value.detail})" if value.detail else "incomplete"
    if value.verdict == "no interval" or value.difference is None:
        return "no interval, so no verdict"
    if value.verdict == "plain difference":
        return f"{points(value.difference)}: nothing is drawn, so this is the whole difference"
    assert value.low is not None
    assert value.high is not None
    found = f"{points(value.difference)} [{points(value.low)}, {points(value.high)}]"
    if value.verdict == "differs":
        return f"differs: {found}"
    if value.verdict == "equal":
        return f"equal within ±0.5: {found}"
    return f"open: {found}; {_more_seeds_text(value.more_seeds)}"


def _more_seeds_text(more: int | None) -> str:
    if more is None:
        return "no number of seeds here would close it"
    seeds = "1 more seed" if more == 1 else f"{more} more seeds"
    return f"about {seeds} would close it"


def comparable_numbers(plan: Plan) -> tuple[int, int]:
    """How many printed numbers of rows that run here are comparable, and their total."""
    run = _of_rows_that_run(plan)
    return sum(not number.obstacles for number in run), len(run)


def no_verdict_reasons(plan: Plan) -> tuple[str, ...]:
    """Reasons why printed numbers get no verdict, each with its rows or metrics unless it holds for all."""
    run = _of_rows_that_run(plan)
    about: dict[str, list[PrintedNumber]] = {}
    for number in run:
        for obstacle in number.obstacles:
            about.setdefault(obstacle.text, []).append(number)
    return tuple(text + _whose(plan, numbers, run) for text, numbers in about.items())


def no_verdict_text(plan: Plan) -> str | None:
    """One sentence on the numbers without verdict; None if all have one, or there are none."""
    if not (reasons := no_verdict_reasons(plan)):
        return None
    return f"{_without_verdict(plan)}: {'; '.join(reasons)}."


def no_verdict_sentences(plan: Plan) -> tuple[str, ...]:
    """The number of numbers without verdict, then a sentence for each reason; empty if there are none."""
    if not (reasons := no_verdict_reasons(plan)):
        return ()
    return (f"{_without_verdict(plan)}.", *(f"{reason[0].upper()}{reason[1:]}." for reason in reasons))


def _without_verdict(plan: Plan) -> str:
    comparable, total = comparable_numbers(plan)
    which = f"{total - comparable} of {total} published" if comparable else "Published"
    return f"{which} numbers are not comparable with ours"


def _of_rows_that_run(plan: Plan) -> tuple[PrintedNumber, ...]:
    return tuple(number for number in plan.printed if all(obstacle.reason != NOT_RUN for obstacle in number.obstacles))


def _whose(plan: Plan, numbers: Sequence[PrintedNumber], all_numbers: Sequence[PrintedNumber]) -> str:
    """The rows, or the metrics of rows, for which a reason holds; "" if it holds for every number."""
    if len(numbers) == len(all_numbers):
        return ""
    labels = {arm.name: arm.label for arm in plan.arms}
    arms = list(dict.fromkeys(number.arm for number in numbers))
    named = listing([f"“{labels[arm]}”" for arm in arms])
    metrics = {number.metric for number in numbers}
    others = {number.metric for number in all_numbers if number.arm in arms} - metrics
    of = f", {listing([METRICS[metric].title for metric in sorted(metrics)])}" if others else ""
    return f" ({named}{of})"


VERDICT_NOTE = (
    "A verdict is a test of its own at 5%: of twenty equal numbers one differs by chance. It compares our mean with "
    "the printed one, by Welch's interval of the difference with the printed SD, widened by the rounding of ±0.05; "
    "equal: surely within ±0.5 points."
)
OWN_SPREAD_NOTE = "Where the paper prints no SD, its five seeds are taken to spread as ours do."


def verdict_note(table: Table) -> str:
    """How the verdicts of a table were decided; "" for a table without any."""
    values = [value for entry in table.entries.values() for value in entry.published]
    if not any(value.low is not None for value in values):
        return ""
    return VERDICT_NOTE + (f" {OWN_SPREAD_NOTE}" if any(value.own_spread for value in values) else "")


def printed_notes(values: Iterable[PublishedValue]) -> tuple[str, ...]:
    """Sentences on numbers that the paper prints differently elsewhere, each once."""
    return tuple(dict.fromkeys(value.note for value in values if value.note))
