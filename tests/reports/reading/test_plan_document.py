"""A plan is written and read by one class: nothing of it is lost on the way, whatever form its document had."""

import json
import zipfile

import pytest
from helpers.places import FIXTURES
from helpers.plans import request
from helpers.report_study import make_plan

from ablations.loading import named_ablations
from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError
from study.planning.plan import plan_study


def again(plan):
    return Plan.from_json(json.loads(json.dumps(plan.as_json())))


@pytest.mark.parametrize("name", ["table2", "table3", "figure4", "table11_13", "transfer"])
def test_a_planned_ablation_comes_back_as_it_was(name, inspection_root):
    lists = {"suffixes": {"plate": ("torn {}",)}, "suffixes_file": "/lists/own.json"}
    asked = request(inspection_root, ablations=named_ablations((name,)), seeds=1, shots=(1,), **lists)
    (plan,) = plan_study(asked).documents.values()
    assert again(plan) == plan
    assert plan.name.endswith(f"-{plan.digest}")
    assert len(plan.digest) == 6
    assert plan.given.suffixes.path == "/lists/own.json"


def test_a_document_of_the_first_forms_comes_back_as_it_was_read():
    with zipfile.ZipFile(FIXTURES / "studies" / "table3-leather.zip") as stored:
        (name,) = (file for file in stored.namelist() if file.startswith("plans/") and file.endswith(".json"))
        older = Plan.from_json(json.loads(stored.read(name)))
    assert older.cells
    assert older.digest == ""
    assert again(older) == older
    first = make_plan(weights_label="RANDOM weights", published=[], metrics=None)
    del first["printed"]
    assert all(arm.random_weights for arm in Plan.from_json(first).arms)
    assert again(Plan.from_json(first)) == Plan.from_json(first)


def test_what_an_old_document_does_not_say_is_what_was_then_the_case():
    plan = Plan.from_json(make_plan())
    assert plan.metrics == ("image_auroc", "image_aupr", "pixel_auroc", "pro")
    assert {arm.runs for arm in plan.arms} == {"promptad"}
    assert plan.given.data is plan.given.suffixes is plan.given.support is plan.prompts is None
    assert all(cell.images == cell.shots for cell in plan.cells)


def test_prompts_of_another_form_are_refused():
    with pytest.raises(DocumentError, match=r"prompts\.own\.'gear' must be a list"):
        Plan.from_json(make_plan(prompts={"generic": ["{} with flaw"], "own": {"gear": "a"}}))
