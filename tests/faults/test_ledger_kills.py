"""Whoever writes a study's rows is killed: between a group and the word of it, while segments are put together or made.

``PROMPTAD_FAULT_ROUNDS`` sets how often.
"""

import json
import os
import random
import select
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.cells import make_cell, make_row
from helpers.older_files import write_older_arrays, write_older_row
from helpers.places import ROOT

from study.records.folder import StudyFolder
from study.records.ledger import Ledger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9"),
]

ROUNDS = int(os.environ.get("PROMPTAD_FAULT_ROUNDS", "1"))

WRITER = """
import itertools, os, signal, sys
sys.path.insert(0, "tests")
from helpers.cells import make_cell, make_row
from study.records.ledger import Ledger
from study.records.row_writer import RowWriter
folder, first, moment = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ledger = Ledger(folder)
append, groups = ledger.append_draft, itertools.count()
def append_and_die(draft, examples):
    append(draft, examples)
    if next(groups) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
ledger.append_draft = append_and_die
writer = RowWriter(ledger, interval=0.01)
for seed in itertools.count(first):
    writer.add(make_row(cell=make_cell(seed=seed)))
    for row in writer.durable():
        print(row.cell.seed, flush=True)
"""

COMPACTOR = """
import itertools, sys
sys.path.insert(0, "tests")
from helpers.cells import make_cell, make_row
from study.records import segment_folder
from study.records.ledger import Ledger
ledger = Ledger(sys.argv[1])
for seed in itertools.count(int(sys.argv[2])):
    ledger.append([make_row(cell=make_cell(seed=seed))])
    print(seed, flush=True)
    for segments in (ledger._rows, ledger._archives):
        segments.compact(fan_in=2)
"""

CONVERTER = """
import sys
from study.records.ledger import Ledger
print("begins", flush=True)
Ledger(sys.argv[1]).convert()
print("ended", flush=True)
"""


def started(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def lines_until(process, seconds):
    """What a process says until it ends, or is killed after so many seconds from its first line on."""
    said = [process.stdout.readline()]
    end = time.monotonic() + seconds
    while process.poll() is None and (left := end - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], min(left, 0.05))[0]:
            said.append(process.stdout.readline())
    process.kill()
    said += process.communicate()[0].splitlines()
    return [line.strip() for line in said if line.strip()]


def seeds_of(folder):
    """The seeds of all rows, each read whole; the ledger finds no damage."""
    ledger = Ledger(str(folder))
    found = sorted(row.cell.seed for row in ledger.rows().values())
    assert ledger.damaged() == {}
    assert len(ledger.documents()) == len(ledger.states()) == len(found)
    return found


@pytest.mark.parametrize("number", range(ROUNDS))
def test_rows_that_were_told_of_are_there_when_their_writer_dies_right_after_a_group(number, tmp_path):
    first = 0
    for moment in (0, 1, 5):
        process = started(WRITER, tmp_path, first, moment + 40 * (number % 2))
        told = [int(line) for line in process.communicate(timeout=60)[0].split()]
        assert process.returncode == -9
        seeds = seeds_of(tmp_path)
        assert seeds == list(range(len(seeds)))
        assert set(told) <= set(seeds)
        # The group that nobody was told of is there too: it is found, and no cell of it runs again.
        assert len(seeds) > max(told, default=first)
        first = len(seeds)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_no_row_is_lost_or_doubled_where_putting_segments_together_is_killed(number, tmp_path):
    rng, first = random.Random(number), 0
    for _ in range(4):
        told = [int(line) for line in lines_until(started(COMPACTOR, tmp_path, first), rng.uniform(0.05, 0.6))]
        seeds = seeds_of(tmp_path)
        assert set(told) <= set(seeds)
        # The row at work may be there untold, once.
        assert seeds == list(range(len(seeds)))
        assert len(seeds) - 1 <= max(told) + 1
        first = len(seeds)
    ledger = Ledger(str(tmp_path))
    ledger.compact()
    assert seeds_of(tmp_path) == list(range(first))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_no_row_is_lost_or_changed_where_a_conversion_is_killed(number, tmp_path):
    rng, folder = random.Random(number), StudyFolder(str(tmp_path))
    rows = {}
    for seed in range(300):
        row = make_row(cell=make_cell(seed=seed))
        write_older_row(folder, row)
        rows[row.cell.digest] = json.loads(row.to_json())
        if seed % 10 == 0:
            write_older_arrays(folder, row.cell.digest, {"attention/qk": _square(seed)})
    kills = 0
    while True:
        said = lines_until(started(CONVERTER, tmp_path), rng.uniform(0, 0.12) if kills < 8 else 60)
        ledger = Ledger(str(tmp_path))
        assert {digest: json.loads(row.to_json()) for digest, row in ledger.rows().items()} == rows
        for digest, row in list(rows.items())[::10]:
            assert (ledger.examples(digest)["attention/qk"] == _square(row["cell"]["seed"])).all()
        if "ended" in said:
            break
        kills += 1
    assert not list((tmp_path / "rows").glob("*.json"))
    assert seeds_of(tmp_path) == list(range(300))


def _square(seed):
    return np.array([[[seed, 1.0], [0.0, 2.0]]])
