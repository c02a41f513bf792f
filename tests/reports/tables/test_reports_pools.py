"""Rows of one model for all categories: told apart in labels, notes and CSV, and never mixed with others."""

import csv
import io

import pytest
from helpers.documents import table_of
from helpers.report_study import CATEGORIES, make_plan, make_rows

from reports.outputs.latex import to_latex
from reports.outputs.markdown import to_markdown
from reports.outputs.tidy_csv import to_category_csv, to_csv
from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError
from reports.tables.notes import effects_note, scores_note, shared_models
from reports.tables.ranks import rankings

POOL = list(CATEGORIES)


def pooled_study(*arms, **changes):
    """A plan in which some arms have one model for all categories, and its rows."""
    plan = make_plan(**changes)
    rows = make_rows(plan)
    for arm in plan["arms"]:
        if arm["name"] in arms:
            arm |= {"pool": POOL, "label": f"{arm['label']}, one model for 6 categories"}
    for cell in plan["cells"]:
        if cell["arm"] in arms:
            rows[cell["digest"]]["cell"]["pool"] = [{"category": name, "data": "d"} for name in POOL]
    return plan, rows


def test_a_note_says_which_rows_are_one_model_and_of_which_categories():
    named = "one model for all of bolt, gear, mesh, plate, ring and weave at a seed"
    some = table_of(*pooled_study("all"))
    assert f"Rows with “one model for 6 categories” have {named}" in scores_note(some)
    assert "No other row that runs here shares what it learned between categories." in effects_note(some)
    every = table_of(*pooled_study("none", "sc", "sc+eam", "vad", "all"))
    assert (
        shared_models(every) == f"{named.capitalize()}, in each row: it learns from the support images of all of them."
    )
    assert shared_models(table_of(*pooled_study())) == ""
    assert not scores_note(table_of(*pooled_study())).endswith(" ")


def test_many_categories_are_counted():
    many = tuple(f"part{number}" for number in range(15))
    plan = make_plan(categories=many)
    for arm in plan["arms"]:
        arm |= {"pool": list(many)} if arm["name"] == "all" else {}
    assert "have one model for all of 15 categories at a seed" in shared_models(table_of(plan, {}))


def test_every_form_of_the_table_says_it():
    table = table_of(*pooled_study("all"))
    for text in (to_markdown(table), to_latex(table)):
        assert "SC + EAM + VAD, one model for 6 categories" in text
        assert "No other row that runs here shares what it learned between categories" in text
    for written in (to_csv(table), to_category_csv(table)):
        lines = list(csv.DictReader(io.StringIO(written)))
        assert {line["arm"] for line in lines if line["setting"] == "multi_class"} == {"all"}
        assert {line["setting"] for line in lines} == {"one_class", "multi_class"}


@pytest.mark.parametrize("wrong", ["row", "plan"])
def test_a_row_of_the_other_setting_is_a_fault_and_no_number(wrong):
    plan, rows = pooled_study("all")
    cell = next(cell for cell in plan["cells"] if cell["arm"] == "all" and cell["task"] == "image")
    if wrong == "row":
        del rows[cell["digest"]]["cell"]["pool"]
    else:
        other = next(cell for cell in plan["cells"] if cell["arm"] == "sc" and cell["task"] == "image")
        rows[other["digest"]]["cell"]["pool"] = [{"category": name, "data": "d"} for name in POOL]
        cell = other
    table = table_of(plan, rows)
    assert set(table.rows.faults) == {cell["digest"]}
    assert "ran pool" in table.rows.faults[cell["digest"]]
    assert table.counts["damaged"] == 1


def test_one_table_has_one_pool():
    plan, _ = pooled_study("all", "vad")
    plan["arms"][-1]["pool"] = POOL[:2]
    with pytest.raises(DocumentError, match="models of all categories must be of one pool, but are of 2"):
        Plan.from_json(plan)


def test_documents_from_before_there_were_pools_are_read():
    plan = Plan.from_json(make_plan())
    assert {arm.pool for arm in plan.arms} == {()}
    assert Plan.from_json(plan.as_json()) == plan
    pooled = Plan.from_json(pooled_study("all")[0])
    assert Plan.from_json(pooled.as_json()).arms[-1].pool == CATEGORIES


def test_models_for_other_numbers_of_categories_share_no_ranking():
    tables = []
    for dataset, label in (("mvtec", "A, one model for 6 categories"), ("visa", "A, one model for 12 categories")):
        plan = make_plan("table1", dataset=dataset)
        plan["arms"][0]["label"] = label
        tables.append(table_of(plan, make_rows(plan)))
    assert [ranking.method for ranking in rankings(tables)] == [table.plan.arms[0].label for table in tables]
    alike = [table_of(plan, make_rows(plan)) for plan in (make_plan("table1"), make_plan("table1", dataset="visa"))]
    assert len(rankings(alike)) == 1
