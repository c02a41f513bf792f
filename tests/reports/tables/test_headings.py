"""Plans of the user's own folders and files are told apart wherever they are named."""

import json

import pytest
from helpers.documents import documents_of, report_of
from helpers.plans import request
from helpers.report_study import make_plan, make_rows
from helpers.searches_of_trials import document

from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError
from reports.searches.search_reading import SearchFiles, read_search
from reports.tables.headings import data_titles, told_apart
from study.command.arguments import data_request
from study.command.cli import build_parser
from study.planning.plan import plan_study


def own(name, *, path="/a/photos", digests=None, **lists):
    given = {"data": {"path": path, "digests": digests or {"screw": path}}}
    given |= {kind: {"path": file, "digest": digest} for kind, (file, digest) in lists.items()}
    plan = make_plan()
    return plan | {"name": name, "dataset_title": "image folder", "given": given}


def titles(*plans):
    found = told_apart([Plan.from_json(plan) for plan in plans])
    return [plan.dataset_title for plan in found], [plan.title for plan in found]


def test_a_folder_is_called_by_its_name_and_by_its_parents_where_another_has_the_name():
    assert titles(own("t-1"))[0] == ["image folder: photos"]
    data, headings = titles(own("t-1"), own("t-2", path="/b/photos"), own("t-3", path="/b/x/other"))
    assert data == ["image folder: a/photos", "image folder: b/photos", "image folder: other"]
    base = make_plan()["title"]
    assert headings == [f"{base} ({title})" for title in data]


def test_lists_are_named_and_told_apart_by_folder_or_content():
    plans = (
        own("t-1", suffixes=("/l/one.json", "aa11aa11")),
        own("t-2", suffixes=("/l/two.json", "bb")),
        own("t-3", suffixes=("/m/two.json", "bb")),
        own("t-4", support=("/l/s.json", "cc22cc22")),
        own("t-5", support=("/l/s.json", "dd33dd33"), suffixes=("/l/one.json", "aa11aa11")),
    )
    assert titles(*plans)[0] == [
        "image folder: photos (suffixes one.json)",
        "image folder: photos (suffixes l/two.json)",
        "image folder: photos (suffixes m/two.json)",
        "image folder: photos (support s.json cc22cc)",
        "image folder: photos (suffixes one.json, support s.json dd33dd)",
    ]


def test_a_folder_whose_images_changed_is_told_from_what_it_was():
    before, after = titles(own("t-1", digests={"screw": "1"}), own("t-2", digests={"screw": "2"}))[0]
    assert before.startswith("image folder: photos, content ")
    assert before != after
    same = titles(own("t-1", digests={"screw": "1"}), own("t-2", digests={"screw": "1", "nut": "2"}))[0]
    assert same == ["image folder: photos"] * 2


def test_equal_titles_get_what_their_plans_differ_in_and_others_stay():
    plan = make_plan() | {"dataset_title": "MVTec AD"}
    other = plan | {"name": "t-2", "protocol": "reference (D1)"}
    alone = plan | {"name": "t-3", "title": "Another question"}
    _, (first, second, third) = titles(plan, other, alone)
    assert (first, second) == (f"{plan['title']} ({plan['protocol']})", f"{plan['title']} (reference (D1))")
    assert third == "Another question"
    # Nothing that headings know of differs: the digest does, and in old documents, which lack it, the name.
    own = [plan | {"name": f"t-{digest}", "digest": digest} for digest in ("aa", "bb")]
    assert titles(*own)[1] == [f"{plan['title']} (aa)", f"{plan['title']} (bb)"]
    old = [plan | {"name": "t-aa"}, plan | {"name": "t-bb"}]
    assert titles(*old)[1] == [f"{plan['title']} (t-aa)", f"{plan['title']} (t-bb)"]


def test_a_plan_that_says_nothing_of_its_data_stays_as_it_is():
    assert titles(make_plan() | {"given": None})[0] == [make_plan()["dataset_title"]]


@pytest.mark.parametrize("given", [[], {"data": 1}, {"data": {"path": 1}}, {"data": {"path": "/a", "digests": 1}}])
def test_a_plan_that_says_nonsense_of_its_data_is_refused(given):
    with pytest.raises(DocumentError, match="given"):
        titles(make_plan() | {"given": given})


def test_searches_name_their_data_in_their_headings(tmp_path):
    first, second = (
        document(f"s{number}") | {"dataset_title": "image folder", "given": own("x", path=path)["given"]}
        for number, path in ((1, "/a/photos"), (2, "/b/photos"))
    )
    files = [SearchFiles(name=f"s{n}", document=raw, trials={}) for n, raw in ((1, first), (2, second))]
    page = report_of(plans=[], rows={}, examples=lambda _: None, out=tmp_path, searches=files).read_text()
    for title in ("image folder: a/photos", "image folder: b/photos"):
        assert f", on {title}</h2>" in page
    # A search of an older version says less.
    old = read_search(SearchFiles(name="s3", document=document("s3"), trials={}))
    assert data_titles([old.data_name]) == [document("s3")["dataset"]]


@pytest.mark.slow
def test_page_and_tables_name_the_folder_and_the_file(tmp_path):
    plans = [own("t-1", suffixes=("/l/one.json", "aa")), own("t-2", path="/b/photos", support=("/l/s.json", "bb"))]
    rows = {digest: row for plan in plans for digest, row in make_rows(plan).items()}
    page = report_of(plans=plans, rows=rows, examples=lambda _: None, out=tmp_path)
    for number, title in (
        (1, "image folder: a/photos (suffixes one.json)"),
        (2, "image folder: b/photos (support s.json)"),
    ):
        section = page.read_text().split(f'<section id="t-{number}"')[1].split("</section>")[0]
        assert f"{title})</h2>" in section
        for kind in ("md", "tex", "csv"):
            content = (tmp_path / "tables" / f"t-{number}.{kind}").read_text()
            assert title.replace("_", "\\_") in content.replace("\n", " "), kind


def test_a_plan_records_the_folder_and_the_files_that_it_was_given(inspection_root, tmp_path):
    path = tmp_path / "own suffixes.json"
    path.write_text(json.dumps({"plate": ["torn {}"]}))
    options = build_parser().parse_args(["plan", f"--data=mvtec:{inspection_root}", f"--suffixes={path}"])
    asked = data_request(options, ablations=request(inspection_root).ablations)
    (document,) = documents_of(plan_study(asked))
    given = document["given"]
    assert given["data"]["path"] == str(inspection_root)
    assert set(given["data"]["digests"]) == {"plate", "disc"}
    assert given["suffixes"]["path"] == str(path)
    assert "support" not in given
    assert titles(document)[0][0].endswith(f": {inspection_root.name} (suffixes own suffixes.json)")
