"""A metric, a method and a transformation that are added as ``docs/architecture.md`` says, each seen on the page."""

import json

import numpy as np
import pytest
from helpers.added_study import page_of
from helpers.additions import DistanceConfig

from ablations.paper.methods import METHODS as ROWS
from ablations.paper.methods import PaperMethod, method_arm
from promptad.configs.method_config import ConfigError
from promptad.configs.method_table import METHODS, MethodEntry
from promptad.configs.parts import MissingPartError
from promptad.configs.transformation_table import TRANSFORMATIONS, Transformation
from promptad.methods import method_named
from promptad.scoring.metric_table import METRICS, MeasureError, Metric, measured

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
    (row,) = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "study" / "rows").glob("*.json")]
    assert (row["cell"]["method"], row["cell"]["config"]["weight"]) == ("distance", 2.0)


@pytest.mark.usefixtures("distance")
def test_a_row_of_the_papers_tables_names_the_method_that_runs_it(monkeypatch):
    monkeypatch.setitem(ROWS, "Distance", PaperMethod(runs="distance"))
    assert method_arm("Distance").runs == "distance"
    with pytest.raises(TypeError, match="runs"):
        PaperMethod()


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
    (row,) = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "study" / "rows").glob("*.json")]
    assert (row["status"], row["cell"]["config"]["transformation"]) == ("ok", "kk")


def test_a_transformation_whose_rule_is_not_there_says_so():
    with pytest.raises(MissingPartError, match=r"the rule of transformation Half must be at .*, but .* has no no_rule"):
        Transformation(title="Half", rule=ADDED("no_rule")).attention()
    with pytest.raises(TypeError, match="rule"):
        Transformation(title="Half")
