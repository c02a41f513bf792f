import dataclasses

import pytest
from helpers.cells import make_cell

from promptad.configs.promptad_config import PromptADConfig
from study.records.cell import Cell


def test_every_field_that_can_change_a_score_changes_the_digest():
    changes = [
        {"method": "other"},
        {"config": PromptADConfig(memory_layers=(2, 4))},
        {"architecture": "ViT-B-32"},
        {"weights": "w1"},
        {"category": "disc"},
        {"data": "d1"},
        {"shots": 2},
        {"seed": 1},
        {"task": "pixel"},
        {"support": ("train/good/000.png",)},
        {"numerics": 3},
        {"activation": "quick_gelu"},
        {"artefacts": ("attention",)},
        {"query": "synthetic"},
        {"kinds": ("scratch",)},
    ]
    assert {name for change in changes for name in change} == {
        field.name for field in dataclasses.fields(Cell) if field.init
    } - {"backbone", "dataset"}
    digests = {make_cell(**change).digest for change in changes} | {make_cell().digest}
    assert len(digests) == len(changes) + 1


@pytest.mark.parametrize("change", [{"backbone": "tiny-by-another-name"}, {"dataset": "a copy"}])
def test_names_that_people_give_are_no_part_of_the_identity(change):
    assert make_cell(**change).digest == make_cell().digest


def test_the_digest_is_stable_across_processes_and_versions():
    # If it changes, every stored study is computed again.
    assert make_cell().digest == "2b4dc283a92edd2433f64dbe719b9d23"
    assert make_cell(activation="gelu").digest == "3a1923ed02bbfb6d9373e988dddf0a13"


def test_fields_at_their_default_are_no_part_of_the_digest():
    cell = make_cell()
    spelled_out = {**PromptADConfig().as_dict(), **cell.config.as_dict()}
    assert make_cell(config=PromptADConfig.from_dict(spelled_out)).digest == cell.digest
    reduced = {name: value for name, value in cell.config.as_dict().items() if name == "memory_layers"}
    assert make_cell(config=PromptADConfig.from_dict(reduced)).digest == cell.digest


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"support": ("a.png", "b.png")},
        {"artefacts": ("embedding",)},
        {"query": "synthetic"},
        {"query": "synthetic", "kinds": ("cut_paste", "stripe")},
        {"activation": "gelu"},
    ],
)
def test_json_form_round_trips(changes):
    cell = make_cell(**changes)
    assert Cell.from_dict(cell.as_dict()) == cell
    assert Cell.from_dict(cell.as_dict()).digest == cell.digest


@pytest.mark.parametrize("later", ["artefacts", "query", "activation"])
def test_rows_from_before_there_was_a_field_are_read(later):
    values = make_cell().as_dict()
    del values[later]
    assert Cell.from_dict(values) == make_cell()
