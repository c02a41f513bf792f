import dataclasses
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.benches import FAST, planned, run_all
from helpers.inspection_set import write_inspection_set
from helpers.plans import request

from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import ChangedDataError, data_digest
from promptad.features import extraction
from promptad.features.cache import FeatureCache
from promptad.scoring.metrics import auroc, pixel_metrics_of
from study.bench.workbench import Workbench
from study.planning.data_source import DataSource
from study.planning.plan import plan_study
from study.records.group import Group

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def group(inspection_root):
    return planned(inspection_root)


@pytest.fixture(scope="module")
def outcomes(group):
    return run_all(group)


def scores(outcomes):
    return {digest: (outcome.row.scores, outcome.row.test_images) for digest, outcome in outcomes.items()}


def test_scores_do_not_depend_on_the_order_of_cells_or_on_the_cache(group, outcomes, tmp_path):
    cache = FeatureCache(tmp_path)
    assert scores(run_all(group, cache=cache, order=-1)) == scores(outcomes)
    assert scores(run_all(group, cache=cache)) == scores(outcomes)


def test_each_image_is_encoded_once_for_all_cells(group, tmp_path, monkeypatch):
    encoded = []
    real = extraction.encoded_views

    def counting(backbone, images, *rest):
        encoded.extend(image.tobytes() for image in images)
        return real(backbone, images, *rest)

    monkeypatch.setattr(extraction, "encoded_views", counting)
    run_all(group, cache=FeatureCache(tmp_path))
    assert len(encoded) == len(set(encoded))
    # Six test images, and at most one support image for each of two seeds.
    assert 7 <= len(encoded) <= 8


def test_rows_record_what_was_run(group, outcomes):
    for cell in group.cells:
        row = outcomes[cell.digest].row
        assert row.cell == cell
        assert row.status == "ok"
        assert set(row.scores) == ({"image_auroc", "image_aupr"} if cell.task == "image" else {"pixel_auroc", "pro"})
        assert len(row.support_images) == 1
        assert row.support_images[0].startswith("train/good/")
        assert row.test_images["name"] == [sample.name for sample in group.categories[0].test]
        assert row.seconds["total"] >= row.seconds["fit"] > 0
        assert row.provenance["device"] == "cpu"
        assert row.curve is None


def test_image_scores_are_those_of_the_recorded_images(group, outcomes):
    for cell in group.cells:
        images = outcomes[cell.digest].row.test_images
        if cell.task == "image":
            expected = auroc(np.array(images["anomalous"], bool), np.array(images["score"]))
            assert outcomes[cell.digest].row.scores["image_auroc"] == expected


def test_arms_of_a_seed_share_their_support_image(group, outcomes):
    for seed in (0, 1):
        supports = {outcomes[cell.digest].row.support_images for cell in group.cells if cell.seed == seed}
        assert len(supports) == 1


def test_a_fixed_support_is_the_same_for_all_seeds(inspection_root):
    outcomes = run_all(planned(inspection_root, support_draw="fixed", epochs=1))
    assert len({outcome.row.support_images for outcome in outcomes.values()}) == 1


def test_examples_are_the_best_and_worst_located_images(group, outcomes):
    cell = next(cell for cell in group.cells if cell.task == "pixel" and cell.config.vad)
    examples = outcomes[cell.digest].examples
    assert list(examples["pixel_auroc"]) == sorted(examples["pixel_auroc"], reverse=True)
    assert len(examples["names"]) == 3
    assert examples["anomalous"].all()
    assert examples["thumbnails"].shape == (3, 160, 160, 3)
    assert examples["masks"].any(axis=(1, 2)).all()
    assert np.isfinite(examples["visual"]).all()
    without = next(cell for cell in group.cells if cell.task == "pixel" and not cell.config.vad)
    assert np.isnan(outcomes[without.digest].examples["visual"]).all()
    assert all(outcomes[cell.digest].examples is None for cell in group.cells if cell.task == "image")


def test_selection_on_test_keeps_the_best_epoch_and_the_whole_curve(inspection_root):
    last = planned(inspection_root, epochs=4, learning_rate=0.5)
    best = planned(inspection_root, epochs=4, learning_rate=0.5, selection="best_on_test")
    last_rows = {key(cell): row for cell, row in rows_of(last)}
    for cell, row in rows_of(best):
        if not cell.config.pad:
            # Nothing is learned, so there are no epochs to choose from.
            assert row.curve is None
            continue
        metric = f"{cell.task}_auroc"
        assert row.curve["epochs"] == [1, 2, 3, 4]
        assert row.scores[metric] == max(row.curve[metric])
        assert last_rows[key(cell)].scores[metric] == row.curve[metric][-1]


def rows_of(group):
    outcomes = run_all(group)
    return [(cell, outcomes[cell.digest].row) for cell in group.cells]


def key(cell):
    return cell.task, cell.seed, cell.config.pad, cell.config.sc, cell.config.eam, cell.config.vad


def test_other_weights_than_planned_are_refused(group):
    cells = [dataclasses.replace(cell, weights="other") for cell in group.cells]
    with pytest.raises(ValueError, match="weights of tiny must be other, as planned"):
        Workbench(cache=None, device="cpu", threads=1).start_group(cells, group.categories)


