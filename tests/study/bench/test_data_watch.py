"""What changes, goes or comes between plan and cell is noticed: in the decoder, before each cell, in the study."""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.inspection_set import write_inspection_set
from PIL import Image

from ablations import Ablation, Factor, OneFactorAtATime
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import ChangedDataError, DataWatch, open_category
from promptad.datasets.bit_depth import BitDepth
from promptad.datasets.content import content_digest, digest_of_file
from promptad.datasets.decoding import decode, decode_mask
from promptad.features.cache import FeatureCache
from promptad.features.extraction import file_inputs
from promptad.images.preparation import Preprocessing, anomaly_in_view, load_mask, thumbnail
from study.bench.workbench import Workbench
from study.planning.data_source import DataSource
from study.planning.plan import plan_study
from study.planning.request import StudyRequest
from study.records.ledger import Ledger
from study.running.execution_options import Listeners
from study.running.serial import run_serially

DEPTH: BitDepth = "by_maximum"
PLAIN = Preprocessing(size=32)


def overwrite(path: Path) -> None:
    """Another picture or another mask."""
    pixels = np.array(Image.open(path))
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels).save(path)


@pytest.fixture
def plate(tmp_path):
    return open_category("mvtec", write_inspection_set(tmp_path, ("plate",)), "plate")


def folder_of(category) -> Path:
    return category.origin.root / category.name


def test_a_category_is_opened_with_the_digests_of_the_bytes_that_were_decoded(plate):
    for sample in (*plate.train, *plate.test):
        assert sample.content == digest_of_file(sample.path) == content_digest(sample.path.read_bytes())
        assert sample.mask_contents == tuple(digest_of_file(mask) for mask in sample.masks)


def test_what_is_decoded_is_what_was_hashed_or_an_error_that_names_the_file(plate):
    good, spot = plate.train[0], next(sample for sample in plate.test if sample.anomalous)
    (inputs,) = file_inputs([good.path], PLAIN)
    overwrite(good.path)
    overwrite(spot.masks[0])
    for read, name in (
        (lambda: decode(good.path, DEPTH, content=good.content), good.path.name),
        (lambda: thumbnail(good, PLAIN), good.path.name),
        (inputs.pixels, good.path.name),
        (lambda: decode_mask(spot.masks[0], content=spot.mask_contents[0]), spot.masks[0].name),
        (lambda: load_mask(spot, preprocessing=PLAIN, size=32), spot.masks[0].name),
        (lambda: anomaly_in_view(spot, PLAIN), spot.masks[0].name),
    ):
        with pytest.raises(ChangedDataError, match=rf"{name} has other bytes: put the files back, or run the same"):
            read()
    good.path.unlink()
    with pytest.raises(ChangedDataError, match=rf"{good.path.name} is gone"):
        thumbnail(good, PLAIN)


def rename_kind(folder: Path) -> None:
    (folder / "test" / "spot").rename(folder / "test" / "blot")


