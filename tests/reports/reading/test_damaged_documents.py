"""No document of a study folder, whatever became of it, stops what reads the folder; what is intact is still read."""

import contextlib
import dataclasses
import functools
import json

import numpy as np
import pytest
from helpers.documents import document_of
from helpers.mutations import dice_of, mutated, mutated_arrays
from helpers.older_files import write_older_arrays, write_older_row
from helpers.plans import request
from helpers.report_study import make_examples
from helpers.scored_cells import ScoredBench, run_search, search_plan

from promptad.configs.promptad_config import PromptADConfig
from reports.outputs.cells import cells_script
from reports.outputs.latex import to_latex
from reports.outputs.markdown import to_markdown
from reports.outputs.provenance import trace
from reports.outputs.terminal import to_text
from reports.outputs.tidy_csv import to_category_csv, to_csv
from reports.page import Section, plan_part, render_page
from reports.reading.kept import sound
from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError, json_object
from reports.searches.search_reading import read_search, usable_importances
from reports.searches.search_section import search_views
from reports.searches.search_tables import best_csv, trials_csv
from reports.searches.sensitivity import importances
from reports.tables.ranks import rankings
from reports.tables.table import build_table
from reports.views.examples import choose_examples
from reports.views.heatmaps import write_heatmaps
from reports.views.views import views_of
from study.command.driver import Claim, Driver
from study.command.look_verbs import write_report_of
from study.command.outlook import described_plan
from study.command.row_text import row_text
from study.command.status import study_status
from study.command.status_text import describe
from study.planning.plan import plan_study
from study.planning.promoted import MethodConfig, MethodError, read_method, write_method
from study.records.driver_record import RECORD, Process
from study.records.ledger import Ledger
from study.search.engine import Search
from study.search.importances import with_sensitivity
from study.search.search_files import read_search_files
from study.search.trial_records import SearchLog

pytestmark = pytest.mark.slow

EXAMPLES = 500
"""Damaged forms of every document."""

DRAWN = 2
"""How many of those that are still taken for whole have all their figures drawn."""


class NoStage:
    """Takes a report's files and keeps none."""

    def add(self, name, content):
        """Forget it."""

    def holds(self, _):
        """It has nothing."""
        return False


@pytest.fixture(scope="module")
def study(tmp_path_factory, inspection_root):
    """A study folder of a plan, its rows and arrays, a search, a driver's record and a method; and its plans."""
    folder = tmp_path_factory.mktemp("damaged") / "study"
    ledger = Ledger(str(folder))
    asked = request(inspection_root, seeds=1, base=PromptADConfig(epochs=3, map_size=48))
    plan = plan_study(asked)
    bench = ScoredBench()
    for cell in plan.cells.values():
        write_older_row(ledger.folder, bench.run(cell).row)
    (name,) = plan.documents
    ledger.write_plan(plan.documents[name])
    ledger.write_plan(dataclasses.replace(plan.documents[name], name="other"))
    arrays = next(iter(make_examples(document_of(plan.documents[name])).values()))
    # Small ones are damaged as well, and written faster.
    arrays |= {kind: arrays[kind][:, :24, :24] for kind in ("thumbnails", "masks")}
    digest = next(cell.digest for cell in plan.documents[name].cells if cell.task == "pixel")
    write_older_arrays(ledger.folder, digest, arrays)
    searched = search_plan(inspection_root, trials=10)
    run_search(searched, folder)
    SearchLog(ledger.folder, searched.id).write_document(dict(searched.document))
    with_sensitivity(ledger.folder, searched.id)
    with Driver(ledger.folder, say=print) as driver:
        driver.plan(planned=3, to_run=2)
        driver.end("finished", 0)
    method = {"search": "s", "label": "mean", "tuned_on": "nothing", "on_test": False, "trial": 3}
    write_method(MethodConfig(name="mine", config=PromptADConfig(), provenance=method), "mine", ledger.folder)
    return ledger, plan, searched, name, digest


