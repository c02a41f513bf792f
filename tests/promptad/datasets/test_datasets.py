"""Opening categories: every layout, and every way a data set can be wrong."""

import ast
import dataclasses
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import mvtec, names, visa, write
from helpers.inspection_set import write_inspection_set
from PIL import Image

import promptad.datasets
from promptad.datasets import LAYOUTS, Category, DatasetError, category_names, open_category


def truncate(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:1500])


def unchecked(sample):
    return dataclasses.replace(sample, content=None, mask_contents=())


@pytest.mark.parametrize("layout", ["mvtec", "mpdd"])
def test_mvtec_layout_pairs_masks_and_sorts_by_name(tmp_path, layout):
    folder = mvtec(tmp_path)
    (folder / "test/crack/Thumbs.db").write_bytes(b"x")
    (folder / "test/crack/._000.png").write_bytes(b"x")
    category = open_category(layout, tmp_path, "gear")
    assert (category.name, category.has_masks, category.left_out) == ("gear", True, ())
    assert names(category.train) == ["train/good/000.png", "train/good/001.png", "train/good/002.png"]
    assert names(category.test) == ["test/crack/000.png", "test/crack/001.png", "test/good/000.png"]
    assert [s.anomalous for s in category.test] == [True, True, False]
    assert [s.kind for s in category.test] == ["crack", "crack", "good"]
    assert category.test[1].masks == (folder / "ground_truth/crack/001_mask.png",)
    assert category.test[1].path == folder / "test/crack/001.png"
    assert category.test[2].masks == ()
    assert pickle.loads(pickle.dumps(category)) == category


def test_category_names_are_sorted_and_skip_other_folders(tmp_path):
    mvtec(tmp_path, "nut")
    mvtec(tmp_path, "bolt")
    (tmp_path / "notes").mkdir()
    (tmp_path / ".cache/train").mkdir(parents=True)
    assert category_names("mvtec", str(tmp_path)) == ("bolt", "nut")


def test_category_folder_may_be_a_symbolic_link(tmp_path):
    mvtec(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/wheel").symlink_to(tmp_path / "elsewhere/gear")
    assert len(open_category("mvtec", tmp_path / "root", "wheel").train) == 3


def test_visa_layout_follows_its_split_file(tmp_path):
    folder = visa(tmp_path)
    assert category_names("visa", tmp_path) == ("candle", "pcb1")
    category = open_category("visa", tmp_path, "candle")
    assert names(category.train) == ["Data/Images/Normal/0000.JPG", "Data/Images/Normal/0002.JPG"]
    assert names(category.test) == ["Data/Images/Anomaly/000.JPG", "Data/Images/Normal/0001.JPG"]
    assert [s.kind for s in category.test] == ["anomaly", "good"]
    assert category.test[0].masks == (folder / "Data/Masks/Anomaly/000.png",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,", r"line 3 is train,anomaly"),
        ("candle,val,normal,candle/Data/Images/Normal/0000.JPG,", r"line 3 is val,normal"),
        (
            "candle,test,normal,candle/Data/Images/Normal/0009.JPG,",
            r"images must be files below candle/, but .* line 3",
        ),
        ("candle,test,normal,pcb1/Data/Images/Normal/0000.JPG,", r"images must be files below candle/"),
        ("candle,test,normal,../candle/Data/Images/Normal/0000.JPG,", r"images must be files below candle/"),
        ("candle,test,normal,candle/../candle/Data/Images/Normal/0000.JPG,", r"images must be files below candle/"),
        ("candle,test,normal,candle/Data/Images/Normal/0002.JPG,", r"listed once, but .*Normal/0002.JPG is 2 times"),
    ],
)
def test_visa_names_the_bad_row(tmp_path, row, message):
    rows = [
        "candle,train,normal,candle/Data/Images/Normal/0002.JPG,",
        row,
        "candle,test,normal,candle/Data/Images/Normal/0001.JPG,",
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
    ]
    visa(tmp_path, rows)
    write(tmp_path / "pcb1/Data/Images/Normal/0000.JPG")
    with pytest.raises(DatasetError, match=message):
        open_category("visa", tmp_path, "candle")


