import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from helpers.drivers import elsewhere
from helpers.places import ROOT

from study.command import driver as module
from study.command.driver import LOCK, Claim, Driver, LockedError
from study.records.driver_record import RECORD, DriverRecord, Process, last_record
from study.records.folder import LedgerError, StudyFolder
from study.records.pulse import NodeUse, Pulse, RunningCell

HOLD = """
import sys, time
from study.command.driver import Driver
from study.records.folder import StudyFolder
with Driver(StudyFolder(sys.argv[1]), say=print):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    monkeypatch.setattr(module, "SETTLE", 0.1)
    monkeypatch.setattr(module, "PATIENCE", 0.3)


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return StudyFolder(str(tmp_path / "study") if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the study folder ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def silent(message):
    raise AssertionError(f"nothing should be said, but: {message}")


def stored(folder, **changes):
    """Leave the lock and the record of a driver that never let go."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = DriverRecord(run="abc", process=Process.own(), user="ann", command=("run.py",), started=now, heartbeat=now)
    record = dataclasses.replace(record, **changes)
    folder.write(LOCK, Claim(run=record.run, process=record.process, user=record.user).to_json())
    folder.write(RECORD, record.to_json())
    return record


@pytest.mark.slow
def test_a_driver_tells_what_it_does_and_how_it_ended(folder):
    node = NodeUse(name="here", alive=True, cpus=2, cpus_used=1, gpus=0, gpus_used=0)
    cell = RunningCell(cell="plate image", digest="ab", node="here", process=7, since="2026-01-01T00:00:00+00:00")
    with Driver(folder, say=silent) as driver:
        driver.plan(planned=5, to_run=3)
        assert last_record(folder).to_run == 3
        driver.pulse(Pulse(running=(cell,), nodes=(node,)))
        for status in ("ok", "failed", "ok"):
            driver.finished(status)
        time.sleep(0.3)
        during = last_record(folder)
        assert during.state == "running"
        assert during.alive
        assert during.running == (cell,)
        assert folder.read(LOCK) is not None
        driver.end("failed", 1, "one cell failed")
    after = last_record(folder)
    assert (after.planned, after.to_run, after.done, after.failed) == (5, 3, 2, 1)
    assert (after.state, after.exit_code, after.message) == ("failed", 1, "one cell failed")
    assert after.nodes == (node,)
    assert after.running == ()
    assert not after.alive
    assert folder.read(LOCK) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "state", "code", "message"),
    [
        (KeyboardInterrupt("why"), "stopped", 130, None),
        (RuntimeError("why"), "crashed", 1, "RuntimeError('why')"),
        (ValueError("why"), "crashed", 1, "ValueError('why')"),
        (LedgerError("why"), "failed", 2, "why"),
    ],
)
def test_an_ending_that_nobody_told_is_told(folder, error, state, code, message):
    with pytest.raises(type(error)), Driver(folder, say=silent):
        raise error
    record = last_record(folder)
    assert (record.state, record.exit_code, record.message) == (state, code, message)
    with Driver(folder, say=silent):
        pass


@pytest.mark.slow
def test_the_second_driver_is_refused_and_told_who_holds_the_folder(tmp_path, holder):
    message = rf"one driver .* process {holder.pid}, holds it since 20.* \(heard of \d+ s ago\).*kill {holder.pid}"
    with pytest.raises(LockedError, match=message):
        Driver(StudyFolder(str(tmp_path)), say=silent).__enter__()
    assert Claim.from_json((tmp_path / LOCK).read_bytes()).process.number == holder.pid


@pytest.mark.slow
def test_a_driver_that_was_killed_is_replaced_at_once(tmp_path, holder):
    holder.kill()
    holder.wait()
    said = []
    with Driver(StudyFolder(str(tmp_path)), say=said.append):
        pass
    assert len(said) == 1
    assert re.search(rf"taken over from a driver that is dead \(.* process {holder.pid}\)", said[0])


