"""A Ray cluster on this machine: raylets that take each other for machines."""

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from helpers.processes import below

WORKER_NAMES = ("GroupTrial", "CountedTrial", "ResourceTrainable", "Dispatcher")


@contextmanager
def environment_of(changes, faults):
    """Let processes inherit these changes, and a Ray folder of their own; yields ``faults``."""
    before = dict(os.environ)
    # Sockets lie below it, and their names must stay short.
    scratch = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))
    os.environ.update(changes | {"RAY_TMPDIR": str(scratch), "PROMPTAD_FAULTS": str(faults)})
    try:
        yield faults
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(scratch, ignore_errors=True)


class Machines:
    """A head and more nodes, each with one CPU and counted cells in the folder ``faults``."""

    def __init__(self, faults, *, nodes):
        from ray.cluster_utils import Cluster

        self.faults = faults
        self._cluster = Cluster(initialize_head=True, head_node_args=self._arguments())
        self.node = None
        for _ in range(nodes - 1):
            self.add()

    def _arguments(self):
        return {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}

    def add(self):
        """Add a node."""
        self.node = self._cluster.add_node(**self._arguments())

    @property
    def address(self):
        """Where drivers connect."""
        return self._cluster.address

    def raylet(self):
        """Process number of the last node's raylet."""
        [process] = self.node.all_processes["raylet"]
        return process.process.pid

    def workers(self):
        """Number -> name of every process that works for a study, on any node."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        raylets = [process.process.pid for node in nodes for process in node.all_processes.get("raylet", ())]
        return {
            number: name
            for raylet in raylets
            for number, name in below(raylet).items()
            if any(word in name for word in WORKER_NAMES)
        }

    def await_nodes(self, count):
        """Wait until so many nodes are alive."""
        deadline = time.monotonic() + 90
        while True:
            alive = [node for node in self._cluster.global_state.node_table() if node["Alive"]]
            if len(alive) == count:
                return
            assert time.monotonic() < deadline, f"{len(alive)} nodes are alive, not {count}"
            time.sleep(0.2)

    def forget_node(self):
        """Clear away what is left of a node whose processes were killed."""
        self._cluster.remove_node(self.node, allow_graceful=False)

    def stop(self):
        """End everything that this cluster started."""
        self._cluster.shutdown()
