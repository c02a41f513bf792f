"""A study on an S3-compatible server: rows, the lock, a whole run, and the row count at which reading stays quick."""

import os
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest
from helpers.cells import make_cell, make_row
from helpers.places import ROOT
from helpers.report_study import make_plan

from reports.reading.plan_document import Plan
from study.command import driver as driver_module
from study.command.driver import Claim, Driver, LockedError
from study.records.driver_record import Process, last_record
from study.records.folder import LedgerError, StudyFolder
from study.records.ledger import Ledger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("server"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server():
    """The address of a server of its own, empty."""
    s3fs = pytest.importorskip("s3fs", reason="studies on S3 need s3fs: pip install 'promptad-study[s3]'")
    moto_server = pytest.importorskip("moto.server", reason="the test server is moto: pip install 'moto[server]'")
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    named = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    s3fs.S3FileSystem().mkdir("studies")
    yield named
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    running.stop()


@pytest.fixture
def location(request):
    return f"s3://studies/{request.node.name}"


def test_rows_and_plans_come_back(location):
    ledger = Ledger(location)
    assert ledger.rows() == {}
    rows = {row.cell.digest: row for row in (make_row(cell=make_cell(seed=seed)) for seed in range(20))}
    for row in rows.values():
        ledger.append([row])
    ledger.write_plan(Plan.from_json(make_plan("a")))
    assert Ledger(location).rows() == rows
    some = list(rows)[:3]
    assert ledger.rows([*some, "absent"]) == {digest: rows[digest] for digest in some}
    assert [plan.name for plan in ledger.plans()] == ["a"]
    assert ledger.local_root is None


def test_of_many_who_create_at_once_one_wins(location):
    won = []

    def create(number):
        if StudyFolder(location).create("driver.lock", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert StudyFolder(location).read("driver.lock") == b"%d" % won[0]


def test_one_driver_at_a_time(location, monkeypatch):
    monkeypatch.setattr(driver_module, "SETTLE", 0.1)
    folder = StudyFolder(location)
    with Driver(folder, say=print), pytest.raises(LockedError, match="must have one driver at a time"):
        Driver(StudyFolder(location), say=print).__enter__()
    assert last_record(folder).exit_code == 130
    gone = Process(host=Process.own().host, number=1, boot="another boot", start="1")
    folder.write("driver.lock", Claim(run="r", process=gone, user="ann").to_json())
    said = []
    with Driver(folder, say=said.append):
        pass
    assert "taken over from a driver that is dead" in said[0]


def test_a_bucket_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(LedgerError, match=r"nosuchbucket/study/rows/.* cannot be written: .*bucket does not exist"):
        Ledger("s3://nosuchbucket/study").append([make_row()])


def test_reading_asks_once_for_each_segment(location, monkeypatch):
    import s3fs

    asked = Counter()
    call = s3fs.S3FileSystem._call_s3

    async def counting(self, method, *arguments, **named):
        asked[method] += 1
        return await call(self, method, *arguments, **named)

    ledger = Ledger(location)
    for seed in range(5):
        ledger.append([make_row(cell=make_cell(seed=seed))])
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counting)
    assert len(ledger.rows()) == 5
    assert asked == {"list_objects_v2": 2, "get_object": 5}
    assert len(ledger.documents()) == len(ledger.states()) == 5
    assert asked["get_object"] == 5


def test_a_server_that_is_away_is_an_error_that_names_the_folder(monkeypatch):
    import s3fs

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    # File systems are kept by their options, which the environment is no part of.
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(LedgerError, match="s3://studies/away cannot be read: Could not connect to the endpoint"):
            StudyFolder("s3://studies/away").names("rows", ".json")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_study_runs_on_it_and_nothing_is_computed_twice(location, inspection_root, tmp_path):
    run = [sys.executable, str(ROOT / "study" / "run.py")]
    asked = ["table3", "--data", f"mvtec:{inspection_root}", "--categories", "plate", "--seeds", "1"]
    asked += ["--set", "epochs=2", "--set", "map_size=48", "--executor", "serial", "--study", location]
    environment = os.environ | {"PROMPTAD_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    first = subprocess.run([*run, "run", *asked], capture_output=True, text=True, env=environment)
    assert first.returncode == 0, first.stderr
    assert "10 to run" in first.stdout
    again = subprocess.run([*run, "run", *asked], capture_output=True, text=True, env=environment)
    assert "10 need no work, 0 to run" in again.stdout
    out = tmp_path / "report"
    report = [*run, "report", "--study", location, "--out", str(out)]
    assert subprocess.run(report, capture_output=True, env=environment).returncode == 0
    assert (out / "index.html").exists()
    status = subprocess.run([*run, "status", "--study", location], capture_output=True, text=True, env=environment)
    assert "10 of 10 cells done" in status.stdout
