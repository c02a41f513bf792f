"""How far a study is, read off its plans and rows alone: also from another terminal, also after the driver died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from study.ledger import Ledger
from study.progress import duration
from study.row import Row

RECENT = 50
"""Rows that the throughput is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """Cells of one planned ablation by state, and the seconds its missing cells would take one after the other.

    ``work_left`` is None while no row tells how long a cell takes.
    """

    name: str
    planned: int
    ok: int
    failed: int
    unavailable: int
    missing: int
    work_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """State of a study folder; ``per_minute`` is the recent throughput in cells, None before the second row."""

    plans: tuple[PlanStatus, ...]
    per_minute: float | None
    last_finished: str | None
    failures: tuple[tuple[str, str], ...]


def study_status(ledger: Ledger) -> StudyStatus:
    """Read a study's state."""
    rows = ledger.rows()
    finished = sorted(row.provenance["finished"] for row in rows.values() if "finished" in row.provenance)
    return StudyStatus(
        plans=tuple(plan_status(document["name"], document["cells"], rows) for document in ledger.plans()),
        per_minute=_throughput(finished[-RECENT:]),
        last_finished=finished[-1] if finished else None,
        failures=tuple((str(row.cell), str(row.reason)) for row in rows.values() if row.status == "failed"),
    )


def plan_status(name: str, cells: Sequence[Mapping[str, Any]], rows: Mapping[str, Row]) -> PlanStatus:
    """Count the cells of one plan by what their rows say."""
    digests = {cell["digest"] for cell in cells}
    states = [rows[digest].status for digest in digests if digest in rows]
    missing = [cell for cell in {cell["digest"]: cell for cell in cells}.values() if cell["digest"] not in rows]
    return PlanStatus(
        name=name,
        planned=len(digests),
        ok=states.count("ok"),
        failed=states.count("failed"),
        unavailable=states.count("unavailable"),
        missing=len(missing),
        work_left=_work(missing, [rows[digest] for digest in digests if digest in rows]),
    )


def describe(status: StudyStatus) -> str:
    """The status as lines of text."""
    if not status.plans:
        return "nothing was planned in this study folder yet"
    lines = []
    for plan in status.plans:
        parts = [f"{plan.ok} of {plan.planned} cells done"]
        parts += [f"{plan.failed} failed"] if plan.failed else []
        parts += [f"{plan.unavailable} not possible with this data"] if plan.unavailable else []
        parts += [f"{plan.missing} to do"] if plan.missing else []
        if plan.missing and plan.work_left is not None:
            parts.append(f"about {duration(plan.work_left)} of work for one worker")
        lines.append(f"{plan.name}: {', '.join(parts)}")
    if status.per_minute is not None:
        lines.append(f"recent throughput {status.per_minute:.1f} cells per minute, last row {status.last_finished}")
    lines += [f"failed: {cell}: {reason}" for cell, reason in status.failures]
    return "\n".join(lines)


def _work(missing: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> float | None:
    """Seconds for the missing cells by the mean of finished ones, of the same task where there are any."""
    seconds = {
        task: [row.seconds["total"] for row in rows if row.status == "ok" and task in ("any", row.cell.task)]
        for task in ("image", "pixel", "any")
    }
    if not seconds["any"]:
        return None if missing else 0.0
    means = {task: sum(values) / len(values) for task, values in seconds.items() if values}
    return sum(means.get(cell["task"], means["any"]) for cell in missing)


def _throughput(finished: Sequence[str]) -> float | None:
    if len(finished) < 2:
        return None
    span = (datetime.fromisoformat(finished[-1]) - datetime.fromisoformat(finished[0])).total_seconds()
    return None if span <= 0 else 60 * (len(finished) - 1) / span
