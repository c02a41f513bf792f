"""The check of a card, rehearsed on the CPU: every section that needs no card runs, and says what it found."""

import json
import subprocess
import sys

import pytest
from helpers.places import TESTS

SCRIPT = [sys.executable, str(TESTS / "benchmarks" / "gpu_check.py")]


@pytest.mark.slow
def test_a_rehearsal_runs_all_sections_and_writes_a_page(tmp_path):
    command = [*SCRIPT, "--device", "cpu", "--backbone", "tiny", "--page", str(tmp_path / "gpu.md")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = {line["section"]: line for line in map(json.loads, ran.stdout.splitlines())}
    assert list(found) == ["facts", "equality", "reruns", "companies", "cells", "encoding", "memory", "processes"]
    assert [name for name, line in found.items() if "skipped" in line] == ["memory", "processes"]
    assert found["equality"]["ok"]
    assert all(value is True for name, value in found["reruns"].items() if "equal" in name)
    assert found["cells"]["pixel, run again"] == {"equal": True}
    text = (tmp_path / "gpu.md").read_text()
    assert "## Cells" in text
    assert "three runs equal: True" in text


@pytest.mark.slow
def test_without_a_card_or_without_time_it_says_so():
    ran = subprocess.run(SCRIPT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "torch sees no GPU here: rehearse with --device cpu --backbone tiny" in ran.stderr
    command = [*SCRIPT, "--device", "cpu", "--backbone", "tiny", "--seconds", "0.1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert "skipped" not in lines[0]
    assert all("skipped" in line for line in lines[1:])