def test_a_suspended_driver_on_this_machine_keeps_its_folder(tmp_path, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(LockedError, match=f"process {holder.pid}"):
        Driver(StudyFolder(str(tmp_path)), say=silent).__enter__()


def test_a_process_number_that_was_given_again_is_another_process(folder):
    stored(folder, process=dataclasses.replace(Process.own(), start="1"))
    said = []
    with Driver(folder, say=said.append):
        pass
    assert "dead" in said[0]


@pytest.mark.slow
def test_a_driver_on_another_machine_is_judged_by_its_heartbeat(folder):
    stored(folder, **elsewhere(seconds=30))
    with pytest.raises(LockedError, match="ann on other, process 1"):
        Driver(folder, say=silent).__enter__()
    stored(folder, **elsewhere(seconds=90))
    said = []
    with Driver(folder, say=said.append):
        pass
    assert "ann on other" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"{", b'{"run": 3}'])
def test_a_damaged_lock_does_not_stand_in_the_way(folder, content):
    folder.write(LOCK, content)
    said = []
    with Driver(folder, say=said.append):
        pass
    assert "a driver.lock that names no driver is removed" in said[0]


@pytest.mark.slow
def test_a_driver_elsewhere_that_never_told_anything_counts_as_dead(folder):
    folder.write(LOCK, Claim(run="abc", process=elsewhere()["process"], user="ann").to_json())
    said = []
    with Driver(folder, say=said.append):
        pass
    assert "ann on other" in said[0]


@pytest.mark.slow
def test_a_driver_whose_folder_was_taken_stops(folder):
    other = Claim(run="other", process=Process.own(), user="ann")
    driver = Driver(folder, say=silent)

    def work():
        with driver:
            folder.write(LOCK, other.to_json())
            time.sleep(5)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert driver.lost
    # The other's lock and record are left alone.
    assert Claim.from_json(folder.read(LOCK)) == other
    assert last_record(folder).state == "running"


def test_a_run_that_ends_before_it_finds_its_folder_taken_leaves_it_alone(folder, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 60)
    with Driver(folder, say=silent) as driver:
        # As after an hour's suspension, in which another machine's driver took the folder.
        other = stored(folder, **elsewhere(seconds=1))
        driver.end("finished", 0)
    assert driver.lost
    assert Claim.from_json(folder.read(LOCK)).run == other.run
    assert last_record(folder) == other


@pytest.mark.slow
def test_a_driver_whose_clock_is_behind_is_alive_while_it_is_heard_of(folder, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 20)
    record = stored(folder, **elsewhere(minutes=10))
    later = elsewhere(minutes=9)["heartbeat"]
    told = threading.Timer(0.3, lambda: folder.write(RECORD, dataclasses.replace(record, heartbeat=later).to_json()))
    told.start()
    with pytest.raises(LockedError, match="ann on other, process 1"):
        Driver(folder, say=silent).__enter__()
    told.join()


def test_a_folder_that_is_away_for_a_moment_does_not_end_the_heartbeat(tmp_path, monkeypatch):
    folder = StudyFolder(str(tmp_path))
    away = threading.Event()
    read_all = StudyFolder.read_all

    def reading(self, names):
        if away.is_set():
            raise LedgerError("away")
        return read_all(self, names)

    monkeypatch.setattr(StudyFolder, "read_all", reading)
    with Driver(folder, say=silent) as driver:
        away.set()
        time.sleep(0.3)
        away.clear()
        driver.plan(planned=7, to_run=0)
        deadline = time.monotonic() + 20
        while last_record(folder).planned != 7 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert last_record(folder).planned == 7
        assert not driver.lost


def test_a_driver_that_cannot_tell_anything_holds_nothing(tmp_path):
    (tmp_path / RECORD).mkdir()
    with pytest.raises(LedgerError, match=r"driver\.json cannot be written"):
        Driver(StudyFolder(str(tmp_path)), say=silent).__enter__()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.slow
def test_of_many_drivers_that_break_a_dead_lock_at_once_one_wins(tmp_path):
    stored(StudyFolder(str(tmp_path)), process=dataclasses.replace(Process.own(), start="1"))
    many = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        for _ in range(6)
    ]
    deadline = time.monotonic() + 60
    while sum(process.poll() is None for process in many) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [process for process in many if process.poll() is None]
    for process in left:
        process.kill()
    errors = [process.communicate()[1] for process in many]
    assert len(left) == 1
    assert sum(b"LockedError" in error for error in errors) == 5


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schema": 2}', b'{"schema": 1}'])
def test_a_damaged_record_is_none(folder, content):
    folder.write(RECORD, content)
    assert last_record(folder) is None
