"""What each arm costs, from cells that measured it: medians over categories and seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from promptad.scoring.metric_table import METRICS
from reports.reading.plan_parts import Arm
from reports.reading.rows import Row
from reports.reading.shots import Shots, shots_text
from reports.tables.entries import Missing
from reports.tables.formats import listing, missing_text
from reports.tables.grids import Grid, Spot
from reports.tables.table import Table

COUNTED = (
    "Medians over categories and seeds, with the range where they differ. Prompts are the texts that the text tower "
    "encodes; where each image has prompts of its own (CoCoOp), those of one image. Learned parameters are the numbers "
    "that gradients move. Seconds are on ready features; other work on the machine makes them longer. GFLOP are 10^9 "
    "floating-point operations, a multiply-add being two, of products, convolutions, attention, factorisations and "
    "triangular systems; norms, activations, interpolation, sorting and the optimiser's step are not counted. Features "
    "are cached, so encoding stands apart: each support and each query image takes it once. A method that changes the "
    "image tower (MaPLe) has nothing to cache: fitting and scoring hold its encoding, and its seconds the decoding."
)


def count_text(value: float) -> str:
    """A number of things: "13", "1,234", and "12.5" for the median of 12 and 13."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def seconds_text(value: float) -> str:
    """Seconds with three digits, below one in milliseconds: "12.3 s", "0.251 ms"."""
    return f"{_three_digits(value)} s" if value >= 1 else f"{_three_digits(1000 * value)} ms"


def gigaflop_text(value: float) -> str:
    """Operations in units of 10^9: "1,234", "0.251", "< 0.001", and "0" only where there are none."""
    return "< 0.001" if 0 < value < 1e6 else _three_digits(value / 1e9)


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return "< 0.001" if value < 0.001 else f"{float(f'{value:.3g}'):.10g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A measured quantity: its key in a row's `cost`, its heading, and its text."""

    key: str
    title: str
    unit: str
    text: Callable[[float], str]


_COLUMNS = (
    _Column(key="prompts", title="Prompts", unit="texts", text=count_text),
    _Column(key="learned_parameters", title="Learned parameters", unit="", text=count_text),
    _Column(key="fit_seconds", title="To fit", unit="seconds", text=seconds_text),
    _Column(key="score_seconds", title="To score an image", unit="seconds", text=seconds_text),
    _Column(key="fit_flop", title="To fit", unit="GFLOP", text=gigaflop_text),
    _Column(key="encode_flop", title="To encode an image", unit="GFLOP", text=gigaflop_text),
    _Column(key="score_flop", title="To score an image", unit="GFLOP", text=gigaflop_text),
)


def cost_grids(table: Table) -> tuple[Grid, ...]:
    """A grid per task and number of shots: rows arms, columns quantities; none if no cell measured its cost."""
    if not any(row.cost for row in table.rows.found.values()):
        return ()
    head = (("Arm", ""), *((column.title, column.unit) for column in _COLUMNS))
    settings = list(dict.fromkeys((column.task, column.shots) for column in table.columns))
    return tuple(
        Grid(
            title=f"{task.capitalize()} task, {shots_text(shots)}",
            head=head,
            rows=tuple(_row(table, arm, task, shots) for arm in table.plan.arms),
        )
        for task, shots in settings
    )


def machines_text(table: Table) -> str:
    """A sentence that names the machines on which the seconds were measured."""
    names = sorted({machine(row) for row in table.rows.found.values() if row.cost})
    if len(names) == 1:
        return f"Seconds are of one machine: {names[0]}."
    return f"Seconds are of {len(names)} machines, so each place names its own: {listing(names)}."


def machine(row: Row) -> str:
    """Where a row was measured: "cpu, 1 thread, node-a"."""
    facts = row.provenance
    threads = facts.get("threads")
    return (
        f"{facts.get('device') or 'device not recorded'}, "
        f"{'threads not recorded' if threads is None else '1 thread' if threads == 1 else f'{threads} threads'}, "
        f"{facts.get('host') or 'host not recorded'}"
    )


def _row(table: Table, arm: Arm, task: str, shots: Shots) -> tuple[Spot, ...]:
    if not arm.runnable:
        label = Spot(main=arm.label, lines=(f"cannot run here: {arm.not_runnable}",), tone="label")
        return (label, *(Spot(main="not run", tone="absent") for _ in _COLUMNS))
    cells = [cell for cell in table.plan.cells if (cell.arm, cell.task, cell.shots) == (arm.name, task, shots)]
    rows = [table.rows.found[cell.digest] for cell in cells if cell.digest in table.rows.found]
    measured = [row for row in rows if row.status == "ok" and row.cost]
    behind = (arm.name, next(name for name, metric in METRICS.items() if metric.task == task), str(shots))
    spots = (_spot(table, arm, column, measured, len(cells), behind) for column in _COLUMNS)
    return (Spot(main=arm.label, tone="label"), *spots)


def _spot(table: Table, arm: Arm, column: _Column, rows: Sequence[Row], planned: int, behind: tuple[str, ...]) -> Spot:
    found = [(machine(row), float(row.cost[column.key])) for row in rows if column.key in row.cost]
    if not found:
        return Spot(main="not measured", notes=(_why(table, arm, behind),), tone="absent", behind=behind)
    notes = () if len(found) == planned else (f"of {len(found)} of {planned} cells",)
    everywhere = sorted({machine(row) for row in table.rows.found.values() if row.cost})
    if column.unit == "seconds" and len(everywhere) > 1:
        # Seconds of different machines have no median.
        by_machine = {name: [value for where, value in found if where == name] for name in everywhere}
        first, *others = (f"{_typical(column, values)} on {name}" for name, values in by_machine.items() if values)
        return Spot(main=first, lines=tuple(others), notes=notes, behind=behind)
    values = [value for _, value in found]
    low, high = column.text(min(values)), column.text(max(values))
    lines = () if low == high else (f"{low} to {high}",)
    return Spot(main=_typical(column, values), lines=lines, notes=notes, behind=behind)


def _typical(column: _Column, values: Sequence[float]) -> str:
    return column.text(median(values))


def _why(table: Table, arm: Arm, behind: tuple[str, ...]) -> str:
    """Why an arm has no cost: its cells have no scores either, or kept none."""
    entries = [
        entry.value
        for (name, place), entry in table.entries.items()
        if (name, place.task, str(place.shots)) == (arm.name, METRICS[behind[1]].task, behind[2])
    ]
    missing = [value for value in entries if isinstance(value, Missing)]
    return missing_text(missing[0]) if missing else "its cells were not asked for it"
