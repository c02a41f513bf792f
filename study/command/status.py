"""The state of a study, read from its folder alone: from any terminal, even after the driver died."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from reports.reading.planned_cells import PlannedCells
from study.records.driver_record import RECORD, DriverRecord, driver_record
from study.records.ledger import Ledger
from study.records.pulse import NodeUse, RunningCell
from study.records.row import Row
from study.records.segment import RowState

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
    seen = ledger.overview()
    states = seen.states
    record, fault = driver_record(ledger.folder)
    damaged = {**seen.damaged, **({} if fault is None else {RECORD: fault})}
    alive = record is not None and record.alive
    running = record.running if record is not None and alive else ()
    at_work = {cell.digest for cell in running}
    plans = tuple(plan_status(plan.name, plan.asked, states, at_work) for plan in seen.plans)
    finished = [state.finished for state in states.values() if state.finished is not None]
    # The rate of the present run, without a pause before it.
    since = datetime.fromisoformat(record.started).timestamp() if record is not None and alive else -math.inf
    per_minute = _throughput(heapq.nlargest(RECENT, (moment for moment in finished if moment >= since)))
    missing = {digest for plan in seen.plans for digest, _ in plan.asked.tasks()} - states.keys()
    return StudyStatus(
        plans=plans,
        driver=None if record is None else _driver(record, alive),
        running=running,
        nodes=record.nodes if record is not None and alive else (),
        per_minute=per_minute,
        seconds_left=60 * len(missing) / per_minute if alive and per_minute else None,
        last_finished=_iso(max(finished)) if finished else None,
        failures=_failures(ledger.rows(digest for digest, state in states.items() if state.status == "failed")),
        damaged=damaged,
    )


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def plan_status(
    name: str, cells: PlannedCells, states: Mapping[str, RowState], at_work: Collection[str] = ()
) -> PlanStatus:
    """Count the cells of one plan by the states of their rows; ``at_work`` are digests of cells that workers have."""
    tasks = dict(cells.tasks())
    found = {digest: states[digest] for digest in tasks if digest in states}
    counts = Counter(state.status for state in found.values())
    missing = [task for digest, task in tasks.items() if digest not in found]
    measured = [
        (tasks[digest], state.seconds)
        for digest, state in found.items()
        if state.status == "ok" and state.seconds is not None
    ]
    return PlanStatus(
        name=name,
        planned=len(tasks),
        ok=counts["ok"],
        failed=counts["failed"],
        unavailable=counts["unavailable"],
        missing=len(missing),
        running=len(tasks.keys() & set(at_work)),
        work_left=_work(missing, measured),
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


def _work(missing: Sequence[str], measured: Sequence[tuple[str, float]]) -> float | None:
    """Seconds for missing cells of these tasks by the mean of measured ones, of the same task where there are any."""
    if not measured:
        return None if missing else 0.0
    mean = sum(seconds for _, seconds in measured) / len(measured)
    means = {}
    for task in set(missing):
        same = [seconds for other, seconds in measured if other == task]
        means[task] = sum(same) / len(same) if same else mean
    return sum(means[task] for task in missing)


def _throughput(finished: Sequence[float]) -> float | None:
    """Cells a minute by the moments of the last ones."""
    if len(finished) < 2:
        return None
    span = max(finished) - min(finished)
    return None if span <= 0 else 60 * (len(finished) - 1) / span
