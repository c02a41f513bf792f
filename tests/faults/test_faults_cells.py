"""Cells that run out of memory or time, kill their worker or stop it: one more try alone, then a row that says why.

They are among cells with which they could learn together: a death in company is nobody's try.
"""

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
    study = new_study("--cell-timeout", "1", "--company", "2")
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


def test_a_neighbour_was_begun_again_for_a_death_in_company_alone(hurt, undisturbed):
    """So at most once: from then on they go one by one."""
    names = {digest: name_of(json.loads(row)) for digest, row in undisturbed.rows().items()}
    assert undisturbed.largest_company() > 1
    for digest in undisturbed.rows():
        begun = hurt.begun().count(digest)
        assert 2 <= begun <= 3 if names[digest] in FAULTS else 1 <= begun <= 2, (names[digest], begun)
    others = [name for name in names.values() if name not in FAULTS]
    assert sum(hurt.begun().count(digest) for digest, name in names.items() if name in others) < 2 * len(others)


def test_the_last_try_of_those_that_failed_came_after_all_others(hurt, undisturbed):
    names = {digest: name_of(json.loads(row)) for digest, row in undisturbed.rows().items()}
    begun = hurt.begun()
    for digest, name in names.items():
        if name in FAULTS and FAULTS[name][2] is not None:
            last = len(begun) - 1 - begun[::-1].index(digest)
            assert set(begun[:last]) == set(names)


def test_the_same_command_without_faults_ends_with_the_same_tables(hurt, undisturbed):
    hurt.set_faults({})
    before = len(hurt.begun())
    assert hurt.finish() == 0, hurt.said()
    assert hurt.tables() == undisturbed.tables()
    lasting = sum(reason is not None for *_, reason in FAULTS.values())
    assert len(hurt.begun()) == before + lasting


def test_a_lost_dispatcher_is_an_error_that_says_what_to_do_and_rows_stay(new_study, undisturbed):
    # One by one and with its pauses: together they would be done before it is lost.
    study = new_study("--company", "1")
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