def test_visa_without_its_columns_is_an_error(tmp_path):
    visa(tmp_path)
    (tmp_path / "split_csv/1cls.csv").write_text("object,set,label,image\ncandle,train,normal,x\n")
    with pytest.raises(DatasetError, match="lacks split,mask"):
        category_names("visa", tmp_path)


def test_visa_mask_column_left_empty_for_one_image(tmp_path):
    folder = visa(tmp_path)
    write(folder / "Data/Images/Anomaly/001.JPG")
    with (tmp_path / "split_csv/1cls.csv").open("a") as file:
        file.write("candle,test,anomaly,candle/Data/Images/Anomaly/001.JPG,\n")
    with pytest.raises(DatasetError, match=r"mask missing for candle/Data/Images/Anomaly/001.JPG: .* mask column"):
        open_category("visa", tmp_path, "candle")


def test_loco_layout_has_several_masks_and_ignores_validation(tmp_path):
    folder = tmp_path / "juice_bottle"
    write(folder / "train/good/000.png")
    write(folder / "validation/good/000.png")
    write(folder / "test/good/000.png")
    for kind in ("logical_anomalies", "structural_anomalies"):
        write(folder / f"test/{kind}/000.png")
        write(folder / f"ground_truth/{kind}/000/000.png", mode="L")
    write(folder / "ground_truth/logical_anomalies/000/001.png", mode="L")
    category = open_category("loco", tmp_path, "juice_bottle")
    assert names(category.train) == ["train/good/000.png"]
    assert [s.kind for s in category.test] == ["good", "logical_anomalies", "structural_anomalies"]
    assert [len(s.masks) for s in category.test] == [0, 2, 1]
    for path in (folder / "ground_truth/structural_anomalies/000").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"mask missing for juice_bottle/test/structural_anomalies/000.png"):
        open_category("loco", tmp_path, "juice_bottle")


@pytest.mark.parametrize(("support", "normal"), [("normal", "good"), ("train", "normal")])
def test_folder_layout(tmp_path, support, normal):
    folder = tmp_path / "gear"
    for index, suffix in enumerate(("png", "JPG", "jpeg", "bmp", "TIF", "tiff", "webp")):
        write(folder / support / f"{index}.{suffix}")
    write(folder / f"test/{normal}/a.bmp")
    write(folder / "test/dent/b.jpg")
    category = open_category("folder", tmp_path, "gear")
    assert len(category.train) == 7
    assert names(category.test) == sorted(["test/dent/b.jpg", f"test/{normal}/a.bmp"])
    assert sorted((s.kind, s.anomalous) for s in category.test) == [("dent", True), ("good", False)]
    assert not category.has_masks
    mask = write(folder / "masks/dent/b.png", mode="L")
    category = open_category("folder", tmp_path, "gear")
    assert category.has_masks
    assert [s.masks for s in category.test if s.anomalous] == [(mask,)]


def test_folder_layout_refuses_two_supports_and_nested_images(tmp_path):
    folder = tmp_path / "gear"
    write(folder / "normal/0.png")
    write(folder / "train/good/0.png")
    write(folder / "test/good/a.png")
    write(folder / "test/dent/b.png")
    with pytest.raises(DatasetError, match=r"(?s)2 problems.*lie directly in .*train, but good/.*has both: keep one"):
        open_category("folder", tmp_path, "gear")


@pytest.mark.parametrize("folder", ["train/good", "test/good", "test/crack"])
def test_nested_images_are_not_dropped_silently(tmp_path, folder):
    write(mvtec(tmp_path) / folder / "more/000.png")
    with pytest.raises(DatasetError, match=rf"must lie directly in .*gear/{folder}, but more/ in it holds some"):
        open_category("mvtec", tmp_path, "gear")


def test_no_masks_at_all_is_allowed_but_some_is_not(tmp_path):
    folder = mvtec(tmp_path)
    (folder / "ground_truth/crack/001_mask.png").unlink()
    expected = r"mask missing for gear/test/crack/001.png: expected .*ground_truth/crack/001_mask\.png"
    with pytest.raises(DatasetError, match=expected):
        open_category("mvtec", tmp_path, "gear")
    (folder / "ground_truth/crack/000_mask.png").unlink()
    category = open_category("mvtec", tmp_path, "gear")
    assert not category.has_masks
    assert all(sample.masks == () for sample in category.test)