def damaged_forms(ledger, name, *, arrays=False):
    """Writes damaged forms of one file, and puts it back in the end; counts of them come with each."""
    original = ledger.folder.read(name)
    try:
        if arrays:
            with np.load(ledger.folder.local_root / name) as archive:
                whole = dict(archive)
        else:
            whole = json.loads(original)
        for number in range(EXAMPLES):
            dice = dice_of(number)
            content = mutated_arrays(whole, dice) if arrays else mutated(whole, dice)
            # Not through the ledger, whose fsync takes most of the time.
            (ledger.folder.local_root / name).write_bytes(content)
            yield number
    finally:
        ledger.folder.write(name, original)


def shown(document, rows):
    """Everything of a table but its figures."""
    table = build_table(document, rows)
    to_text(table), to_markdown(table), to_latex(table), to_csv(table), to_category_csv(table), cells_script(table)
    rankings([table])
    section = Section(table=table, provenance=trace(table.plan, table.rows), shown=())
    render_page([plan_part(section)], tables=[table], heatmaps={"count": 0, "cells": 0, "limit": 0}, damaged={})
    return table


def test_a_damaged_plan_stops_nothing(study):
    ledger, plan, _, name, _ = study
    rows = ledger.rows()
    plain = {digest: row.plain() for digest, row in rows.items()}
    taken = 0
    for _ in damaged_forms(ledger, f"plans/{name}.json"):
        documents, damaged = ledger._plans(), {}
        assert isinstance(documents["other"], Plan)
        if isinstance(documents[name], str):
            assert documents[name].strip()
            continue
        taken += 1
        document = documents[name]
        table = build_table(document, plain)
        if taken % 10 == 0:
            shown(document, plain)
        if taken % 100 == 0:
            views_of(table, sound(ledger.kept, damaged))
            describe(study_status(ledger), "x")
            described_plan(plan, ledger.states(), ledger.plans())
    # Both happen: damage that is found, and changes that leave a plan that can be shown.
    assert 0 < taken < EXAMPLES


def test_a_damaged_row_stops_nothing(study):
    ledger, plan, _, name, digest = study
    document = plan.documents[name]
    whole = ledger.rows()
    plain = {other: row.plain() for other, row in whole.items()}
    taken = 0
    for _ in damaged_forms(ledger, f"rows/{digest}.json"):
        found = ledger._old_rows({digest})[digest]
        if isinstance(found, str):
            assert found.strip()
            continue
        taken += 1
        row_text(found)
        if taken % 16 == 0:
            shown(document, {**plain, digest: found.plain()})
            describe(study_status(ledger), "x")
    assert 0 < taken < EXAMPLES


def test_a_damaged_record_of_a_driver_stops_nothing(study):
    ledger, _, _, _, _ = study
    small = Ledger(str(ledger.folder.local_root.parent / "empty"))
    small.folder.write(RECORD, ledger.folder.read(RECORD))
    taken = 0
    for _ in damaged_forms(small, RECORD):
        status = study_status(small)
        describe(status, "x")
        assert (status.driver is None) == (RECORD in status.damaged)
        taken += status.driver is not None
    assert 0 < taken < EXAMPLES


def test_a_damaged_lock_names_no_driver_or_one():
    claim = Claim(run="r", process=Process(host="h", number=1, boot="b", start="s"), user="u")
    whole = json.loads(claim.to_json())
    read = [Claim.from_json(mutated(whole, dice_of(number))) for number in range(EXAMPLES)]
    assert None in read
    assert any(found is not None for found in read)
    assert {found.process.gone() for found in read if found is not None} <= {None, True}


def test_a_damaged_search_stops_nothing(study):
    ledger, _, searched, _, _ = study
    rows = {digest: row.plain() for digest, row in ledger.rows().items()}
    taken = 0
    for _ in damaged_forms(ledger, f"searches/{searched.id}.json"):
        files = read_search_files(ledger.folder, searched.id)
        SearchLog(ledger.folder, searched.id).document()
        try:
            search = read_search(files)
        except DocumentError:
            continue
        taken += 1
        best_csv(search, rows), trials_csv(search)
        if taken <= DRAWN:
            search_views(search, rows)
    assert 0 < taken < EXAMPLES


