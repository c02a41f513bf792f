"""Connecting to Ray: which cluster is meant, which nodes are waited for, and what code they run."""

import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest
import ray

from study.cluster import connection
from study.cluster.connection import ClusterError, connect
from study.running.execution_options import ClusterOptions

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_ray(monkeypatch):
    """Neither find another cluster of this machine, nor be found; Ray's sockets need a short path."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    # Ray's workers are nice to others, and would starve on a busy machine.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def dead_address():
    """HOST:PORT at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def said():
    return []


def find(address, said):
    return connection._find(address, said.append)


def test_ray_starts_here_where_no_cluster_runs(said):
    assert find("auto", said) is None
    assert said == ["no Ray cluster runs here: Ray is started on this machine"]


@pytest.mark.parametrize("how", ["option", "environment"])
def test_ray_starts_here_where_that_is_asked_for(how, said, monkeypatch, dead_address):
    monkeypatch.setenv("RAY_ADDRESS", dead_address if how == "option" else "local")
    assert find("local" if how == "option" else "auto", said) is None
    assert said == []


def test_the_word_auto_in_the_environment_means_what_it_means_to_ray(said, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert find("auto", said) is None
    assert said == ["no Ray cluster runs here: Ray is started on this machine"]


@pytest.mark.parametrize("error", [OSError("AF_UNIX path length"), PermissionError(13, "denied"), ValueError("port")])
def test_ray_that_cannot_start_is_an_error_with_the_way_out(error, said, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ClusterError, match=r"cannot be started on this machine: .*RAY_TMPDIR.*--executor serial"):
        connect(ClusterOptions(address="local"), say=said.append)


def test_the_record_of_a_cluster_that_ended_is_no_cluster(said, dead_address):
    record = Path(os.environ["RAY_TMPDIR"]) / "ray" / "ray_current_cluster"
    record.parent.mkdir()
    record.write_text(dead_address)
    assert find("auto", said) is None
    (line,) = said
    assert line.startswith(f"the Ray cluster that ran at {dead_address} is gone")


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_named_cluster_that_does_not_answer_is_an_error(how, said, monkeypatch, dead_address):
    if how == "environment":
        monkeypatch.setenv("RAY_ADDRESS", dead_address)
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at {dead_address}: .*'ray status' on its head"):
        find(dead_address if how == "option" else "auto", said)


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:ray", "ray://head:10001", "head:6379/x"])
def test_an_address_of_another_form_is_an_error(address, said):
    with pytest.raises(ClusterError, match="must be auto, local or HOST:PORT, but got"):
        find(address, said)


def test_a_listening_cluster_is_found(said, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert find(address, said) == address
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert find("auto", said) == address


@pytest.fixture
def two_nodes():
    """A cluster whose second node is started by calling the fixture's function."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made.address, lambda: made.add_node(num_cpus=1)
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_nodes_are_waited_for_and_asked_which_code_they_run(two_nodes, said, monkeypatch):
    address, add_node = two_nodes
    before = signal.getsignal(signal.SIGTERM)
    connect(ClusterOptions(address=address, nodes=2, wait_seconds=1.5), say=said.append)
    assert said == [
        f"connected to the Ray cluster at {address}",
        "1 of 2 nodes are there: waiting for the others, at most 1.5 s",
        "going on with 1 of 2 nodes; others may still join",
    ]
    assert signal.getsignal(signal.SIGTERM) is before

    connect(ClusterOptions(address="nonsense"), say=said.append)  # connected already
    assert len(said) == 3
    ray.shutdown()

    said.clear()

    def say(message):
        said.append(message)
        if "waiting" in message:
            add_node()

    connect(ClusterOptions(address=address, nodes=2, wait_seconds=120), say=say)
    assert said[1:] == ["1 of 2 nodes are there: waiting for the others, at most 120 s"]
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    ray.shutdown()

    monkeypatch.setattr(connection, "code_digest", lambda: "0123")
    with pytest.raises(
        ClusterError, match=r"every node must run this code, but .* imports other code, .* of 0123; .* of 0123"
    ):
        connect(ClusterOptions(address=address, nodes=2, wait_seconds=1), say=said.append)


@pytest.mark.slow
def test_workers_import_the_drivers_packages(two_nodes, tmp_path, monkeypatch):
    address, _ = two_nodes
    # Workers look into the driver's folder first, where there is one; 'ray submit' calls it in the home folder.
    monkeypatch.chdir(tmp_path)
    connect(ClusterOptions(address=address), say=lambda _: None)

    @ray.remote
    def where():
        import promptad
        import study

        return promptad.__file__, study.__file__

    assert all("py_modules_files" in file for file in ray.get(where.remote()))
