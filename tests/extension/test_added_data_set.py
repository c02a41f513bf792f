"""A data set that is added as ``docs/architecture.md`` says: a layout and its entry of ``LAYOUTS``."""

import dataclasses
import shutil

import pytest
from helpers.added_study import page_of
from helpers.additions import PairsLayout
from helpers.documents import documents_of
from helpers.plans import request

from ablations.published import published
from promptad.datasets import LAYOUTS, DatasetError, LayoutEntry
from promptad.datasets.known_sets import known_set
from study.command.cli import main
from study.planning.data_source import parse_source
from study.planning.plan import plan_study

IMAGES_ALONE = {"arm": 'changes={"prompts": "ensemble"}', "table": 'metrics=("image_auroc",)'}


@pytest.fixture
def pairs(inspection_root, tmp_path):
    """The inspection set's plates in the added layout: 3 normal images of the test, 3 bad ones."""
    folder = tmp_path / "pairs" / "plate"
    shutil.copytree(inspection_root / "plate" / "test" / "spot", folder / "nok")
    shutil.copytree(inspection_root / "plate" / "test" / "good", folder / "ok")
    return folder.parent


@pytest.mark.slow
def test_one_that_is_added_is_run_and_named_on_the_page_and_in_the_help(pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(LAYOUTS, "pairs", LayoutEntry(reader=PairsLayout(), title="pairs of plates"))
    page = page_of(tmp_path, f"pairs:{pairs}", **IMAGES_ALONE)
    assert "On pairs of plates" in page
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "folder, pairs and the data" in " ".join(capsys.readouterr().out.split())


def test_a_published_set_is_called_by_its_title_where_its_counts_are_there(pairs, monkeypatch):
    known = known_set(name="pairs", title="Pairs 2020", short="Pairs", source="nobody", images={"plate": (2, 1, 3)})
    monkeypatch.setitem(LAYOUTS, "pairs", LayoutEntry(reader=PairsLayout(), published=known))
    source = parse_source(f"pairs:{pairs}")
    (document,) = documents_of(plan_study(request(pairs, source=source)))
    assert document["dataset_title"] == "Pairs 2020"
    other = dataclasses.replace(known, categories=known_set(**{**KEYS, "images": {"plate": (2, 1, 4)}}).categories)
    monkeypatch.setitem(LAYOUTS, "pairs", LayoutEntry(reader=PairsLayout(), published=other))
    (document,) = documents_of(plan_study(request(pairs, source=source)))
    assert document["dataset_title"] == "images in the layout of Pairs 2020"
    assert published("table3")[0].dataset == "mvtec"


KEYS = {"name": "pairs", "title": "Pairs 2020", "short": "Pairs", "source": "nobody"}


class Half:
    """A layout that forgot how images are found."""

    form = "<category>/*"

    def category_names(self, root):
        return (root.name,)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"reader": Half(), "title": "halves"},
            "a layout must have form, category_names and scan, but Half has no scan",
        ),
        ({"reader": PairsLayout()}, "the entry of PairsLayout must have either the published set .* but has neither"),
        ({"reader": PairsLayout(), "title": "t", "published": known_set(**KEYS, images={})}, "but has both"),
    ],
)
def test_an_entry_that_forgets_a_part_says_which(entry, message):
    with pytest.raises(DatasetError, match=message):
        LayoutEntry(**entry)
