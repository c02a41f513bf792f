"""A search read from its files: types, defaults, what is damaged, and what each parameter's axis looks like."""

import math

import pytest
from helpers.searches_of_trials import LR, TOKENS, document, files, many_trials, parameter, trial

from reports.searches.axes import axis_of, value_text
from reports.searches.search_reading import read_search

AT_DEFAULT = {"lr": 0.002, "tokens": 4, "loss": "on", "weight": 0.5}


def read(trials=(), **changes):
    return read_search(files(document(**changes), trials))


def axis(name, trials, **changes):
    search = read(trials, **changes)
    return axis_of(search, next(one for one in search.parameters if one.name == name))


def test_the_default_trial_is_the_one_at_every_active_default():
    other = trial(0, AT_DEFAULT | {"lr": 0.0021}, value=0.9)
    assert read([other]).default_trial is None
    assert read([other, trial(1, AT_DEFAULT | {"lr": 0.002 * (1 + 1e-12)}, value=0.8)]).default_trial.number == 1
    # The weight is not active without the loss, but then the loss is not at its default.
    assert read([trial(0, {"lr": 0.002, "tokens": 4, "loss": "off"}, value=0.8)]).default_trial is None
    pruned = trial(0, AT_DEFAULT, value=0.8, state="pruned")
    assert read([pruned]).default_trial is None


def test_a_toggle_s_default_is_not_a_number():
    toggle = parameter(name="sc", label="concatenation", kind="choice", values=[True, False], paper=True)
    search = read([trial(0, {"sc": True}, value=0.5), trial(1, {"sc": False}, value=0.6)], space=(toggle,))
    assert search.default_trial.number == 0
    assert not search.parameters[0].is_default(False)
    without = read([trial(0, {"sc": True}, value=0.5)], space=(toggle | {"paper": None},))
    assert without.default_trial is None


@pytest.mark.parametrize(("sampler", "adaptive"), [("tpe", True), ("gp", True), ("cmaes", True), ("nsga2", True)])
def test_samplers_that_learn_are_known(sampler, adaptive):
    assert read(sampler=sampler).adaptive is adaptive
    assert not read(sampler="random").adaptive
    assert not read(sampler="sobol").adaptive


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"values": [math.nan]}, "must be a finite number"),
        ({"values": [True]}, "must be a finite number"),
        ({"values": None}, "a value for each of 1 objectives, but has 0"),
        ({"values": [0.5, 0.6]}, "a value for each of 1 objectives, but has 2"),
        ({"state": "running"}, "state must be one of complete, pruned, failed, but is 'running'"),
        ({"params": {"lr": 0.1, "rate": 3}}, "must be in its search's space, but rate are not"),
        ({"steps": [{"category": "bolt", "seed": 0, "task": "image", "value": None}]}, "steps[0].value must be"),
        ({"number": "x"}, "number must be a whole number"),
        ({"params": None}, "not a trial"),
    ],
)
def test_a_damaged_trial_is_named_and_left_out(changes, why):
    good = trial(0, AT_DEFAULT, value=0.8)
    search = read_search(
        files(document(), [good]) if not changes else _two(good, trial(1, AT_DEFAULT, value=0.9) | changes)
    )
    assert [one.number for one in search.trials] == [0]
    (reason,) = search.damaged.values()
    assert list(search.damaged) == ["searches/quick/00001.json"]
    assert why in reason


def _two(good, bad):
    made = files(document(), [good])
    return type(made)(name=made.name, document=made.document, trials={**made.trials, "searches/quick/00001.json": bad})


def test_a_trial_that_is_there_twice_counts_once():
    search = read_search(_two(trial(3, AT_DEFAULT, value=0.8), trial(3, AT_DEFAULT, value=0.9)))
    assert len(search.trials) == 1
    assert "trial 3 is there twice" in next(iter(search.damaged.values()))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema": 2}, "search schema must be 1, but quick has 2"),
        ({"space": [{"name": "x"}]}, "must have every key of schema 1"),
        ({"space": [parameter(**LR) | {"kind": "tensor"}]}, "kind must be one of float, int, choice"),
        ({"space": [parameter(**LR) | {"low": 0.0}]}, "must be finite and ordered, but is 0.0 to 0.1"),
        ({"directions": ("upwards",)}, "must be one of maximize, minimize"),
        ({"directions": ("maximize", "minimize")}, "2 directions need as many metrics, but there are 1"),
    ],
)
def test_a_document_that_cannot_be_used_says_why(changes, why):
    with pytest.raises(ValueError, match=why):
        read(**changes)


def test_an_axis_is_as_it_was_searched():
    trials = many_trials(40)
    rate = axis("lr", trials)
    assert [rate.place(value) for value in (1e-4, 1e-3, 1e-1)] == pytest.approx([0, 1 / 3, 1])
    assert [text for _, text in rate.ticks] == ["0.0001", "0.001", "0.01", "0.1"]
    assert rate.group(1e-4) == 0
    assert rate.group(1e-1) == 5
    assert rate.groups[1][2] == "0.000316 to 0.001"
    tokens = axis("tokens", trials)
    assert tokens.levels == tuple(range(1, 9))
    assert tokens.place(1) == pytest.approx(1 / 16)
    assert tokens.group(8) == 7
    loss = axis("loss", trials)
    assert loss.levels == ("on", "off")
    assert loss.place("off") == 0.75


def test_an_axis_holds_a_default_outside_the_searched_range():
    rate = axis("lr", [trial(0, {"lr": 0.05}, value=0.5)], space=(LR | {"paper": 1.0},))
    assert rate.high == 1.0
    assert rate.place(1.0) == pytest.approx(1)


def test_a_continuous_parameter_of_few_trials_is_shown_in_ranges():
    assert axis("lr", many_trials(5)).levels == ()
    repeated = [trial(number, {"lr": (0.001, 0.01)[number % 2]}, value=0.5) for number in range(6)]
    assert axis("lr", repeated, space=(LR | {"paper": None},)).levels == (0.001, 0.01)


def test_a_wide_range_of_whole_numbers_is_shown_in_ranges():
    wide = TOKENS | {"high": 200}
    trials = [trial(number, {"tokens": 1 + 10 * number}, value=0.5) for number in range(15)]
    assert axis("tokens", trials, space=(wide,)).levels == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00384123, "0.00384"), (True, "yes"), (None, "none"), ((3, 6), "3, 6"), (-0.5, "\N{MINUS SIGN}0.5"), (8, "8")],
)
def test_values_as_text(value, text):
    assert value_text(value) == text
