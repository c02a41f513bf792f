"""The state of a study, read from its folder alone: from any terminal, even after the driver died."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reports.reading.plan_parts import PlannedCell
from study.records.driver_record import RECORD, DriverRecord, driver_record
from study.records.ledger import Ledger
from study.records.pulse import NodeUse, RunningCell
from study.records.row import Row

RECENT = 50
"""Number of latest rows from which the throughput is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """Cells of one planned ablation by state, and the seconds its missing cells would take one after the other.

    ``missing`` cells have no row; ``running`` counts those of them that a worker computes now. ``work_left`` is None
    while no row has measured a cell's time.
    """

    name: str
    planned: int
    ok: int
    failed: int
    unavailable: int
    missing: int
    running: int
    work_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureStatus:
    """A cell with a failed row; ``finished`` is an ISO time, None where it is not known."""

    digest: str
    cell: str
    reason: str
    finished: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStatus:
    """The present or last driver. ``state`` is the recorded one, or ``died`` if it ended without a record.

    ``done``, ``failed`` and ``to_run`` count the cells of its run; ``heartbeat_age`` is in seconds.
    """

    state: Literal["running", "finished", "failed", "stopped", "crashed", "died"]
    who: str
    heartbeat_age: float
    exit_code: int | None
    message: str | None
    to_run: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """State of a study folder.

    ``per_minute`` is the recent throughput in cells, None before the second row; ``seconds_left`` what the missing
    cells take at that rate, None where nothing runs or no rate is known. ``nodes`` and ``running`` are empty where
    nothing runs. ``damaged`` maps files that cannot be used to what is wrong with them.
    """

    plans: tuple[PlanStatus, ...]
    driver: DriverStatus | None
    running: tuple[RunningCell, ...]
    nodes: tuple[NodeUse, ...]
    per_minute: float | None
    seconds_left: float | None
    last_finished: str | None
    failures: tuple[FailureStatus, ...]
    damaged: Mapping[str, str]

    @property
    def working(self) -> bool:
        """Whether a driver is at work."""
        return self.driver is not None and self.driver.state == "running"


def study_status(ledger: Ledger) -> StudyStatus:
    """Read a study's state; failures are the latest first."""
    files = ledger.everything()
    rows = files.rows
    record, fault = driver_record(ledger.folder)
    damaged = {**files.damaged, **({} if fault is None else {RECORD: fault})}
    alive = record is not None and record.alive
    running = record.running if record is not None and alive else ()
    at_work = {cell.digest for cell in running}
    plans = tuple(plan_status(plan.name, plan.asked, rows, at_work) for plan in files.plans)
    finished = sorted(row.provenance["finished"] for row in rows.values() if row.provenance.get("finished"))
    # The rate of the present run, without a pause before it.
    recent = [time for time in finished if not (record is not None and alive and time < record.started)]
    per_minute = _throughput(recent[-RECENT:])
    missing = {cell.digest for plan in files.plans for cell in plan.asked} - rows.keys()
    return StudyStatus(
        plans=plans,
        driver=None if record is None else _driver(record, alive),
        running=running,
        nodes=record.nodes if record is not None and alive else (),
        per_minute=per_minute,
        seconds_left=60 * len(missing) / per_minute if alive and per_minute else None,
        last_finished=finished[-1] if finished else None,
        failures=_failures(rows),
        damaged=damaged,
    )


def plan_status(
    name: str, cells: Sequence[PlannedCell], rows: Mapping[str, Row], at_work: Collection[str] = ()
) -> PlanStatus:
    """Count the cells of one plan by what their rows say; ``at_work`` are the digests of cells that workers have."""
    digests = {cell.digest for cell in cells}
    states = [rows[digest].status for digest in digests if digest in rows]
    missing = [cell for cell in {cell.digest: cell for cell in cells}.values() if cell.digest not in rows]
    return PlanStatus(
        name=name,
        planned=len(digests),
        ok=states.count("ok"),
        failed=states.count("failed"),
        unavailable=states.count("unavailable"),
        missing=len(missing),
        running=len(digests & set(at_work)),
        work_left=_work(missing, [rows[digest] for digest in digests if digest in rows]),
    )


def _driver(record: DriverRecord, alive: bool) -> DriverStatus:
    return DriverStatus(
        state="died" if record.state == "running" and not alive else record.state,
        who=record.who(),
        heartbeat_age=round(record.age, 1),
        exit_code=record.exit_code,
        message=record.message,
        to_run=record.to_run,
        done=record.done,
        failed=record.failed,
    )


def _failures(rows: Mapping[str, Row]) -> tuple[FailureStatus, ...]:
    failed = [
        FailureStatus(
            digest=digest, cell=str(row.cell), reason=str(row.reason), finished=row.provenance.get("finished")
        )
        for digest, row in rows.items()
        if row.status == "failed"
    ]
    return tuple(sorted(failed, key=lambda failure: (failure.finished or "", failure.digest), reverse=True))


def _work(missing: Sequence[PlannedCell], rows: Sequence[Row]) -> float | None:
    """Seconds for the missing cells by the mean of finished ones, of the same task where there are any."""
    seconds = {
        task: [
            row.seconds["total"]
            for row in rows
            if row.status == "ok" and "total" in row.seconds and task in ("any", row.cell.task)
        ]
        for task in ("image", "pixel", "any")
    }
    if not seconds["any"]:
        return None if missing else 0.0
    means = {task: sum(values) / len(values) for task, values in seconds.items() if values}
    return sum(means.get(cell.task, means["any"]) for cell in missing)


def _throughput(finished: Sequence[str]) -> float | None:
    if len(finished) < 2:
        return None
    span = (datetime.fromisoformat(finished[-1]) - datetime.fromisoformat(finished[0])).total_seconds()
    return None if span <= 0 else 60 * (len(finished) - 1) / span
