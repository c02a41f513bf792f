"""Runs every cell in this process, in order: the specification of the Ray executor."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from study.bench.workbench import Workbench
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.pulse import NodeUse, OnPulse, Pulse
from study.records.row_writer import INTERVAL
from study.running.dispatcher import Dispatcher
from study.running.execution_options import Listeners
from study.running.rounds import Rounds
from study.running.row_desk import Assignment, Finished, Worker
from study.running.worker import check_precision, prepare_group, run_cells

PULSE_SECONDS = 5.0
"""Seconds between two progress reports of an executor."""


def run_serially(bench: Workbench, ledger: Ledger, groups: Sequence[Group], listeners: Listeners) -> None:
    """Run every cell; run those that ran out of memory once more after all others."""
    check_precision((cell.config for group in groups for cell in group.cells), on_cpu=bench.device == "cpu")
    host = socket.gethostname()
    worker = Worker(node=host, name=host, process=os.getpid())
    rounds = Rounds(groups)
    dispatcher: Dispatcher | None = None

    def at_work() -> list[Assignment]:
        return [] if dispatcher is None else dispatcher.at_work()

    with beating(lambda: serial_pulse(host, bench, at_work()), listeners.on_pulse):
        while (current := rounds.next()) is not None:
            dispatcher = Dispatcher(ledger, current.groups, earlier=current.earlier, mixed=bench.device != "cpu")
            try:
                for number in range(len(current.groups)):
                    _run_group(bench, dispatcher, number, worker, listeners)
                end = dispatcher.end()
            finally:
                dispatcher.close()
            _tell(end.finished, listeners)
            rounds.end(end, lost_nodes=())


def _run_group(bench: Workbench, dispatcher: Dispatcher, number: int, worker: Worker, listeners: Listeners) -> None:
    prepare_group(bench, dispatcher, number, dispatcher.begin(number, worker))
    more = True
    while more:
        began = time.monotonic()
        more = run_cells(bench, dispatcher, number, worker)
        if time.monotonic() - began > INTERVAL:
            # A result is shown before the next one is waited for.
            dispatcher.flush()
        _tell(dispatcher.news(), listeners)


def _tell(finished: Iterable[Finished], listeners: Listeners) -> None:
    for each in finished:
        listeners.on_finished(each)


def serial_pulse(host: str, bench: Workbench, at_work: Sequence[Assignment]) -> Pulse:
    """The progress report of an executor in this process."""
    busy = bool(at_work)
    gpus = 1.0 if bench.device == "cuda" else 0.0
    node = NodeUse(
        name=host,
        alive=True,
        cpus=float(os.cpu_count() or 1),
        cpus_used=float(bench.threads if busy else 0),
        gpus=gpus,
        gpus_used=gpus if busy else 0.0,
    )
    return Pulse(running=tuple(each.running() for each in at_work if each.cell is not None), nodes=(node,))


@contextmanager
def beating(pulse: Callable[[], Pulse], on_pulse: OnPulse | None) -> Iterator[None]:
    """Report progress at once and every few seconds, also during a long cell."""
    if on_pulse is None:
        yield
        return
    stopped = threading.Event()

    def beat() -> None:
        while True:
            on_pulse(pulse())
            if stopped.wait(PULSE_SECONDS):
                return

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
