"""A worker's loop: receives cells, runs each and reports it; the same in this process and across a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from promptad.backbones.accelerator import ONLY_ON_A_CARD, DeviceError, is_out_of_memory, is_poisoned
from promptad.configs.method_config import MethodConfig
from promptad.datasets import Category
from study.bench.prepared import Guard, unguarded
from study.bench.workbench import Workbench
from study.records.cell import Cell
from study.records.failure import Failure, Kind
from study.records.group import Group
from study.records.outcome import Outcome
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

    def next(self, group: int, worker: Worker, most: int = 1, company: int = 1) -> tuple[Cell, ...]:
        """The group's next cells without a row; none when the group is done.

        At most ``company`` that can learn together, or at most ``most`` of others.
        """
        ...

    def report(
        self, group: int, worker: Worker, reports: Sequence[Report], *, most: int, company: int = 1
    ) -> tuple[Cell, ...]:
        """Report on the cells that were given; returns the next ones as `next` does, none if ``most`` is 0."""
        ...

    def fail_group(self, group: int, failure: Failure) -> None:
        """Report that a group cannot even begin: its cells become failed rows, or are set aside."""
        ...


class Bench(Protocol):
    """The workbench as a worker sees it."""

    @property
    def company(self) -> int:
        """How many cells may learn together."""
        ...

    def start_group(self, cells: Sequence[Cell], categories: Sequence[Category]) -> None:
        """Prepare for cells of one backbone that look at these categories."""
        ...

    def run_together(
        self, cells: Sequence[Cell], guard: Guard = unguarded
    ) -> Iterator[tuple[Cell, Outcome | Exception]]:
        """Run cells of the group; what came of each, as it comes. ``guard`` is around the work on some of them.

        Raises:
            Exception: after which nothing can be computed on the device; whatever has not come is lost.
        """
        ...

    def release(self) -> None:
        """Free memory that can be filled again."""
        ...


def prepare_group(bench: Bench, source: CellSource, number: int, group: Group) -> None:
    """Prepare for a group; if that fails (weights, memory), the dispatcher learns it.

    Raises:
        DeviceError: the device can compute no more in this process, which is not the group's fault.
    """
    try:
        bench.start_group(group.cells, group.categories)
    except Exception as error:
        failure = failure_of(error)
        if failure.poisons:
            raise poisoned(failure) from error
        if failure.needs_room:
            bench.release()
        source.fail_group(number, failure)


def check_precision(configs: Iterable[MethodConfig], *, on_cpu: bool) -> None:
    """Check that what computes cells has the precision of their configs.

    Raises:
        DeviceError: a config asks for an accelerator's, and there is none.
    """
    asking = sum(config.precision == "tf32" for config in configs)
    if on_cpu and asking:
        raise DeviceError(f"{ONLY_ON_A_CARD}; configs that ask for it: {asking}, and no GPU is used here")


def run_cells(
    bench: Bench,
    source: CellSource,
    group: int,
    worker: Worker,
    *,
    seconds: float = 0.0,
    guard: Guard = unguarded,
) -> bool:
    """Run some cells of a group, and more for ``seconds``; False when the group has no other.

    ``guard`` is around the work on one cell, or on several together: on as many as its argument says.

    Raises:
        LedgerError: rows cannot be written, which is not the cell's fault.
        DeviceError: the device can compute no more in this process; a cell that was alone at work is reported.
    """
    began = time.monotonic()
    cells = source.next(group, worker, 1, bench.company)
    while cells:
        started, reports, failed = time.monotonic(), list[Report](), False
        for number, report in enumerate(_reports(bench, cells, guard), start=1):
            reports.append(report)
            if isinstance(report.result, Failure):
                failed = True
                if report.result.poisons:
                    source.report(group, worker, reports, most=0)
                    raise poisoned(report.result)
            # What took its time, or failed, is told before the next cell may end this process.
            took_long = time.monotonic() - started > TOGETHER
            if number < len(cells) and (took_long or isinstance(report.result, Failure)):
                source.report(group, worker, reports, most=0)
                reports = []
        now = time.monotonic()
        # How soon a cell fails says nothing of the others.
        most = 0 if now >= began + seconds else 1 if failed else _most((now - started) / len(cells))
        cells = source.report(group, worker, reports, most=most, company=bench.company)
        if not most:
            return True
    return False


def _reports(bench: Bench, cells: Sequence[Cell], guard: Guard) -> Iterator[Report]:
    """What came of each cell, as it comes.

    Raises:
        DeviceError: the device failed several cells together: none of them is to blame.
    """
    outcomes = bench.run_together(cells, guard)
    for _ in cells:
        try:
            cell, result = next(outcomes)
        except Exception as error:
            failure = failure_of(error)
            if failure.poisons:
                raise poisoned(failure) from error
            raise
        yield Report(digest=cell.digest, result=_taken(bench, result))


def _taken(bench: Bench, result: Outcome | Exception) -> Outcome | Failure:
    """A cell's outcome, or its failure."""
    if not isinstance(result, Exception):
        return result
    failure = failure_of(result)
    if failure.needs_room and not failure.poisons:
        bench.release()
    return failure


def _most(seconds: float) -> int:
    """How many cells that take so long are asked for at once."""
    return max(1, min(MOST_AT_ONCE, int(TOGETHER / max(seconds, 1e-9))))


def run_cell(bench: Workbench, cell: Cell) -> Report:
    """Run one cell; an exception of it is its failure."""
    result: Outcome | Exception
    try:
        result = bench.run(cell)
    except Exception as error:
        result = error
    return Report(digest=cell.digest, result=_taken(bench, result))


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