def test_pixel_scores_are_the_metrics_of_the_finished_maps(group, monkeypatch):
    seen = []

    def recording(parts):
        seen.extend((masks.shape, maps.shape) for masks, maps in parts)
        return pixel_metrics_of(parts)

    monkeypatch.setattr("study.bench.ground_truth.metrics.pixel_metrics_of", recording)
    cell = next(cell for cell in group.cells if cell.task == "pixel")
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    bench.run(cell)
    assert seen == [((6, 48, 48), (6, 48, 48))]


def test_a_test_set_too_large_to_hold_gives_the_same_row(group, outcomes, monkeypatch):
    monkeypatch.setattr("promptad.scoring.maps.HELD_PIXELS", 0)
    monkeypatch.setattr("promptad.scoring.maps.IMAGES_AT_ONCE", 4)
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    for cell in [cell for cell in group.cells if cell.task == "pixel"][:2]:
        found, expected = bench.run(cell), outcomes[cell.digest]
        assert found.row.scores == expected.row.scores
        assert found.row.test_images == expected.row.test_images
        assert found.examples.keys() == expected.examples.keys()
        for name, array in expected.examples.items():
            np.testing.assert_array_equal(found.examples[name], array)


def test_threads_are_those_assigned_whatever_the_shell_exports():
    code = (
        "import torch; from study.bench.workbench import Workbench; Workbench(cache=None, device='cpu', threads=2); "
        "print(torch.get_num_threads())"
    )
    for exported in ("1", "7"):
        environment = os.environ | {"OMP_NUM_THREADS": exported, "MKL_NUM_THREADS": exported}
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert ran.stdout.strip() == "2", ran.stderr


class NoTensors(pickle.Pickler):
    """Refuses what Ray would copy at every step of its way."""

    def reducer_override(self, value):
        assert not isinstance(value, torch.Tensor), "a tensor would travel through the object store"
        return NotImplemented


def test_what_travels_between_processes_is_small_and_holds_no_feature(group, outcomes):
    for thing in (group, group.cells[0], *outcomes.values()):
        written = io.BytesIO()
        NoTensors(written).dump(thing)
        assert written.tell() < 400_000
    with pytest.raises(AssertionError, match="through the object store"):
        NoTensors(io.BytesIO()).dump({"feature": torch.zeros(2)})


def synthetic(root, **changes):
    """A group whose cells are asked about pseudo-anomalies, on a data set whose test images are gone."""
    for path in (root / "plate" / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    source = DataSource(name="mvtec", layout="mvtec", root=str(root))
    category = source.checked("plate", skip_bad=False, normal_only=True)
    plan = planned(write_inspection_set(root.parent / "whole"), epochs=2)
    cells = [
        dataclasses.replace(cell, query="synthetic", data=category.digest, **changes)
        for cell in plan.cells
        if cell.config.vad and cell.config.pad
    ]
    return Group(categories=(category.data,), cells=tuple(cells))


@pytest.mark.parametrize(("shots", "note"), [(1, "augmented views of the one support image"), (2, "1 held-out")])
def test_a_synthetic_cell_reads_no_test_image(tmp_path, shots, note):
    group = synthetic(write_inspection_set(tmp_path / "data"), shots=shots)
    outcomes = run_all(group)
    for cell in group.cells:
        row = outcomes[cell.digest].row
        assert row.cell == cell
        assert len(row.support_images) == 1
        assert all(" of train/good/" in name for name in row.test_images["name"])
        assert sum(row.test_images["anomalous"]) == 24
        assert note in row.provenance["queries"]
        assert 0.5 < next(iter(row.scores.values())) <= 1
        held_out = {name.rpartition(" of ")[2] for name in row.test_images["name"]}
        assert (held_out == set(row.support_images)) == (shots == 1)


def test_a_synthetic_cell_beside_cells_of_the_test_set_reads_no_test_image_either(tmp_path):
    group = planned(write_inspection_set(tmp_path / "data"), epochs=1)
    for sample in group.categories[0].test:
        sample.path.write_bytes(b"no image")
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    normal = data_digest(dataclasses.replace(group.categories[0], test=(), has_masks=False))
    assert bench.run(dataclasses.replace(group.cells[0], query="synthetic", data=normal)).row.status == "ok"
    with pytest.raises(ChangedDataError, match=r"6 changed \(test/good/000.png, .*and 1 more\)"):
        bench.run(group.cells[0])


def test_categories_that_come_again_are_not_read_again(inspection_root, monkeypatch):
    plan = plan_study(request(inspection_root, base=PromptADConfig().with_changes(FAST | {"epochs": 1}), seeds=1))
    groups = plan.groups(plan.cells)
    read = []
    monkeypatch.setattr(Workbench, "_extract", counting_calls(Workbench._extract, read))
    for kept, expected in ((True, 2), (False, 4)):
        read.clear()
        bench = Workbench(cache=None, device="cpu", threads=1, all_categories=kept)
        for group in (*groups, *groups):
            bench.start_group(group.cells, group.categories)
            bench.run(group.cells[0])
        # Each cell also reads its support image.
        assert len(read) == 4 + expected


def counting_calls(real, calls):
    def counted(self, *arguments):
        calls.append(arguments)
        return real(self, *arguments)

    return counted
