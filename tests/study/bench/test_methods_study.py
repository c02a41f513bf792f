"""Every method from plan to row: one protocol, each image encoded once, rows that tell what ran."""

import pytest
from helpers.benches import FAST
from helpers.method_groups import group_of, run

from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from promptad.features import extraction
from promptad.features.cache import FeatureCache
from study.records.row import Row


@pytest.mark.slow
def test_all_methods_run_in_one_group_and_share_their_features(inspection_root, tmp_path, monkeypatch):
    group = group_of(inspection_root, *METHODS)
    encoded = []
    real = extraction.encoded_views

    def counting(backbone, images, *rest):
        encoded.extend(image.tobytes() for image in images)
        return real(backbone, images, *rest)

    monkeypatch.setattr(extraction, "encoded_views", counting)
    outcomes = run(group, FeatureCache(tmp_path))
    assert len(outcomes) == sum(len(entry.tasks) for entry in METHODS.values())
    # Six test images and one support image, all methods together.
    assert len(encoded) == len(set(encoded)) == 7
    for cell, outcome in zip(group.cells, outcomes, strict=True):
        row = outcome.row
        assert (row.status, row.cell) == ("ok", cell)
        assert type(row.cell.config) is METHODS[cell.method].config
        assert Row.from_json(row.to_json()) == row
        assert set(row.scores) == ({"image_auroc", "image_aupr"} if cell.task == "image" else {"pixel_auroc", "pro"})
        if cell.task == "pixel":
            assert (cell.config.map_size, cell.config.map_smoothing) == (FAST["map_size"], 1.0)
            assert outcome.examples["fused"].shape[0] == len(outcome.examples["names"])
    assert len({cell.digest for cell in group.cells}) == len(group.cells)


@pytest.mark.slow
def test_methods_that_learn_in_epochs_are_selected_as_promptad_is(inspection_root):
    base = PromptADConfig().with_changes(FAST | {"selection": "best_on_test"})
    learning = [name for name, entry in METHODS.items() if "epochs" in entry.config().as_dict()]
    assert set(learning) >= {"promptad", "cocoop", "maple"}
    for outcome in run(group_of(inspection_root, *learning, "rwda", base=base)):
        cell, curve = outcome.row.cell, outcome.row.curve
        if cell.method == "rwda":
            assert (cell.config.selection, curve) == ("last", None)
            continue
        metric = f"{cell.task}_auroc"
        assert cell.config.selection == "best_on_test"
        assert curve["epochs"] == [1.0, 2.0, 3.0]
        assert outcome.row.scores[metric] == max(curve[metric])


@pytest.mark.slow
def test_cells_without_support_images(inspection_root):
    outcomes = run(group_of(inspection_root, "winclip", "rwda", shots=(0,)))
    assert [outcome.row.support_images for outcome in outcomes] == [(), (), ()]
    outcomes = run(group_of(inspection_root, "winclip", shots=(0,)))
    beside = run(group_of(inspection_root, "winclip", shots=(1,)))
    assert [outcome.row.scores for outcome in outcomes] == [outcome.row.scores for outcome in beside]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_row_of_an_unknown_field_or_method_is_not_read(inspection_root, name):
    cell = group_of(inspection_root, name).cells[0]
    values = cell.as_dict()
    assert type(cell).from_dict(values) == cell
    with pytest.raises(ValueError, match="config has no field unknown"):
        type(cell).from_dict({**values, "config": {**values["config"], "unknown": 1}})
    with pytest.raises(ValueError, match="a cell's method must be one of promptad, patchcore"):
        type(cell).from_dict({**values, "method": "nothing"})
