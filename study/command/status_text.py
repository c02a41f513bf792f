"""The state of a study as text for a terminal, printed once or repeatedly."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from study.command.duration import duration
from study.command.status import DriverStatus, PlanStatus, StudyStatus

SHOWN_FAILURES = 5
SHOWN_RUNNING = 8

CLEAR_LINE, CLEAR_BELOW, HOME = "\x1b[K", "\x1b[J", "\x1b[H"


def describe(status: StudyStatus, location: str) -> str:
    """The status as lines of text; ``location`` is the study folder as commands name it."""
    option = "" if location == "results" else f" --study {location}"
    lines = [_driver_line(status.driver)] if status.driver else []
    if not status.plans and not status.driver:
        return "nothing was planned in this study folder yet"
    lines += [_plan_line(plan) for plan in status.plans]
    if status.per_minute is not None:
        left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
        lines.append(f"recent throughput {status.per_minute:.1f} cells per minute{left}")
    if status.last_finished is not None:
        lines.append(f"last row {status.last_finished}")
    for node in status.nodes:
        gpus = f", {node.gpus_used:g} of {node.gpus:g} GPUs" if node.gpus else ""
        state = f"left out: {node.reason}" if node.reason else "gone" if not node.alive else ""
        lines.append(f"node {node.name}: {state or f'{node.cpus_used:g} of {node.cpus:g} CPUs{gpus} in use'}")
    lines += [
        f"running: {cell.cell} on {cell.node}, process {cell.process}, since {cell.since}"
        for cell in status.running[:SHOWN_RUNNING]
    ]
    if len(status.running) > SHOWN_RUNNING:
        lines.append(f"running: {len(status.running) - SHOWN_RUNNING} more")
    for failure in status.failures[:SHOWN_FAILURES]:
        lines.append(f"failed: {failure.cell}: {_first_line(failure.reason)}")
        lines.append(f"    see: run.py show {failure.digest[:8]}{option}")
    if len(status.failures) > SHOWN_FAILURES:
        lines.append(f"failed: {len(status.failures) - SHOWN_FAILURES} more; all with: run.py status --json{option}")
    lines += [f"damaged, counts as missing: {name}: {_first_line(why)}" for name, why in status.damaged.items()]
    return "\n".join(lines)


def watch(
    read: Callable[[], StudyStatus], location: str, *, seconds: float, stream: TextIO | None = None
) -> StudyStatus:
    """Show the status every few seconds until the driver has ended; returns the last one.

    A terminal shows it again in place; elsewhere a changed status is printed below the last.
    """
    stream = stream or sys.stdout
    live = stream.isatty()
    last = ""
    if live:
        stream.write(HOME + CLEAR_BELOW)
    while True:
        status = read()
        text = describe(status, location)
        if live:
            width, height = shutil.get_terminal_size()
            rows = [line[: width - 1] for line in text.splitlines()][: height - 1]
            stream.write(HOME + "".join(f"{row}{CLEAR_LINE}\n" for row in rows) + CLEAR_BELOW)
        elif text != last:
            stream.write(f"{text}\n\n")
        stream.flush()
        last = text
        if not status.working:
            return status
        time.sleep(seconds)


def _driver_line(driver: DriverStatus) -> str:
    progress = f"{driver.done + driver.failed} of {driver.to_run} cells of this run done"
    if driver.state == "running" and not driver.to_run:
        progress = "no cells to compute yet"
    if driver.failed:
        progress += f", {driver.failed} of them failed"
    if driver.state == "running":
        return f"running: {progress}; {driver.who}, heard of {max(0.0, driver.heartbeat_age):.0f} s ago"
    if driver.state == "died":
        return f"died without a word: {progress}; {driver.who}; the same run command continues from there"
    how = f"{driver.state} with exit code {driver.exit_code}"
    why = f": {_first_line(driver.message)}" if driver.message else ""
    return f"{how}{why}; {progress}; {driver.who}"


def _plan_line(plan: PlanStatus) -> str:
    parts = [f"{plan.ok} of {plan.planned} cells done"]
    parts += [f"{plan.running} running"] if plan.running else []
    parts += [f"{plan.failed} failed"] if plan.failed else []
    parts += [f"{plan.unavailable} not possible with this data"] if plan.unavailable else []
    parts += [f"{plan.missing} to do"] if plan.missing else []
    if plan.missing and plan.work_left is not None:
        parts.append(f"about {duration(plan.work_left)} of work for one worker")
    return f"{plan.name}: {', '.join(parts)}"


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 160 else line[:159] + "…"
