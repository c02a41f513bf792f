"""Real cells that leave a trace: each is written to a log when it begins, so that work done twice can be counted.

``$PROMPTAD_FAULTS`` is a folder with ``begun.log``, ``pause`` (seconds before each cell), and ``faults.json``: what
befalls a cell (by digest), and how many times.
"""

import json
import os
import signal
import time
from pathlib import Path

import ray
import torch

from study.bench.workbench import Workbench
from study.cluster.group_trial import GroupTrial
from study.search.ray_trial import SearchTrial
from study.search.trial_bench import TrialBench

FOLDER = Path(os.environ["PROMPTAD_FAULTS"])
poisoned = []
"""True once an accelerator failed in this process: from then on every cell fails."""


class CountedBench(Workbench):
    """The workbench itself, with a log, a pause, and faults on demand."""

    def _prepare(self, cell):
        self._begin(cell)
        return super()._prepare(cell)

    def _begin(self, cell):
        with (FOLDER / "begun.log").open("a") as log:
            log.write(f"{cell.digest} {os.getpid()}\n")
        begun = [line.split()[0] for line in (FOLDER / "begun.log").read_text().splitlines()].count(cell.digest)
        time.sleep(float((FOLDER / "pause").read_text()))
        if poisoned:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        fault, times = json.loads((FOLDER / "faults.json").read_text()).get(cell.digest, ("none", 0))
        if begun <= times:
            befall(fault)


def befall(fault):
    """Do to this process what the fault's name says."""
    match fault:
        case "memory":
            raise MemoryError("cannot allocate a terabyte")
        case "device":
            poisoned.append(True)
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        case "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(3600)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)


class CountedTrialBench(TrialBench):
    """A search's workbench, with the same log, pause and faults."""

    def run(self, cell):
        self._begin(cell)
        return super().run(cell)

    _begin = CountedBench._begin


class CountedSearchTrial(SearchTrial):
    """A search's own trial over counted cells."""

    bench = CountedTrialBench


class CountedTrial(GroupTrial):
    """The executor's own trial over counted cells."""

    bench = CountedBench

    def step(self):
        """A step, before which what takes in the rows is killed for good if someone left word."""
        if (FOLDER / "kill_dispatcher").exists():
            ray.kill(self._source._dispatcher)
        return super().step()