def test_wrongly_named_masks_do_not_pass_for_no_masks(tmp_path):
    folder = mvtec(tmp_path)
    for index in (0, 1):
        mask = folder / f"ground_truth/crack/{index:03d}_mask.png"
        mask.rename(mask.with_name(f"{index:03d}.png"))
    with pytest.raises(DatasetError, match=r"masks must be named for their images.*000\.png; .* needs .*000_mask\.png"):
        open_category("mvtec", tmp_path, "gear")


def test_mask_of_another_size_is_an_error_even_with_skip_bad(tmp_path):
    write(mvtec(tmp_path) / "ground_truth/crack/001_mask.png", size=(6, 8), mode="L")
    for skip_bad in (False, True):
        with pytest.raises(DatasetError, match=r"001_mask.png is 6x8 and test/crack/001.png is 8x6"):
            open_category("mvtec", tmp_path, "gear", skip_bad=skip_bad)


def test_all_problems_are_reported_at_once(tmp_path):
    folder = mvtec(tmp_path)
    truncate(folder / "train/good/001.png")
    (folder / "test/good/000.png").write_bytes(b"not an image")
    (folder / "ground_truth/crack/000_mask.png").unlink()
    write(folder / "ground_truth/crack/001_mask.png", size=(6, 8), mode="L")
    with pytest.raises(DatasetError) as caught:
        open_category("mvtec", tmp_path, "gear")
    message = str(caught.value)
    assert "4 problems" in message
    assert message.count("\n- ") == 4
    assert "gear/train/good/001.png cannot be decoded (" in message
    assert "truncated" in message
    assert "gear/test/good/000.png cannot be decoded (" in message
    assert "mask missing for gear/test/crack/000.png" in message


def test_at_most_20_problems_are_listed(tmp_path):
    folder = mvtec(tmp_path)
    for index in range(100, 123):
        truncate(folder / f"train/good/{index}.png")
    with pytest.raises(DatasetError, match=r"23 problems.*(?s:.*)and 3 more$") as caught:
        open_category("mvtec", tmp_path, "gear")
    assert str(caught.value).count("cannot be decoded") == 20


def test_skip_bad_drops_bad_images_and_images_with_a_bad_mask(tmp_path):
    folder = mvtec(tmp_path)
    truncate(folder / "train/good/001.png")
    (folder / "ground_truth/crack/000_mask.png").write_bytes(b"not an image")
    category = open_category("mvtec", tmp_path, "gear", skip_bad=True)
    assert names(category.train) == ["train/good/000.png", "train/good/002.png"]
    assert names(category.test) == ["test/crack/001.png", "test/good/000.png"]
    assert [name for name, _ in category.left_out] == ["test/crack/000.png", "train/good/001.png"]
    reasons = dict(category.left_out)
    assert reasons["test/crack/000.png"].startswith("mask 000_mask.png: ")
    assert "truncated" in reasons["train/good/001.png"]
    assert not any(str(tmp_path) in reason for reason in reasons.values())


def test_skip_bad_does_not_forgive_an_empty_category(tmp_path):
    truncate(mvtec(tmp_path) / "test/good/000.png")
    with pytest.raises(DatasetError, match="at least one normal test image, but has none after 1 left out"):
        open_category("mvtec", tmp_path, "gear", skip_bad=True)


def test_skip_bad_needs_the_check(tmp_path):
    mvtec(tmp_path)
    with pytest.raises(DatasetError, match="check_images must be True with skip_bad=True"):
        open_category("mvtec", tmp_path, "gear", skip_bad=True, check_images=False)


def test_check_images_false_opens_no_file(tmp_path):
    checked = open_category("mvtec", mvtec(tmp_path).parent, "gear")
    truncate(tmp_path / "gear/train/good/001.png")
    unread = open_category("mvtec", tmp_path, "gear", check_images=False)
    assert {sample.content for sample in (*unread.train, *unread.test)} == {None}
    assert [unchecked(sample) for sample in checked.test] == list(unread.test)


