"""A metric, a method, its row and a transformation that are added as ``docs/architecture.md`` says."""

import runpy

import numpy as np
import pytest
from helpers.added_study import page_of
from helpers.additions import DistanceConfig
from helpers.documents import documents_of
from helpers.places import ROOT
from helpers.plans import request
from helpers.stored_rows import stored_rows

from ablations.paper.methods import METHODS as ROWS
from ablations.paper.methods import PaperMethod
from ablations.paper.tables import TABLE1, TABLE4
from promptad.configs.method_config import ConfigError
from promptad.configs.method_table import METHODS, MethodEntry
from promptad.configs.parts import MissingPartError
from promptad.configs.transformation_table import TRANSFORMATIONS, Transformation
from promptad.methods import method_named
from promptad.scoring.metric_table import METRICS, MeasureError, Metric, measured
from study.planning.plan import plan_study

ADDED = "helpers.additions:{}".format


def test_a_metric_is_an_entry(inspection_root, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "pixel_f1", Metric(title="Best pixel F1", task="pixel", measure=ADDED("best_f1")))
    page = page_of(tmp_path, f"mvtec:{inspection_root}", table='metrics=("pixel_f1", "pixel_auroc")')
    assert "Best pixel F1" in page


def test_a_metric_whose_measure_lacks_it_or_is_not_there_says_so(monkeypatch):
    half = Metric(title="Half", task="image", measure="promptad.scoring.metrics:image_measures")
    monkeypatch.setitem(METRICS, "half", half)
    with pytest.raises(MeasureError, match=r"metric half must be among what .*image_measures returns, but"):
        measured("image", np.array([True, False]), np.array([1.0, 0.0]))
    monkeypatch.setitem(METRICS, "half", Metric(title="Half", task="image", measure=ADDED("no_metric")))
    with pytest.raises(MissingPartError, match=r"the measure of metric Half must be at .*, but .* has no no_metric"):
        measured("image", np.array([True, False]), np.array([1.0, 0.0]))


@pytest.fixture
def distance(monkeypatch):
    """The added method."""
    entry = MethodEntry(
        title="Distance", config=DistanceConfig, factory=ADDED("Distance"), min_shots=1, tasks=("image",)
    )
    monkeypatch.setitem(METHODS, "distance", entry)


@pytest.mark.slow
@pytest.mark.usefixtures("distance")
def test_a_method_is_a_file_a_config_and_an_entry(inspection_root, tmp_path):
    row = 'runs="distance", changes={"weight": 2.0}'
    page = page_of(tmp_path, f"mvtec:{inspection_root}", arm=row, table='metrics=("image_auroc",)')
    assert "my row" in page
    (row,) = stored_rows(tmp_path / "study").values()
    assert (row["cell"]["method"], row["cell"]["config"]["weight"]) == ("distance", 2.0)


@pytest.mark.usefixtures("distance")
def test_a_row_of_the_papers_tables_is_an_entry_that_names_its_method_and_its_tables(inspection_root, monkeypatch):
    monkeypatch.setitem(ROWS, "Distance", PaperMethod(runs="distance", tables=("table1", "table6")))
    tables = runpy.run_path(str(ROOT / "ablations" / "paper" / "tables.py"))
    plan = plan_study(
        request(inspection_root, ablations=tables["TABLES"][:1], categories=("plate",), seeds=1, shots=(1, 2))
    )
    (document,) = documents_of(plan)
    assert [arm["name"] for arm in document["arms"]] == [*(arm.name for arm in TABLE1.arms), "Distance"]
    assert [cell.method for cell in plan.cells.values()].count("distance") == 2
    assert tables["TABLE6"].arms[-1].name == "Distance"
    assert tables["TABLE4"] == TABLE4


def test_a_row_of_the_papers_tables_that_forgets_a_part_or_names_no_table_says_so():
    with pytest.raises(TypeError, match="runs"):
        PaperMethod()
    with pytest.raises(ValueError, match=r"tables of a method must be among table1, .*, but there is table3, tabel4"):
        PaperMethod(runs="patchcore", tables=("table1", "table3", "tabel4"))


def test_a_method_that_forgets_a_part_says_which(monkeypatch):
    with pytest.raises(TypeError, match="factory"):
        MethodEntry(title="Half", config=DistanceConfig, min_shots=1)
    half = MethodEntry(title="Half", config=DistanceConfig, factory=ADDED("NoMethod"), min_shots=1)
    monkeypatch.setitem(METHODS, "half", half)
    with pytest.raises(MissingPartError, match=r"the factory of method Half must be at .*, but .* has no NoMethod"):
        method_named("half")
    with pytest.raises(ConfigError, match="weight must be above 0, but got -1"):
        DistanceConfig(weight=-1.0)


@pytest.mark.slow
def test_a_transformation_is_a_rule_and_an_entry(inspection_root, tmp_path, monkeypatch):
    monkeypatch.setitem(TRANSFORMATIONS, "kk", Transformation(title="KK-CLIP", rule=ADDED("key_to_key")))
    row = 'changes={"transformation": "kk", "prompts": "ensemble"}'
    page = page_of(tmp_path, f"mvtec:{inspection_root}", arm=row)
    assert "my row" in page
    (row,) = stored_rows(tmp_path / "study").values()
    assert (row["status"], row["cell"]["config"]["transformation"]) == ("ok", "kk")


def test_a_transformation_whose_rule_is_not_there_says_so():
    with pytest.raises(MissingPartError, match=r"the rule of transformation Half must be at .*, but .* has no no_rule"):
        Transformation(title="Half", rule=ADDED("no_rule")).attention()
    with pytest.raises(TypeError, match="rule"):
        Transformation(title="Half")
