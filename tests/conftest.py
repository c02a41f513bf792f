"""What all tests share."""

import os
import signal
import sys

import pytest
import torch
from helpers.inspection_set import write_inspection_set
from helpers.places import ROOT, TESTS


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Several test processes share the machine; and scores are compared bit by bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _interrupts():
    """A shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test sees the user's cache, nor another test's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PROMPTAD_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """No test asks a server how large weights are; those that are about it bring their own answer."""
    monkeypatch.setattr("promptad.backbones.weights_files._size", lambda _url: None)


@pytest.fixture(scope="session")
def inspection_root(tmp_path_factory):
    """A small data set in MVTec layout: categories ``plate`` and ``disc``."""
    return write_inspection_set(tmp_path_factory.mktemp("inspection"))


@pytest.fixture(scope="session")
def fault_environment(tmp_path_factory):
    """What studies under faults need in their environment: the code, counted cells, and a cache of their own."""
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS), str(TESTS / "faults")]),
        "PROMPTAD_CACHE": str(tmp_path_factory.mktemp("cache")),
        # Ray lets its workers wait for everything else on the machine, and these tests wait for them.
        "RAY_worker_niceness": "0",
    }


@pytest.fixture(scope="session")
def new_study(fault_environment, inspection_root, tmp_path_factory):
    """Makes studies of 20 counted cells, each with its own folder; it takes more options of the command line."""
    from helpers.fault_rounds import StudyUnderFaults

    def make(*options, root=None, faults=None, command=("run", "table3"), **environment):
        folder = tmp_path_factory.mktemp("faults")
        return StudyUnderFaults(
            root=root or folder / "study",
            log=folder / "said.log",
            data=inspection_root,
            faults=faults or folder,
            environment=fault_environment | environment | {"PROMPTAD_FAULTS": str(faults or folder)},
            options=options,
            command=command,
        )

    return make


@pytest.fixture(scope="session")
def undisturbed(new_study):
    """A study that ran in peace."""
    study = new_study("--executor", "serial")
    (study.faults / "pause").write_text("0")
    assert study.finish() == 0, study.said()
    assert len(study.rows()) == 20
    return study


def pytest_ignore_collect(collection_path, config):
    """A file whose tests are all slow is not even imported where slow tests are left out: that takes half the time."""
    if "not slow" not in config.option.markexpr or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if any(mark in text for mark in SLOW_FILES) else None


SLOW_FILES = ("\npytestmark = pytest.mark.slow\n", "\npytestmark = [\n    pytest.mark.slow,\n")
"""How a file says that all of its tests are slow."""


def pytest_terminal_summary(terminalreporter):
    """Print what the rounds of faults cost, if there were any."""
    rounds = sys.modules.get("helpers.fault_rounds")
    if rounds is not None and rounds.TABLE:
        terminalreporter.section("faults")
        for line in rounds.table_lines():
            terminalreporter.write_line(line)
