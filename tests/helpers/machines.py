"""A Ray cluster on this machine: raylets that take each other for machines."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.processes import below

WORKER_NAMES = ("GroupTrial", "CountedTrial", "ResourceTrainable", "Dispatcher")


@contextmanager
def environment_of(changes: Mapping[str, str], faults: Path) -> Iterator[Path]:
    """Let processes inherit these changes, and a Ray folder of their own; yields ``faults``."""
    before = dict(os.environ)
    # Sockets lie below it, and their names must stay short.
    scratch = Path(tempfile.mkdtemp(prefix="pf-", dir="/tmp"))
    os.environ.update({**changes, "RAY_TMPDIR": str(scratch), "PROMPTAD_FAULTS": str(faults)})
    try:
        yield faults
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(scratch, ignore_errors=True)


class Machines:
    """A head and more nodes, each with one CPU and counted cells in the folder ``faults``."""

    def __init__(self, faults: Path, *, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        self.faults = faults
        self._cluster = Cluster(initialize_head=True, head_node_args=self._arguments())
        self.node: Any = None
        for _ in range(nodes - 1):
            self.add()

    def _arguments(self) -> dict[str, Any]:
        return {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}

    def add(self) -> None:
        """Add a node."""
        self.node = self._cluster.add_node(**self._arguments())

    @property
    def address(self) -> str:
        """Where drivers connect."""
        address: str = self._cluster.address
        return address

    def raylet(self) -> int:
        """Process number of the last node's raylet."""
        [process] = self.node.all_processes["raylet"]
        number: int = process.process.pid
        return number

    def workers(self) -> dict[int, str]:
        """Number -> name of every process that works for a study, on any node."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        raylets = [process.process.pid for node in nodes for process in node.all_processes.get("raylet", ())]
        return {
            number: name
            for raylet in raylets
            for number, name in below(raylet).items()
            if any(word in name for word in WORKER_NAMES)
        }

    def await_nodes(self, count: int) -> None:
        """Wait until so many nodes are alive."""
        deadline = time.monotonic() + 90
        while True:
            alive = [node for node in self._cluster.global_state.node_table() if node["Alive"]]
            if len(alive) == count:
                return
            assert time.monotonic() < deadline, f"{len(alive)} nodes are alive, not {count}"
            time.sleep(0.2)

    def forget_node(self) -> None:
        """Clear away what is left of a node whose processes were killed."""
        self._cluster.remove_node(self.node, allow_graceful=False)

    def stop(self) -> None:
        """End everything that this cluster started."""
        self._cluster.shutdown()
