"""Suffixes of a product that are added as ``docs/architecture.md`` says: an entry of ``CATEGORY_SUFFIXES``."""

from html import unescape

import pytest
from helpers.documents import documents_of, report_of
from helpers.plans import request
from open_clip.tokenizer import SimpleTokenizer

from ablations.catalogue import CATALOGUE
from promptad.configs.promptad_config import PromptADConfig
from promptad.prompts.prompt_learning import prompts_for
from promptad.texts.suffixes import CATEGORY_SUFFIXES, GENERIC_PAPER
from study.planning.plan import plan_study


def planned(root):
    (document,) = documents_of(plan_study(request(root, ablations=(CATALOGUE["figure7"],))))
    return document


def test_those_that_are_added_are_planned_on_the_page_and_among_the_prompts(inspection_root, tmp_path, monkeypatch):
    assert planned(inspection_root)["prompts"]["own"]["plate"] == []
    monkeypatch.setitem(CATEGORY_SUFFIXES, "plate", ("{} with a bent rim", "chipped {}"))
    document = planned(inspection_root)
    assert document["prompts"]["own"]["plate"] == ["{} with a bent rim", "chipped {}"]
    page = report_of(plans=[document], rows={}, examples=lambda _: None, out=tmp_path)
    assert "{} with a bent rim" in unescape(page.read_text(encoding="utf-8"))


def test_each_prefix_has_a_prompt_for_each_of_them(monkeypatch):
    monkeypatch.setitem(CATEGORY_SUFFIXES, "plate", ("{} with a bent rim", "chipped {}"))
    prompts = prompts_for(SimpleTokenizer(), PromptADConfig(), "image", "plate")
    assert len(prompts.manual) == len(GENERIC_PAPER) + 2


def test_an_entry_without_a_place_for_the_product_says_which(monkeypatch):
    monkeypatch.setitem(CATEGORY_SUFFIXES, "plate", ("{} with a bent rim", "chipped"))
    with pytest.raises(ValueError, match=r"suffix of plate must hold exactly one .* but got \['chipped'\]"):
        prompts_for(SimpleTokenizer(), PromptADConfig(), "image", "plate")