@pytest.mark.parametrize(
    ("emptied", "message"),
    [
        ("train/good", "at least one normal support image, but has none: expected <category>/train/good/"),
        ("test/good", "at least one normal test image, but has none"),
        ("test/crack", "at least one anomalous test image, but has none"),
    ],
)
def test_empty_parts_are_errors(tmp_path, emptied, message):
    folder = mvtec(tmp_path)
    for path in (folder / emptied).iterdir():
        path.rename(path.with_suffix(".gif"))
    with pytest.raises(DatasetError, match=message):
        open_category("mvtec", tmp_path, "gear")


def test_decompression_bomb_is_a_clear_error(tmp_path, monkeypatch):
    mvtec(tmp_path)
    for limit in (20, 40):  # 48 pixels: an error of Pillow's above twice its limit, a warning above it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DatasetError, match=r"gear/test/crack/000.png cannot be decoded \(more pixels than Pillow"):
            open_category("mvtec", tmp_path, "gear")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_permissions_are_named(tmp_path):
    (mvtec(tmp_path) / "train/good/001.png").chmod(0)
    with pytest.raises(DatasetError, match=r"train/good/001.png cannot be decoded \(.*Permission denied"):
        open_category("mvtec", tmp_path, "gear")


def test_missing_root_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"root must be a folder, but there is none at .*nowhere"):
        open_category("mvtec", tmp_path / "nowhere", "gear")


def test_unknown_category_lists_what_is_there(tmp_path):
    mvtec(tmp_path, "nut")
    mvtec(tmp_path, "gear")
    with pytest.raises(DatasetError, match="but got 'gera': it has gear, nut"):
        open_category("mvtec", tmp_path, "gera")


def test_unknown_layout_lists_the_layouts(tmp_path):
    with pytest.raises(
        DatasetError, match="must be one of mvtec, visa, visa_pytorch, mpdd, loco, folder, but got 'MVTec'"
    ):
        category_names("MVTec", tmp_path)


def test_root_that_is_a_category_is_explained(tmp_path):
    with pytest.raises(DatasetError, match=r"gear is a category itself: use --data mvtec:\S+ --categories gear$"):
        category_names("mvtec", mvtec(tmp_path))


def test_root_without_categories_names_the_form(tmp_path):
    with pytest.raises(DatasetError, match=r"as split_csv/1cls.csv .*, but it holds neither folders nor images$"):
        category_names("visa", tmp_path)


@pytest.mark.parametrize("name", ["../gear", "..", ".", "", "a/b", "a\\b", "/gear"])
def test_category_name_cannot_leave_the_root(tmp_path, name):
    mvtec(tmp_path)
    (tmp_path / "root").mkdir()
    with pytest.raises(DatasetError, match="a category must be the name of a folder"):
        open_category("mvtec", tmp_path / "root", name)


def test_a_new_layout_is_one_entry(tmp_path, monkeypatch):
    mvtec(tmp_path)
    monkeypatch.setitem(LAYOUTS, "ours", LAYOUTS["mvtec"])
    assert isinstance(open_category("ours", tmp_path, "gear"), Category)


def test_the_package_does_not_import_torch():
    for path in Path(promptad.datasets.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] in ("torch", "torchvision", "open_clip") for name in imported), path


def test_with_normal_images_alone_nothing_of_the_test_set_is_read_or_asked_for(tmp_path):
    root = write_inspection_set(tmp_path, ("plate",))
    whole = open_category("mvtec", root, "plate")
    (root / "plate" / "test" / "good" / "000.png").write_bytes(b"no image")
    normal = open_category("mvtec", root, "plate", normal_only=True)
    origin = dataclasses.replace(whole.origin, normal_only=True)
    assert normal == dataclasses.replace(whole, test=(), has_masks=False, origin=origin)
    shutil.rmtree(root / "plate" / "test")
    assert open_category("mvtec", root, "plate", normal_only=True) == normal
    shutil.rmtree(root / "plate" / "train")
    (root / "plate" / "test").mkdir()
    with pytest.raises(DatasetError, match="plate must have at least one normal support image, but has none") as caught:
        open_category("mvtec", root, "plate", normal_only=True)
    assert "test image" not in str(caught.value)
