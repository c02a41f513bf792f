"""Processes and nodes die at random moments; the same command then ends with the same tables, and nothing was lost.

``PROMPTAD_FAULT_ROUNDS`` sets how many rounds there are of each kind and signal; a table is printed at the end.
"""

import os
import random
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest
from fault_rounds import StudyUnderFaults
from processes import await_none, below, marked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

ROUNDS = int(os.environ.get("PROMPTAD_FAULT_ROUNDS", "1"))
CELLS = 20
SIGNALS = (signal.SIGTERM, signal.SIGKILL)
ROOT = Path(__file__).resolve().parent.parent


class Machines:
    """A Ray cluster on this machine: a head and one more node, each a raylet with one CPU."""

    def __init__(self, folder):
        from ray.cluster_utils import Cluster

        self.faults = folder / "faults"
        self.faults.mkdir()
        os.environ["PROMPTAD_FAULTS"] = str(self.faults)
        self._cluster = Cluster(initialize_head=True, head_node_args=self._arguments())
        self.node = self.add()

    def _arguments(self):
        return {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}

    def add(self):
        """Add the second node, or one in its place."""
        self.node = self._cluster.add_node(**self._arguments())
        return self.node

    @property
    def address(self):
        return self._cluster.address

    def raylet(self, node):
        """Process number of a node's raylet."""
        [process] = node.all_processes["raylet"]
        return process.process.pid

    def head_processes(self):
        """Process numbers of the head's own daemons."""
        return [
            process.process.pid for processes in self._cluster.head_node.all_processes.values() for process in processes
        ]

    def workers(self):
        """Number -> name of every process that works for a study, on any node."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        raylets = [process.process.pid for node in nodes for process in node.all_processes.get("raylet", ())]
        return {
            number: name
            for raylet in raylets
            for number, name in below(raylet).items()
            if any(word in name for word in ("GroupTrial", "CountedTrial", "ResourceTrainable", "Dispatcher"))
        }

    def forget_node(self):
        """Clear away what is left of a node whose processes were killed."""
        self._cluster.remove_node(self.node, allow_graceful=False)

    def stop(self):
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Environment of everything in this module: code, counted cells, a Ray folder of its own."""
    changed = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "faults")]),
        # Sockets lie below it, and their names must stay short.
        "RAY_TMPDIR": f"/tmp/pf-{uuid.uuid4().hex[:6]}",
        "PROMPTAD_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    before = {name: os.environ.get(name) for name in (*changed, "PROMPTAD_FAULTS")}
    os.environ.update(changed)
    Path(changed["RAY_TMPDIR"]).mkdir()
    yield changed
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="module")
def undisturbed(settings, inspection_root, tmp_path_factory):
    """Tables and rows of a run in peace."""
    folder = tmp_path_factory.mktemp("undisturbed")
    os.environ["PROMPTAD_FAULTS"] = str(folder)
    study = StudyUnderFaults(root=folder / "study", data=inspection_root, faults=folder, environment=settings)
    (folder / "pause").write_text("0")
    assert study.finish("--executor", "serial") == 0, study.said()
    assert len(study.rows()) == CELLS
    return study


@pytest.fixture(scope="module")
def machines(settings, tmp_path_factory):
    cluster = Machines(tmp_path_factory.mktemp("machines"))
    yield cluster
    cluster.stop()


@pytest.fixture
def study(machines, settings, inspection_root, tmp_path):
    environment = settings | {"RAY_ADDRESS": machines.address, "PROMPTAD_FAULTS": str(machines.faults)}
    return StudyUnderFaults(
        root=tmp_path / "study", data=inspection_root, faults=machines.faults, environment=environment
    )


def kill_a_worker(machines, stop, rng):
    """Any process that works for the study, the one that takes in the rows included."""
    number = rng.choice(sorted(machines.workers()))
    os.kill(number, stop)


def kill_the_raylet(machines, stop, _):
    os.kill(machines.raylet(machines.node), stop)
    time.sleep(3)
    machines.forget_node()
    machines.add()


def kill_a_node(machines, stop, _):
    """All processes of a machine at once."""
    raylet = machines.raylet(machines.node)
    for number in (*below(raylet), raylet):
        try:
            os.kill(number, stop)
        except ProcessLookupError:
            continue
    machines.forget_node()
    time.sleep(2)
    machines.add()


def check(study, undisturbed, redone):
    """What must hold however a study was disturbed."""
    assert len(study.rows()) == CELLS
    assert study.tables() == undisturbed.tables()
    assert (study.lost, study.doubled) == (0, 0)
    assert all(again <= mark[3] for again, mark in zip(redone, study.marks, strict=True))


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("harm", [kill_a_worker, kill_the_raylet, kill_a_node])
def test_a_study_survives_the_death_of(harm, number, study, machines, undisturbed):
    rng = random.Random(f"{harm.__name__} {number}")
    process = study.start()
    signals = rng.sample(SIGNALS, 2)
    for stop, moment in zip(signals, sorted(rng.sample(range(1, 15), 2)), strict=True):
        study.await_rows(moment, process)
        time.sleep(rng.uniform(0, 0.4))
        study.mark(harm.__name__.replace("_", " "), stop.name)
        harm(machines, stop, rng)
    assert study.wait(process) == 0, study.said()
    await_none(machines.workers, 30)
    begun = study.begun()
    assert study.finish() == 0
    assert study.begun() == begun
    check(study, undisturbed, study.count())


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_study_survives_the_death_of_its_driver(number, study, machines, undisturbed):
    rng = random.Random(f"driver {number}")
    for stop, moment in zip(rng.sample(SIGNALS, 2), sorted(rng.sample(range(1, 15), 2)), strict=True):
        process = study.start()
        study.await_rows(moment, process)
        time.sleep(rng.uniform(0, 0.4))
        study.mark("kill the driver", stop.name)
        process.send_signal(stop)
        assert study.wait(process) == (130 if stop == signal.SIGTERM else -signal.SIGKILL), study.said()
        await_none(machines.workers, 60)
    assert study.finish() == 0, study.said()
    check(study, undisturbed, study.count())


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_study_survives_the_death_of_its_head(number, settings, inspection_root, tmp_path, undisturbed):
    """The head is the Ray that the driver starts itself: its GCS and its raylet die at once."""
    rng = random.Random(f"head {number}")
    mark = f"PROMPTAD_MARK={uuid.uuid4().hex}"
    faults = tmp_path / "faults"
    faults.mkdir()
    own = dict([mark.split("=")])
    study = StudyUnderFaults(
        root=tmp_path / "study",
        data=inspection_root,
        faults=faults,
        environment=settings | own | {"PROMPTAD_FAULTS": str(faults)},
    )
    for stop, moment in zip(rng.sample(SIGNALS, 2), sorted(rng.sample(range(1, 15), 2)), strict=True):
        process = study.start()
        study.await_rows(moment, process)
        study.mark("kill the head", stop.name)
        daemons = [
            number
            for number, name in below(process.pid).items()
            if name.partition(" ")[0].endswith(("gcs_server", "raylet"))
        ]
        assert len(daemons) == 2
        for daemon in daemons:
            os.kill(daemon, stop)
        assert study.wait(process) != 0
        await_none(lambda: marked(mark), 60)
    assert study.finish() == 0, study.said()
    check(study, undisturbed, study.count())
    await_none(lambda: marked(mark), 30)