def test_damaged_importances_are_made_again(study):
    ledger, _, searched, _, _ = study
    whole = read_search_files(ledger.folder, searched.id)
    assert whole.sensitivity is not None
    read, made = read_search(whole), 0
    for number in range(EXAMPLES):
        with contextlib.suppress(DocumentError):
            damaged = json_object(mutated(dict(whole.sensitivity), dice_of(number)))
            files = dataclasses.replace(whole, sensitivity=damaged)
            usable = usable_importances(files)
            made += usable is None
            for place in range(len((usable or {}).get("objectives", ()))):
                importances(dataclasses.replace(read, sensitivity=usable), place)
    assert 0 < made < EXAMPLES


def test_a_damaged_trial_is_named_and_run_again(study):
    ledger, _, searched, _, _ = study
    log = SearchLog(ledger.folder, searched.id)
    taken = 0
    files = f"searches/{searched.id}/00003.json"
    for number in damaged_forms(ledger, files):
        search = read_search(read_search_files(ledger.folder, searched.id))
        assert len(search.trials) == 10 - (files in search.damaged)
        records = log.records()
        assert records.keys() | {3} == set(range(10))
        if number % 50 == 0:
            found = Search(searched, ledger, log, trials=10)
            assert found.records.keys() | {3} == set(range(10))
        taken += 3 in records
    assert 0 < taken < EXAMPLES


def test_a_damaged_method_is_an_error_of_its_own(study):
    ledger, _, _, _, _ = study
    taken = 0
    for _ in damaged_forms(ledger, "methods/mine.json"):
        with contextlib.suppress(MethodError):
            read_method("mine", ledger.location)
            taken += 1
    assert 0 < taken < EXAMPLES


def test_damaged_arrays_are_named_and_not_drawn(study):
    ledger, plan, _, name, digest = study
    table = build_table(plan.documents[name], {other: row.plain() for other, row in ledger.rows().items()})
    found = 0
    for number in damaged_forms(ledger, f"examples/{digest}.npz", arrays=True):
        faults = {}
        arrays = sound(ledger.kept, faults)(digest)
        assert (arrays is None) == (f"examples/{digest}.npz" in faults)
        found += bool(faults)
        if arrays is not None:
            load = functools.partial({digest: arrays}.get)
            choose_examples(table, load)
            if number % 10 == 0:
                write_heatmaps([table], load, NoStage())
    assert 0 < found < EXAMPLES


def test_a_report_names_what_it_leaves_out(study, tmp_path, capsys):
    ledger, _, searched, name, digest = study
    hurt = [f"plans/{name}.json", f"rows/{digest}.json", f"examples/{digest}.npz", f"searches/{searched.id}/00003.json"]
    originals = {file: ledger.folder.read(file) for file in hurt}
    try:
        for file in hurt[:2]:
            ledger.folder.write(file, b'{"schema": 2}')
        write_report_of(ledger, str(tmp_path))
        ledger.folder.write(hurt[1], originals[hurt[1]])
        for file in hurt[2:]:
            ledger.folder.write(file, b"PK\x03\x04")
        page = (tmp_path / "index.html").read_text()
        assert "schema must be 1" in page
        assert f"plans/{name}.json" in page
        assert f"rows/{digest}.json" in page
        write_report_of(ledger, str(tmp_path))
        page = (tmp_path / "index.html").read_text()
        assert f"examples/{digest}.npz" in page
        assert f"searches/{searched.id}/00003.json" in page
        assert "Table 3" in page
    finally:
        for file, content in originals.items():
            ledger.folder.write(file, content)
    assert f"left out: plans/{name}.json" in capsys.readouterr().err
