"""A table as text for a terminal: the means, one line per arm."""

from promptad.scoring.metric_table import METRICS
from reports.reading.shots import shots_text
from reports.tables.cautions import cautions
from reports.tables.entries import Entry, Missing
from reports.tables.formats import percent, warnings
from reports.tables.table import Table
from reports.tables.transfer import transfer_text


def table_text(table: Table) -> str:
    """All that a terminal shows of a table: ``to_text``, and of a study of objectives their outcome."""
    return f"{to_text(table)}\n{transfer_text(table)}" if table.plan.proxies else to_text(table)


def to_text(table: Table) -> str:
    """Title, circumstances and the scores in percent: mean and half width of the 95% t-interval over seeds."""
    plan = table.plan
    seeds = len(plan.seeds)
    shots = "" if len(plan.shots) > 1 else f", {shots_text(plan.shots[0])}"
    about = f"{plan.dataset_title}, {plan.weights_label}, protocol {plan.protocol}{shots}, {seeds} seeds"
    heads = [
        METRICS[column.metric].title + (f" {column.shots_text}" if len(plan.shots) > 1 else "")
        for column in table.columns
    ]
    lines = [["", *heads]]
    lines += [[arm.label, *(_cell(table.entries[arm.name, column]) for column in table.columns)] for arm in plan.arms]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    scopes = dict.fromkeys(
        f"{column.task} metrics: {column.scope} ({'; '.join(table.unmeasurable[column.task].values())})"
        for column in table.columns
        if column.scope
    )
    body = [
        "  ".join(
            [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    marks = [f"*** {mark} ***" for mark in warnings(table)]
    said = [f"caution: {sentence}" for sentence in cautions(table)]
    return "\n".join([plan.title, about, *marks, *said, *scopes, *body])


def _cell(entry: Entry) -> str:
    if isinstance(entry.value, Missing):
        return entry.value.kind
    shortfall = "" if entry.shortfall is None else " (incomplete)"
    if entry.value.interval is None:
        return f"{percent(entry.value.mean)} n={entry.value.n}{shortfall}"
    half = (entry.value.interval[1] - entry.value.interval[0]) / 2
    return f"{percent(entry.value.mean)} ci {percent(half)}{shortfall}"
