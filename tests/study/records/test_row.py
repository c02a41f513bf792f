import json

import pytest
from helpers.cells import SCORES, make_cell, make_row
from helpers.places import FIXTURES

from promptad.configs.promptad_config import PromptADConfig
from study.records.row import Row, RowError

VIEW = {"anomalous": 3, "with_mask": 3, "unseen": ["test/cut/000.png"], "vanished": []}


@pytest.mark.parametrize(
    "changes", [{}, {"status": "failed", "scores": None, "reason": "no memory"}, {"view": VIEW}, {"view": None}]
)
def test_json_form_round_trips(changes):
    row = make_row(**changes)
    assert Row.from_json(row.to_json()) == row


def test_a_cost_is_kept_where_it_was_measured_and_older_rows_have_none():
    row = make_row(cost={"prompts": 13, "fit_seconds": 0.25})
    assert Row.from_json(row.to_json()) == row
    assert row.plain()["cost"] == {"prompts": 13, "fit_seconds": 0.25}
    # As rows were written before there were costs: equal to the last byte.
    assert "cost" not in make_row().plain()
    assert Row.from_json(make_row().to_json()).cost is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_cost_is_a_finite_number(value):
    with pytest.raises(RowError, match=r"costs must be finite and not negative, but .* has {'fit_flop'"):
        make_row(cost={"prompts": 13, "fit_flop": value})


def test_rows_name_the_deviations_in_force():
    row = make_row(cell=make_cell(config=PromptADConfig(selection="best_on_test", temperature="raw_parameter")))
    assert json.loads(row.to_json())["departures"] == ["D1", "D2"]
    assert json.loads(make_row().to_json())["departures"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "scores if and only if its status is ok"),
        ({"status": "failed", "reason": "died"}, "scores if and only if its status is ok"),
        ({"status": "failed", "scores": None}, "needs a reason"),
        ({"scores": {"image_auroc": float("nan")}}, "fractions in"),
        ({"scores": {"image_auroc": 95.0}}, "fractions in"),
    ],
)
def test_a_missing_score_is_never_a_number(changes, message):
    with pytest.raises(RowError, match=message):
        make_row(**changes)


def test_a_row_whose_config_is_not_the_one_asked_for_is_refused():
    values = json.loads(make_row().to_json())
    values["cell"]["config"]["align_weight"] = 0.5
    with pytest.raises(RowError, match="holds the cell"):
        Row.from_json(json.dumps(values))


def test_configs_that_are_equal_but_not_the_same_are_told_apart():
    # Equal configs are checked once; 1 == True in Python, but not in a config.
    values = json.loads(make_row().to_json())
    assert Row.from_json(json.dumps(values)).cell.config.vad is True
    values["cell"]["config"]["vad"] = 1
    with pytest.raises(RowError, match="vad must be bool, but got 1"):
        Row.from_json(json.dumps(values))


def test_rows_of_the_first_numerics_are_read():
    # As a version wrote it that knew no activation, no view, and fewer fields of the config.
    text = (FIXTURES / "rows" / "numerics-1.json").read_text(encoding="utf-8")
    row = Row.from_json(text)
    assert row.cell.digest == json.loads(text)["digest"] == "2e88d48155684a786ee0b3e75df174b3"
    assert (row.cell.numerics, row.cell.activation, row.view, row.scores) == (1, None, None, SCORES)
    assert row.cell == make_cell(numerics=1)
    assert row.cell.digest != make_cell().digest
    assert Row.from_json(row.to_json()) == row


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}'])
def test_other_text_is_no_row(text):
    with pytest.raises(RowError):
        Row.from_json(text)
