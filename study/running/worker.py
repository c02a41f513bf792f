"""A worker's loop: receives cells, runs each and reports it; the same in this process and across a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from promptad.backbones.accelerator import DeviceError, is_out_of_memory, is_poisoned
from study.bench.workbench import Workbench
from study.records.cell import Cell
from study.records.failure import Failure, Kind
from study.records.group import Group
from study.running.dispatcher import Report
from study.running.row_desk import Worker

TOGETHER, MOST_AT_ONCE = 0.01, 16
"""Seconds of short cells that a worker takes and reports at once, and their greatest number: an exchange with a
dispatcher in another process takes milliseconds. Longer cells go one by one, so that a death costs one."""


class CellSource(Protocol):
    """The dispatcher as a worker sees it, in its own process or across a cluster."""

    def begin(self, group: int, worker: Worker) -> Group:
        """The group of a number, for which a worker prepares from now on."""
        ...

    def next(self, group: int, worker: Worker, most: int = 1) -> tuple[Cell, ...]:
        """The group's next cells without a row, at most so many; none when the group is done."""
        ...

    def report(self, group: int, worker: Worker, reports: Sequence[Report], *, most: int) -> tuple[Cell, ...]:
        """Report on the cells that were given; returns the next ones, at most so many."""
        ...

    def fail_group(self, group: int, failure: Failure) -> None:
        """Report that a group cannot even begin: its cells become failed rows, or are set aside."""
        ...


def prepare_group(bench: Workbench, source: CellSource, number: int, group: Group) -> None:
    """Prepare for a group; if that fails (weights, memory), the dispatcher learns it.

    Raises:
        DeviceError: the device can compute no more in this process, which is not the group's fault.
    """
    try:
        bench.start_group(group.cells, group.category)
    except Exception as error:
        failure = failure_of(error)
        if failure.poisons:
            raise poisoned(failure) from error
        if failure.needs_room:
            bench.release()
        source.fail_group(number, failure)


def run_cells(
    bench: Workbench,
    source: CellSource,
    group: int,
    worker: Worker,
    *,
    seconds: float = 0.0,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> bool:
    """Run one cell of a group, and more for ``seconds``; False when the group has no other. ``guard`` is around each.

    Raises:
        LedgerError: rows cannot be written, which is not the cell's fault.
        DeviceError: the device can compute no more in this process; the cell at work is reported.
    """
    began = time.monotonic()
    cells = source.next(group, worker)
    while cells:
        started, reports, failed = time.monotonic(), list[Report](), False
        for cell in cells:
            # What took its time, or failed, is told before the next cell may end this process.
            if reports and (isinstance(reports[-1].result, Failure) or time.monotonic() - started > TOGETHER):
                source.report(group, worker, reports, most=0)
                reports = []
            with guard():
                reports.append(run_cell(bench, cell))
            last = reports[-1].result
            if isinstance(last, Failure) and last.poisons:
                source.report(group, worker, reports, most=0)
                raise poisoned(last)
            failed = failed or isinstance(reports[-1].result, Failure)
        now = time.monotonic()
        # How soon a cell fails says nothing of the others.
        most = 0 if now >= began + seconds else 1 if failed else _most((now - started) / len(cells))
        cells = source.report(group, worker, reports, most=most)
        if not most:
            return True
    return False


def _most(seconds: float) -> int:
    """How many cells that take so long are asked for at once."""
    return max(1, min(MOST_AT_ONCE, int(TOGETHER / max(seconds, 1e-9))))


def run_cell(bench: Workbench, cell: Cell) -> Report:
    """Run one cell; an exception of it is its failure."""
    try:
        return Report(digest=cell.digest, result=bench.run(cell))
    except Exception as error:
        failure = failure_of(error)
    if failure.needs_room and not failure.poisons:
        bench.release()
    return Report(digest=cell.digest, result=failure)


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that an exception of a cell means."""
    name = type(error).__name__
    kind: Kind = "memory" if is_out_of_memory(error) else "device" if is_poisoned(error) else "error"
    return Failure(kind=kind, reason=f"{name}: {error}" if str(error) else name)


def poisoned(failure: Failure) -> DeviceError:
    """The error that ends a process whose device can compute no more."""
    return DeviceError(
        f"the accelerator failed ({failure.reason.strip().splitlines()[0]}), and nothing can be computed on it in this "
        "process any more: finished cells are safe; run the same command again"
    )
