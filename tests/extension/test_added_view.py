"""A view that is added as ``docs/architecture.md`` says: a function and an entry of ``VIEWS``."""

from html import unescape

import pytest
from helpers.documents import documents_of, report_of
from helpers.plans import request
from helpers.report_study import make_plan, make_rows

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.parts import MissingPartError
from reports.view_table import VIEWS, ViewEntry
from study.planning.plan import PlanError, plan_study

DESIGN = PaperTable(rows=(Arm(name="full", label="all"),), baseline=None)


def asking(*views):
    return Ablation(name="mine", title="t", question="q?", design=DESIGN, shown_as=views)


def page_of(plan, folder):
    page = report_of(plans=[plan], rows=make_rows(plan), examples=lambda _: None, out=folder)
    return unescape(page.read_text(encoding="utf-8"))


def test_one_that_is_added_is_planned_and_on_the_page(inspection_root, tmp_path, monkeypatch):
    monkeypatch.setitem(VIEWS, "counted", ViewEntry(builder="helpers.additions:counted_view"))
    plan = plan_study(request(inspection_root, ablations=(asking("arms", "counted"),)))
    (document,) = documents_of(plan)
    assert document["shown_as"] == ["arms", "counted"]
    page = page_of(make_plan(shown_as=["arms", "counted"]), tmp_path)
    assert "Arms, counted" in page
    assert "Nothing to draw." in page


def test_an_ablation_that_asks_for_an_unknown_one_is_not_planned(inspection_root):
    with pytest.raises(PlanError, match=r"ablation mine: view must be one of arms, .*, cost, but got 'counted'"):
        plan_study(request(inspection_root, ablations=(asking("arms", "counted"),)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("helpers.additions:no_view", "the builder of view half must be at .*, but helpers.additions has no no_view"),
        ("helpers.missing:view", "the builder of view half must be at .*, but there is no module helpers.missing"),
        ("helpers.additions", "the builder of view half must be an address of the form module:name, but is"),
    ],
)
def test_an_entry_without_its_function_says_what_is_missing(builder, message, tmp_path, monkeypatch):
    monkeypatch.setitem(VIEWS, "half", ViewEntry(builder=builder))
    with pytest.raises(MissingPartError, match=message):
        page_of(make_plan(shown_as=["half"]), tmp_path)
