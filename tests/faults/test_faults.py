"""Processes and nodes die at random moments; the same command then ends with the same tables, and nothing was lost.

``PROMPTAD_FAULT_ROUNDS`` sets how many rounds there are of each kind and signal; a table is printed at the end.
"""

import os
import random
import signal
import sys
import time
import uuid

import pytest
from helpers.fault_rounds import note
from helpers.machines import Machines, environment_of
from helpers.processes import await_none, below, marked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

ROUNDS = int(os.environ.get("PROMPTAD_FAULT_ROUNDS", "1"))
CELLS = 20
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


@pytest.fixture(scope="module")
def machines(fault_environment, tmp_path_factory):
    """A cluster of two nodes."""
    with environment_of(fault_environment, tmp_path_factory.mktemp("machines")) as faults:
        cluster = Machines(faults, nodes=2)
        yield cluster
        cluster.stop()


@pytest.fixture
def study(machines, new_study):
    return new_study(faults=machines.faults, RAY_ADDRESS=machines.address)


def kill_a_worker(machines, stop, rng):
    """Any process that works for the study, the one that takes in the rows included."""
    number = rng.choice(sorted(machines.workers()))
    os.kill(number, stop)


def kill_the_raylet(machines, stop, _):
    os.kill(machines.raylet(), stop)
    time.sleep(3)
    machines.forget_node()
    machines.add()


def kill_a_node(machines, stop, _):
    """All processes of a machine at once."""
    raylet = machines.raylet()
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
    # Of each worker the cells that learned together, and one whose row was not durable yet: nobody was told of it.
    company = study.largest_company()
    assert company > 1
    assert all(again <= (company + 1) * mark[3] for again, mark in zip(redone, study.marks, strict=True))


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
    for stop in rng.sample(SIGNALS, 2):
        moment = len(study.rows()) + rng.randint(1, 6)
        process = study.start()
        study.await_rows(moment, process)
        time.sleep(rng.uniform(0, 0.4))
        study.mark("kill the driver", stop.name)
        process.send_signal(stop)
        assert study.wait(process) == (130 if stop == signal.SIGTERM else -signal.SIGKILL), study.said()
        await_none(machines.workers, 60)
    assert study.finish() == 0, study.said()
    check(study, undisturbed, study.count())


def daemons_of(driver):
    """Ray's two pillars on the head, the GCS and the raylet that the driver started itself."""
    names = ("gcs_server", "raylet")
    found = [number for number, name in below(driver).items() if name.partition(" ")[0].endswith(names)]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("target", ["head", "driver and its own Ray"])
def test_a_study_survives_the_death_of_a_driver_with_its(target, number, new_study, undisturbed):
    """Where the driver started Ray itself, nothing of it may remain when either dies."""
    rng = random.Random(f"{target} {number}")
    mark = uuid.uuid4().hex
    # A driver looks for its lost GCS for a minute before it ends; here for a shorter time.
    study = new_study("--address", "local", PROMPTAD_MARK=mark, RAY_gcs_rpc_server_reconnect_timeout_s="10")
    for stop in rng.sample(SIGNALS, 2):
        moment = len(study.rows()) + rng.randint(1, 6)
        process = study.start()
        study.await_rows(moment, process)
        time.sleep(rng.uniform(0, 0.4))
        study.mark(f"kill the {target}", stop.name)
        for victim in daemons_of(process.pid) if target == "head" else (process.pid,):
            os.kill(victim, stop)
        assert study.wait(process) != 0
        note(f"kill the {target}", stop.name, "slowest end (s)", await_none(lambda: marked(mark), 90))
    assert study.finish() == 0, study.said()
    check(study, undisturbed, study.count())
    await_none(lambda: marked(mark), 30)
