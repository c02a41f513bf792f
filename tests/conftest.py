"""What all tests share."""

import sys

import pytest
import torch
from inspection_set import write_inspection_set


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Several test processes share the machine; and scores are compared bit by bit."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test sees the user's cache, nor another test's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PROMPTAD_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def inspection_root(tmp_path_factory):
    """A small data set in MVTec layout: categories ``plate`` and ``disc``."""
    return write_inspection_set(tmp_path_factory.mktemp("inspection"))


def pytest_terminal_summary(terminalreporter):
    """Print what the rounds of faults cost, if there were any."""
    rounds = sys.modules.get("fault_rounds")
    if rounds is not None and rounds.TABLE:
        terminalreporter.section("faults")
        for line in rounds.table_lines():
            terminalreporter.write_line(line)
