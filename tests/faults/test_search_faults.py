"""Drivers and workers of a search die by kill -9; the same command then ends with the same trials and rows."""

import json
import os
import signal
import time

import pytest
from helpers.processes import below

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SEARCH = ("search", "--space", "paper", "--trials", "6", "--shots", "2", "--sampler")


@pytest.fixture(scope="module")
def peace(new_study):
    """Searches that ran serially and in peace, by sampler and options."""
    found = {}

    def make(sampler, *options):
        if (sampler, options) not in found:
            study = new_study("--executor", "serial", *options, command=(*SEARCH, sampler))
            (study.faults / "pause").write_text("0")
            assert study.finish() == 0, study.said()
            found[sampler, options] = study
        return found[sampler, options]

    return make


def trials(study):
    """Every record's values and steps by number; what is measured in seconds is left out."""
    found = {}
    for path in (study.root / "searches").glob("*/*.json"):
        record = json.loads(path.read_text())
        found[record["number"]] = (record["params"], record["state"], record["values"], record["steps"])
    return found


def no_trial_is_open(study):
    return not list((study.root / "searches").glob("*/proposed/*.json"))


def begun_again(study):
    begun = study.begun()
    return len(begun) - len(set(begun))


def test_a_serial_search_whose_driver_is_killed_again_and_again_ends_as_in_peace(new_study, peace):
    study = new_study("--executor", "serial", command=(*SEARCH, "tpe"))
    (study.faults / "pause").write_text("0.05")
    for rows in (3, 9, 14):
        process = study.start()
        study.await_rows(rows, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        study.watch_rows()
    assert study.finish() == 0, study.said()
    study.watch_rows()
    assert (study.lost, study.doubled) == (0, 0)
    assert begun_again(study) <= 3
    assert set(study.rows()) == set(peace("tpe").rows())
    assert trials(study) == trials(peace("tpe"))
    assert no_trial_is_open(study)


@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_a_search_on_ray_that_is_hurt_in_its_middle_ends_with_the_rows_of_one_in_peace(victim, new_study, peace):
    # What a Sobol sequence proposes does not hang on which trial ends first.
    study = new_study("--prune", "0", command=(*SEARCH, "sobol"))
    process = study.start()
    study.await_rows(6, process)
    if victim == "driver":
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    else:
        _kill_a_worker(process.pid)
        assert study.wait(process) == 0, study.said()
    study.watch_rows()
    assert study.finish() == 0, study.said()
    study.watch_rows()
    assert (study.lost, study.doubled) == (0, 0)
    # At most what two workers had in hand.
    assert begun_again(study) <= 2
    calm = peace("sobol", "--prune", "0")
    assert set(study.rows()) == set(calm.rows())
    assert trials(study) == trials(calm)
    assert no_trial_is_open(study)


def _kill_a_worker(driver):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for number, command in below(driver).items():
            if command.startswith("ray::") and ("SearchTrial" in command or "ResourceTrainable" in command):
                os.kill(number, signal.SIGKILL)
                return
        time.sleep(0.05)
    pytest.fail("no worker process was found to kill")
