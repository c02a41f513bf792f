"""A search in this process, trial after trial: the specification of a search on Ray."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from study.records.ledger import Ledger
from study.running.execution_options import Listeners
from study.running.row_desk import Worker
from study.running.serial import beating, serial_pulse
from study.running.worker import check_precision
from study.search.engine import Search
from study.search.trial_bench import TrialBench, run_next
from study.search.trial_dispatcher import TrialDispatcher


def search_serially(
    bench: TrialBench,
    ledger: Ledger,
    search: Search,
    listeners: Listeners,
    *,
    timeout: float | None = None,
) -> None:
    """Run trials up to the requested number, or for ``timeout`` seconds; a cell in progress is finished."""
    check_precision([search.plan.request.study.base], on_cpu=bench.device == "cpu")
    host = socket.gethostname()
    worker = Worker(node=host, name=host, process=os.getpid())
    source = TrialDispatcher(ledger)
    deadline = None if timeout is None else time.monotonic() + timeout
    with (
        contextlib.closing(source),
        beating(lambda: serial_pulse(host, bench, source.at_work()), listeners.on_pulse),
    ):
        while (running := search.ask()) is not None:
            source.open(running.number, running.cells)
            ended = False
            while not ended:
                if deadline is not None and time.monotonic() > deadline:
                    return
                missing = running.missing
                more, finished = run_next(bench, source, running.number, worker)
                for news in source.news():
                    listeners.on_finished(news)
                if finished:
                    ended = search.ran(running.number, None if missing is None else missing.digest)
                elif not more:
                    search.fail(running.number, "none of its cells could be run")
                    ended = True
