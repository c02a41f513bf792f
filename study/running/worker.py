"""A worker's loop: receives cells, runs each and reports it; the same in this process and across a cluster."""

from __future__ import annotations

from typing import Protocol

import torch

from study.bench.workbench import Workbench
from study.records.cell import Cell
from study.records.failure import Failure
from study.records.folder import LedgerError
from study.records.group import Group
from study.records.outcome import Outcome
from study.running.dispatcher import Finished, Worker

_MEMORY_PHRASES = (
    "can't allocate memory",
    "not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Texts by which torch and CUDA report that memory ran out, where they raise a plain RuntimeError."""


class CellSource(Protocol):
    """The dispatcher as a worker sees it, in its own process or across a cluster."""

    def begin(self, group: int, worker: Worker) -> Group:
        """The group of a number, for which a worker prepares from now on."""
        ...

    def next(self, group: int, worker: Worker) -> Cell | None:
        """The group's next cell without a row; None when the group is done."""
        ...

    def accept(self, digest: str, outcome: Outcome) -> Finished:
        """Store the outcome of the cell that was handed out; it is durable when this returns."""
        ...

    def fail(self, group: int, digest: str, failure: Failure) -> Finished | None:
        """Report a failure; None if the cell will be tried again."""
        ...

    def fail_group(self, group: int, failure: Failure) -> list[Finished]:
        """Report that a group cannot even begin: its cells become failed rows, or are set aside."""
        ...


def prepare_group(bench: Workbench, source: CellSource, number: int, group: Group) -> list[Finished]:
    """Prepare for a group; if that fails (weights, memory), return the cells that became failed rows."""
    try:
        bench.start_group(group.cells, group.category)
    except Exception as error:
        failure = failure_of(error)
        if failure.needs_room:
            bench.release()
        return source.fail_group(number, failure)
    return []


def run_next(bench: Workbench, source: CellSource, group: int, worker: Worker) -> tuple[bool, Finished | None]:
    """Run one cell of a group; returns whether there was one, and its result (None: it will be tried again).

    Raises:
        LedgerError: the study folder cannot be written, which is not the cell's fault.
    """
    cell = source.next(group, worker)
    if cell is None:
        return False, None
    try:
        return True, source.accept(cell.digest, bench.run(cell))
    except LedgerError:
        raise
    except Exception as error:
        failure = failure_of(error)
    if failure.needs_room:
        bench.release()
    return True, source.fail(group, cell.digest, failure)


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that an exception of a cell means."""
    name = type(error).__name__
    memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _MEMORY_PHRASES)
    )
    return Failure(kind="memory" if memory else "error", reason=f"{name}: {error}" if str(error) else name)
