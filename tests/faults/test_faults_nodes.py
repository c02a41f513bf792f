"""Nodes that lack the data: each has its own view of the disk, from which the images are hidden."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.machines import Machines, environment_of
from helpers.processes import await_none, marked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="needs the mount namespaces of Linux"),
]


@pytest.fixture(scope="module")
def head(fault_environment, tmp_path_factory):
    """A cluster of one node."""
    with environment_of(fault_environment, tmp_path_factory.mktemp("head")) as faults:
        cluster = Machines(faults, nodes=1)
        yield cluster
        cluster.stop()


@pytest.fixture
def blind_node(head, inspection_root):
    """Starts a node that has an empty folder where the images should be."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine allows no mount namespaces")
    started = []

    def start():
        ray = (
            f"{sys.executable} -m ray.scripts.scripts start --address={head.address} --num-cpus=1 "
            "--object-store-memory=80000000 --block"
        )
        mark = f"blind-{os.getpid()}-{len(started)}"
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f"mount -t tmpfs tmpfs {inspection_root} && exec {ray}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PROMPTAD_MARK": mark},
        )
        started.append((process, mark))
        head.await_nodes(2)

    yield start
    for process, mark in started:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        for number in marked(mark):
            os.kill(number, signal.SIGKILL)
        await_none(lambda mark=mark: marked(mark), 30)
    head.await_nodes(1)


def test_a_node_without_the_data_is_left_out_and_named(head, blind_node, new_study, undisturbed):
    blind_node()
    study = new_study(faults=head.faults, RAY_ADDRESS=head.address)
    (study.faults / "pause").write_text("0")
    assert study.finish() == 0, study.said()
    assert "left out: node " in study.said()
    assert f"{study.data}/disc is not there; {study.data}/plate is not there" in study.said()
    assert study.tables() == undisturbed.tables()
    assert len(study.begun()) == 20


def test_all_nodes_can_be_required_to_have_the_data(head, blind_node, new_study):
    blind_node()
    study = new_study("--require-data", "all", faults=head.faults, RAY_ADDRESS=head.address)
    assert study.finish() == 2, study.said()
    assert "error: every node must have the data and weights (--require-data all), but on " in study.said()
    assert f"{study.data}/plate is not there" in study.said()
    assert "Traceback" not in study.said()
    assert study.rows() == {}


def test_a_node_without_the_data_that_joins_later_takes_no_cell(head, blind_node, new_study, undisturbed):
    study = new_study(faults=head.faults, RAY_ADDRESS=head.address)
    (study.faults / "pause").write_text("1")
    process = study.start()
    study.await_rows(1, process)
    blind_node()
    assert study.wait(process) == 0, study.said()
    assert study.said().count("left out: node ") <= 1
    assert study.tables() == undisturbed.tables()
    assert len(study.begun()) == 20
