"""A search in this process, trial after trial: the specification of what a search on Ray does."""

from __future__ import annotations

import os
import socket
import time

from study.cell_source import run_next
from study.dispatch import OnFinished, Worker
from study.ledger import Ledger
from study.pulse import OnPulse
from study.search import Search
from study.serial_executor import beating, serial_pulse
from study.trial_bench import TrialBench
from study.trial_dispatch import TrialDispatcher


def search_serially(
    bench: TrialBench,
    ledger: Ledger,
    search: Search,
    on_finished: OnFinished,
    *,
    on_pulse: OnPulse | None = None,
    timeout: float | None = None,
) -> None:
    """Run trials until there are as many as asked for, or for ``timeout`` seconds; a cell is not cut short."""
    host = socket.gethostname()
    worker = Worker(node=host, name=host, process=os.getpid())
    source = TrialDispatcher(ledger)
    deadline = None if timeout is None else time.monotonic() + timeout
    with beating(lambda: serial_pulse(host, bench, source.at_work()), on_pulse):
        while (running := search.ask()) is not None:
            source.open(running.number, running.cells)
            ended = False
            while not ended:
                if deadline is not None and time.monotonic() > deadline:
                    return
                missing = running.missing
                more, finished = run_next(bench, source, running.number, worker)
                if finished is not None:
                    on_finished(finished)
                    ended = search.ran(running.number, None if missing is None else missing.digest)
                elif not more:
                    search.fail(running.number, "none of its cells could be run")
                    ended = True
