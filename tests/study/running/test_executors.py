"""The contract of executors: the serial one is the specification, Ray must give the same rows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.places import RUN
from helpers.stored_rows import row_texts, stored_rows

from study.records.ledger import Ledger

pytestmark = pytest.mark.slow


def study(folder, root, *more, table="table3"):
    arguments = ["run", table, "--data", f"mvtec:{root}", "--study", str(folder), "--seeds", "1"]
    return [sys.executable, str(RUN), *arguments, "--set", "epochs=15", "--set", "map_size=48", *more]


def finished_rows(folder):
    """Everything of a study's rows that must not depend on how they were computed."""
    rows = [row for _, row in sorted(stored_rows(folder).items())]
    kept = ("digest", "status", "scores", "curve", "support_images", "test_images")
    return [{name: row[name] for name in kept} for row in rows]


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "report" / "tables").iterdir())}


@pytest.fixture(scope="module")
def serial(inspection_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    done = subprocess.run(study(folder, inspection_root, "--executor", "serial"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_ray_gives_the_same_scores_as_the_serial_executor(serial, inspection_root, tmp_path):
    done = subprocess.run(study(tmp_path, inspection_root), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(finished_rows(tmp_path)) == 20
    assert finished_rows(tmp_path) == finished_rows(serial)
    assert tables(tmp_path) == tables(serial)
    digests = stored_rows(tmp_path)
    kept = [{digest for digest in digests if Ledger(str(each)).examples(digest)} for each in (tmp_path, serial)]
    assert kept[0] == kept[1] != set()


@pytest.mark.faults
def test_a_killed_worker_loses_nothing(serial, inspection_root, tmp_path):
    process = subprocess.Popen(
        study(tmp_path, inspection_root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _kill_a_worker_after_the_first_row(tmp_path, process.pid)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert finished_rows(tmp_path) == finished_rows(serial)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPUs")
def test_torch_threads_follow_the_cpus_of_a_trial_whatever_the_shell_exports(inspection_root, tmp_path):
    done = subprocess.run(
        study(tmp_path, inspection_root, "--categories", "plate", "--cpus-per-trial", "2", table="table10"),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    rows = stored_rows(tmp_path).values()
    assert [row["provenance"]["threads"] for row in rows] == [2] * 2


def test_a_trial_that_fits_no_node_is_an_error_and_does_not_wait(inspection_root, tmp_path):
    done = subprocess.run(
        study(tmp_path, inspection_root, "--cpus-per-trial", "1000"), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "error: a trial must fit the cluster, but --cpus-per-trial 1000 is more than the" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("executor", "stop"),
    [
        ("serial", signal.SIGINT),
        ("ray", signal.SIGINT),
        pytest.param("ray", signal.SIGTERM, marks=pytest.mark.faults),
    ],
)
def test_an_interrupted_study_goes_on_where_it_stopped(serial, inspection_root, tmp_path, executor, stop):
    process = subprocess.Popen(
        study(tmp_path, inspection_root, "--executor", executor), stderr=subprocess.PIPE, text=True
    )
    _wait_for_rows(tmp_path, 3)
    process.send_signal(stop)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "every finished cell is kept" in error
    assert "Traceback" not in error
    before = row_texts(tmp_path)
    assert 3 <= len(before) < 20
    assert {row["status"] for row in finished_rows(tmp_path)} == {"ok"}
    again = subprocess.run(study(tmp_path, inspection_root, "--executor", "serial"), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert finished_rows(tmp_path) == finished_rows(serial)
    after = row_texts(tmp_path)
    assert {digest: after[digest] for digest in before} == before


def _wait_for_rows(folder, count):
    deadline = time.monotonic() + 120
    while len(stored_rows(folder)) < count:
        assert time.monotonic() < deadline, "the study did not produce rows in time"
        time.sleep(0.02)


def _kill_a_worker_after_the_first_row(folder, driver):
    _wait_for_rows(folder, 1)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        # Tune wraps the trial's class, so the process carries the wrapper's name while it trains.
        for number, name in _descendants(driver):
            if name.startswith("ray::") and ("GroupTrial" in name or "ResourceTrainable" in name):
                os.kill(number, signal.SIGKILL)
                return
    pytest.fail("no worker process was found to kill")


def _descendants(ancestor):
    """Number and command of every process below ``ancestor``; other Ray clusters of the machine are left alone."""
    parents, names = {}, {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    for number, name in names.items():
        above = number
        while above in parents and above != ancestor:
            above = parents[above]
        if above == ancestor:
            yield number, name
