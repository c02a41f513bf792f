"""What runs in a worker of a cluster: a Ray Tune trial is a group of cells, each of its steps some of them."""

from __future__ import annotations

import faulthandler
import os
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import ray
from ray import tune

from promptad.backbones.accelerator import DeviceError, device_of
from study.bench.workbench import Workbench
from study.cluster import nodes
from study.cluster.readiness import Needs, lacks
from study.records.cell import Cell
from study.records.failure import Failure
from study.records.folder import LedgerError
from study.records.group import Group
from study.running.dispatcher import Report
from study.running.execution_options import CacheSettings
from study.running.row_desk import Worker
from study.running.worker import prepare_group, run_cells

POISONED = 71
"""Exit code of a worker whose accelerator failed."""

PARKED_SECONDS = 1.0
"""Seconds between two checks of a parked trial whether it may end."""


STEP_SECONDS = 1.0
"""How long a step goes on with short cells: Tune needs some milliseconds for each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResources:
    """Resources of one trial: its CPUs, its share of a GPU, and the number of CPU threads that torch uses.

    At most ``company`` of its cells learn together, None: as many as serve the device.
    """

    cpus: int
    gpus: float
    threads: int
    company: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetup:
    """What every worker of a run receives when it begins.

    ``dispatcher`` is the actor that hands out cells and takes in rows. ``limit`` is the seconds that a cell may take,
    None: as long as it likes. ``needs`` is what a node must have; those in ``fit`` are known to have it.
    """

    dispatcher: Any
    resources: TrialResources
    cache: CacheSettings
    limit: float | None
    needs: Needs
    fit: Collection[str]


class GroupTrial(tune.Trainable):  # type: ignore[misc]
    """One group of cells; each step is a long one, or some short ones."""

    bench: type[Workbench] = Workbench
    _group: int
    _problem: str | None
    _broken: LedgerError | None

    def setup(self, config: dict[str, Any], shared: TrialSetup) -> None:
        """Open the workbench, which outlives this group, and prepare the first group."""
        self._source, self._limit = RemoteSource(shared.dispatcher), shared.limit
        self._needs, self._fit = shared.needs, shared.fit
        self._lacks: dict[tuple[tuple[str, ...], str], list[str]] = {}
        self._worker, self._no_device = own_worker(), ""
        try:
            self._bench = self.bench(
                cache=shared.cache.feature_cache(),
                device=device_of(shared.resources.gpus),
                gpus=shared.resources.gpus,
                threads=shared.resources.threads,
                company=shared.resources.company,
            )
        except DeviceError as error:
            self._no_device = str(error)
        self._start(config["group"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next group in the same process."""
        self._start(new_config["group"])
        return True

    def step(self) -> dict[str, Any]:
        """Run cells of the group for a while: many short ones, or one long one."""
        if self._problem is not None:
            time.sleep(PARKED_SECONDS)
            return {"done": self._source.park(self._group), "unfit": (self._worker.node, self._problem)}
        try:
            if self._broken is not None:
                raise self._broken
            more = run_cells(
                self._bench,
                self._source,
                self._group,
                self._worker,
                seconds=STEP_SECONDS,
                guard=lambda cells: watched(None if self._limit is None else cells * self._limit),
            )
        except LedgerError as error:
            return {"done": True, "broken": cause_of(error)}
        except DeviceError:
            end_process()
        return {"done": not more}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the ledger has everything."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Load nothing: the ledger has everything."""

    def _start(self, number: int) -> None:
        self._group, self._broken = number, None
        with watched(self._limit):
            group = self._source.begin(number, self._worker)
            self._problem = self._no_device or self._node_problem(group)
            if self._problem is None:
                try:
                    prepare_group(self._bench, self._source, number, group)
                except LedgerError as error:
                    self._broken = error
                except DeviceError:
                    end_process()

    def _node_problem(self, group: Group) -> str | None:
        """What a node lacks that joined after the check of all nodes."""
        if self._worker.node in self._fit or not group.cells:
            return None
        wanted = (tuple(category.name for category in group.categories), group.cells[0].backbone)
        if wanted not in self._lacks:
            self._lacks[wanted] = lacks(self._needs.only(*wanted))
        return "; ".join(self._lacks[wanted]) or None


def cause_of(error: Exception) -> str:
    """The message of an error that Ray brings from another process, without its traceback."""
    return str(getattr(error, "cause", error))


def end_process() -> NoReturn:
    """End this worker, whose device can compute no more: Ray begins another one, and the dispatcher finds out."""
    # An ordinary exit would wait for the device, and Ray would call this process again.
    os._exit(POISONED)


def own_worker() -> Worker:
    """This process as a ``Worker`` of the dispatcher."""
    host, address = socket.gethostname(), ray.util.get_node_ip_address()
    name = host if host == address else f"{host} ({address})"
    return Worker(node=nodes.own_node(), name=name, process=os.getpid())


@contextmanager
def watched(limit: float | None) -> Iterator[None]:
    """End this process if the block takes longer than ``limit`` seconds: a timer that also runs when Python hangs."""
    if limit is not None:
        faulthandler.dump_traceback_later(limit, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class RemoteSource:
    """The dispatcher as seen from a worker."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def begin(self, group: int, worker: Worker) -> Group:
        """Call the dispatcher's method of this name."""
        begun: Group = ray.get(self._dispatcher.begin.remote(group, worker))
        return begun

    def next(self, group: int, worker: Worker, most: int = 1, company: int = 1) -> tuple[Cell, ...]:
        """Call the dispatcher's method of this name."""
        cells: tuple[Cell, ...] = ray.get(self._dispatcher.next.remote(group, worker, most, company))
        return cells

    def report(
        self, group: int, worker: Worker, reports: Sequence[Report], *, most: int, company: int = 1
    ) -> tuple[Cell, ...]:
        """Call the dispatcher's method of this name."""
        call = self._dispatcher.report.remote(group, worker, reports, most=most, company=company)
        cells: tuple[Cell, ...] = ray.get(call)
        return cells

    def fail_group(self, group: int, failure: Failure) -> None:
        """Call the dispatcher's method of this name."""
        ray.get(self._dispatcher.fail_group.remote(group, failure))

    def park(self, group: int) -> bool:
        """Call the dispatcher's method of this name."""
        may_go: bool = ray.get(self._dispatcher.park.remote(group))
        return may_go