CHANGES = {
    "image": (lambda f: overwrite(f / "test/good/001.png"), r"1 changed \(test/good/001\.png\)"),
    "support": (lambda f: overwrite(f / "train/good/002.png"), r"1 changed \(train/good/002\.png\)"),
    "mask": (lambda f: overwrite(f / "ground_truth/spot/000_mask.png"), r"1 changed \(ground_truth/spot/000_mask"),
    "gone": (lambda f: (f / "test/spot/002.png").unlink(), r"1 gone or unreadable \(test/spot/002\.png\)"),
    "mask gone": (lambda f: (f / "ground_truth/spot/001_mask.png").unlink(), r"gone or unreadable \(ground_truth/spot"),
    "new": (lambda f: Image.new("RGB", (64, 64)).save(f / "test/good/009.png"), r"1 new \(test/good/009\.png\)"),
    "new support": (lambda f: Image.new("RGB", (64, 64)).save(f / "train/good/9.png"), r"1 new \(train/good/9\.png\)"),
    "kind": (rename_kind, r"3 gone or unreadable \(test/spot/000.png.*\), 3 new \(test/blot/000\.png"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("looked_before", [False, True])
def test_every_change_is_named(plate, change, looked_before):
    watch = DataWatch(threads=2)
    if looked_before:
        watch.check(plate)
    do, message = CHANGES[change]
    do(folder_of(plate))
    for _ in range(2):
        with pytest.raises(ChangedDataError, match=message):
            watch.check(plate)


def test_bytes_of_equal_number_are_compared(plate):
    watch, path = DataWatch(threads=1), plate.train[1].path
    watch.check(plate)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChangedDataError, match=r"1 changed \(train/good/001\.png\)"):
        watch.check(plate)


def test_all_changes_are_named_at_once(plate):
    folder = folder_of(plate)
    for change in ("image", "mask", "gone", "new"):
        CHANGES[change][0](folder)
    with pytest.raises(ChangedDataError, match=r"of plate are 2 changed \(.*\), 1 gone .*, 1 new .*: put the files"):
        DataWatch(threads=1).check(plate)


def test_bytes_put_back_are_the_planned_ones_again(plate):
    path, watch = plate.test[0].path, DataWatch(threads=1)
    before = path.read_bytes()
    overwrite(path)
    with pytest.raises(ChangedDataError):
        watch.check(plate)
    path.write_bytes(before)
    watch.check(plate)


def test_a_file_is_hashed_once_by_a_process_unless_it_looks_changed(plate, monkeypatch):
    import promptad.datasets.watch as watched

    read = []
    monkeypatch.setattr(watched, "digest_of_file", lambda path: read.append(path) or digest_of_file(path))
    monkeypatch.setattr(watched.time, "time_ns", lambda: plate.test[0].path.stat().st_ctime_ns + 10**11)
    watch = DataWatch(threads=1)
    watch.check(plate)
    assert len(read) == len(set(read)) == 12
    watch.check(plate)
    assert len(read) == 12
    os.utime(plate.test[0].path)
    watch.check(plate)
    assert read[12:] == [plate.test[0].path]


def test_a_test_set_does_not_matter_where_it_is_not_asked_about(plate):
    watch, normal = DataWatch(threads=1), open_category("mvtec", plate.origin.root, "plate", normal_only=True)
    CHANGES["image"][0](folder_of(plate))
    CHANGES["new"][0](folder_of(plate))
    watch.check(plate, normal_only=True)
    watch.check(normal)
    CHANGES["new support"][0](folder_of(plate))
    with pytest.raises(ChangedDataError, match="1 new"):
        watch.check(plate, normal_only=True)


def test_images_left_out_as_unreadable_are_not_new(tmp_path):
    root = write_inspection_set(tmp_path, ("plate",))
    (root / "plate/test/good/000.png").write_bytes(b"no image")
    category = open_category("mvtec", root, "plate", skip_bad=True)
    assert len(category.left_out) == 1
    DataWatch(threads=1).check(category)


QUICK = Ablation(
    name="quick",
    title="Memories of two sizes",
    question="Does the memory see more with another share of neighbours?",
    design=OneFactorAtATime(factors=(Factor.of("map_smoothing", 4.0, 2.0, label="smoothing"),)),
    metrics=("pixel_auroc",),
)


def quick_plan(root: Path):
    return plan_study(
        StudyRequest(
            ablations=(QUICK,),
            backbone="tiny",
            source=DataSource(name="mvtec", layout="mvtec", root=str(root)),
            base=PromptADConfig(map_size=48, pad=False, vad=True),
            seeds=2,
            shots=(1,),
        )
    )


def run_plan(plan, ledger, cache, on_finished=lambda _: None):
    bench = Workbench(cache=FeatureCache(cache), device="cpu", threads=1)
    run_serially(bench, ledger, plan.groups(plan.cells), Listeners(on_finished=on_finished))
    return ledger.rows(plan.cells)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["image", "mask", "gone", "new"])
def test_cells_after_a_change_in_the_middle_of_a_group_fail_by_name_and_the_next_run_plans_anew(
    tmp_path, change, monkeypatch
):
    # The data change right after the first row, not a moment later.
    monkeypatch.setattr("study.running.serial.INTERVAL", 0.0)
    root = write_inspection_set(tmp_path / "data", ("plate",))
    plan, ledger = quick_plan(root), Ledger(str(tmp_path / "study"))
    do, message = CHANGES[change]
    finished = []

    def after_the_first(each):
        finished.append(each)
        if len(finished) == 1:
            do(root / "plate")

    rows = run_plan(plan, ledger, tmp_path / "cache", after_the_first)
    assert [each.status for each in finished] == ["ok", *["failed"] * (len(plan.cells) - 1)]
    reasons = {row.reason for row in rows.values() if row.status == "failed"}
    assert all(re.search(rf"{message}.*run the same command again", reason) for reason in reasons)
    if change == "gone":
        (root / "plate/ground_truth/spot/002_mask.png").unlink()
    again = quick_plan(root)
    assert not again.cells.keys() & plan.cells.keys()
    rows = run_plan(again, ledger, tmp_path / "cache")
    assert {row.status for row in rows.values()} == {"ok"}


@pytest.mark.slow
def test_features_in_the_cache_do_not_hide_a_change(tmp_path):
    root = write_inspection_set(tmp_path / "data", ("plate",))
    plan, ledger = quick_plan(root), Ledger(str(tmp_path / "study"))
    rows = run_plan(plan, ledger, tmp_path / "cache")
    assert {row.status for row in rows.values()} == {"ok"}
    CHANGES["image"][0](root / "plate")
    rows = run_plan(plan, Ledger(str(tmp_path / "other")), tmp_path / "cache")
    assert {row.status for row in rows.values()} == {"failed"}


@pytest.mark.slow
def test_a_cell_is_not_run_on_a_category_with_another_digest(tmp_path):
    plan = quick_plan(write_inspection_set(tmp_path, ("plate",)))
    (group,) = plan.groups(plan.cells)
    bench = Workbench(cache=None, device="cpu", threads=1)
    cell = dataclasses.replace(group.cells[0], data="0" * 32)
    bench.start_group([cell], group.categories)
    with pytest.raises(ChangedDataError, match=rf"must be {'0' * 32}, as planned, but are {group.cells[0].data}"):
        bench.run(cell)
