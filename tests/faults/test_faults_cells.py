"""Cells that run out of memory or time, kill their worker or stop it: one more try alone, then a row that says why."""

import json
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="needs the signals of Linux"),
]

FAULTS = {
    # What befalls the cell, how many times, and what its row then says.
    "plate image sc": ("memory", 1, None),
    "plate image base": ("memory", 9, "MemoryError: cannot allocate a terabyte (alone, with a whole device to itself)"),
    "plate pixel sc": ("killer", 1, None),
    "plate pixel vad": ("sleep", 1, None),
    "disc image base": ("killer", 9, "the worker process died while it computed this cell (killed or crashed) (alone"),
    "disc pixel sc": ("stop", 1, None),
    "disc pixel base": ("device", 1, None),
    "disc image sc": ("device", 9, "AcceleratorError: CUDA error: an illegal memory access was encountered (alone"),
}


def name_of(row):
    config = row["cell"]["config"]
    switches = config["sc"], config["eam"], config["vad"]
    arm = {(False, False, False): "base", (True, False, False): "sc"}.get(switches, "other") if config["pad"] else "vad"
    return f"{row['cell']['category']} {row['cell']['task']} {arm}"


@pytest.fixture(scope="module")
def hurt(new_study, undisturbed):
    """One study in which all of that happens."""
    study = new_study("--cell-timeout", "1")
    names = {name_of(json.loads(row)): digest for digest, row in undisturbed.rows().items()}
    study.set_faults({names[name]: (fault, times) for name, (fault, times, _) in FAULTS.items()})
    (study.faults / "pause").write_text("0")
    study.code = study.finish()
    return study


def test_cells_that_fail_twice_are_failed_rows_and_the_exit_code_says_so(hurt, undisturbed):
    assert hurt.code == 1, hurt.said()
    rows = {name_of(row): row for row in map(json.loads, hurt.rows().values())}
    assert len(hurt.rows()) == len(undisturbed.rows())
    for name, (_, _, reason) in FAULTS.items():
        if reason is None:
            assert rows[name]["status"] == "ok", (name, rows[name]["reason"])
        else:
            assert rows[name]["status"] == "failed"
            assert rows[name]["reason"].startswith(reason)
            assert "What to do: " in rows[name]["reason"]
            assert rows[name]["provenance"] == {"attempts": 2}


def test_each_was_tried_twice_and_all_others_once(hurt, undisturbed):
    names = {digest: name_of(json.loads(row)) for digest, row in undisturbed.rows().items()}
    for digest in undisturbed.rows():
        assert hurt.begun().count(digest) == (2 if names[digest] in FAULTS else 1), names[digest]


def test_the_second_try_came_after_all_others(hurt, undisturbed):
    first_tries = [place for place, digest in enumerate(hurt.begun()) if digest not in hurt.begun()[:place]]
    assert first_tries == list(range(len(undisturbed.rows())))


def test_the_same_command_without_faults_ends_with_the_same_tables(hurt, undisturbed):
    hurt.set_faults({})
    assert hurt.finish() == 0, hurt.said()
    assert hurt.tables() == undisturbed.tables()
    lasting = sum(reason is not None for *_, reason in FAULTS.values())
    assert len(hurt.begun()) == len(undisturbed.rows()) + len(FAULTS) + lasting


def test_a_lost_dispatcher_is_an_error_that_says_what_to_do_and_rows_stay(new_study, undisturbed):
    study = new_study()
    (study.faults / "pause").write_text("0")
    process = study.start()
    study.await_rows(2, process)
    (study.faults / "kill_dispatcher").touch()
    assert study.wait(process) == 2
    assert "the process beside this one that takes in rows was lost" in study.said()
    assert "Traceback" not in study.said()
    kept = study.rows()
    assert len(kept) >= 2
    (study.faults / "kill_dispatcher").unlink()
    assert study.finish() == 0, study.said()
    assert {digest: study.rows()[digest] for digest in kept} == kept
    assert study.tables() == undisturbed.tables()
