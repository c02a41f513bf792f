"""A root that is not what the layout wants: what was found, and what to write instead."""

import re
import shutil

import pytest
from helpers.data_sets import visa
from helpers.inspection_set import write_inspection_set
from PIL import Image

from promptad.datasets import LAYOUTS, DatasetError, category_names, open_category


def repacked(root):
    """VisA as its authors' script writes it."""
    for place, names in (("train/good", "0"), ("test/good", "1"), ("test/bad", "0")):
        folder = root / "1cls" / "candle" / place
        folder.mkdir(parents=True)
        for name in names:
            Image.new("RGB", (8, 8)).save(folder / f"{name}.JPG")
    masks = root / "1cls" / "candle" / "ground_truth" / "bad"
    masks.mkdir(parents=True)
    Image.new("L", (8, 8), 255).save(masks / "0.png")
    return root / "1cls"


def own(root):
    """One's own images as `folder` wants them."""
    write_inspection_set(root, ("mug",))
    (root / "mug/train/good").rename(root / "mug/normal")
    shutil.rmtree(root / "mug/train")
    shutil.rmtree(root / "mug/ground_truth")
    return root


def refusal(layout, root, category=None):
    try:
        names = category_names(layout, root)
        open_category(layout, root, category or names[0])
    except DatasetError as error:
        return str(error)
    raise AssertionError(f"{layout}:{root} was read")


def test_the_repacked_form_of_visa_is_a_layout(tmp_path):
    category = open_category("visa_pytorch", repacked(tmp_path), "candle")
    assert [sample.name for sample in category.test] == ["test/bad/0.JPG", "test/good/1.JPG"]
    assert category.test[0].masks == (tmp_path / "1cls/candle/ground_truth/bad/0.png",)
    assert category.test[0].anomalous
    assert category.has_masks


def test_another_layout_that_reads_the_category_is_named(tmp_path):
    root = repacked(tmp_path / "visa")
    assert (
        f"candle is laid out as visa_pytorch ({LAYOUTS['visa_pytorch'].reader.form}): use --data visa_pytorch:{root}"
        in (refusal("mvtec", root))
    )
    plates = write_inspection_set(tmp_path / "plates", ("plate",))
    assert f"use --data mvtec:{plates}" in refusal("folder", plates)
    assert f"use --data mvtec:{plates}" in refusal("loco", plates)
    mugs = own(tmp_path / "mugs")
    message = refusal("mvtec", mugs)
    assert f"use --data folder:{mugs}" in message
    assert "mug must have at least one normal support image, but has none: expected <category>/train/good/*" in message
    assert "mug has images: 3 in normal, 3 in test/good, 3 in test/spot" in message


@pytest.mark.parametrize("layout", ["mvtec", "visa", "folder"])
@pytest.mark.parametrize("below", ["", "/train", "/train/good"])
def test_a_root_too_deep_names_the_right_one_and_the_category(tmp_path, layout, below):
    root = write_inspection_set(tmp_path / "data", ("plate",))
    given = layout
    if layout == "visa":
        visa(tmp_path / "data", category="candle")
        shutil.rmtree(root / "plate")
        below = below.replace("/train/good", "/Data/Images").replace("/train", "/Data")
    where = tmp_path / "data" / (("candle" if layout == "visa" else "plate") + below)
    message = refusal(given, where)
    assert f"{where} must hold categories laid out as" in message
    asked = re.search(r"use --data (\w+):(\S+) --categories (\w+)$", message)
    assert asked, message
    assert open_category(asked[1], asked[2], asked[3]).test


def test_a_root_too_high_names_the_folder_below(tmp_path):
    write_inspection_set(tmp_path / "archive" / "mvtec", ("plate",))
    message = refusal("mvtec", tmp_path / "archive")
    assert "it holds the folders mvtec: mvtec in it holds categories: use --data mvtec" in message
    assert message.endswith(f"{tmp_path}/archive/mvtec")
    assert f"use --data mvtec:{tmp_path}/archive/mvtec" in refusal("visa", tmp_path / "archive")
    assert f"--data visa_pytorch:{repacked(tmp_path / 'v')}" in refusal("visa", tmp_path / "v")


@pytest.mark.slow
def test_a_flat_folder_says_how_to_lay_images_out(tmp_path):
    flat = tmp_path / "photos"
    flat.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(flat / f"IMG_{number}.jpg")
    for layout in LAYOUTS:
        message = refusal(layout, flat)
        assert "it holds 3 images directly (IMG_0.jpg ...): give each kind of object a folder with normal/" in message
        assert f"use --data folder:{flat}" in message


@pytest.mark.slow
def test_an_empty_root_and_an_archive_are_said(tmp_path):
    assert "it holds neither folders nor images" in refusal("mvtec", tmp_path)
    (tmp_path / "mvtec.tar.xz").write_bytes(b"")
    assert "it holds the archive mvtec.tar.xz: unpack it" in refusal("mvtec", tmp_path)


@pytest.mark.parametrize(
    ("gone", "missing", "left"),
    [
        ("train", "normal support image", "3 in test/good, 3 in test/spot"),
        ("test", "anomalous test image", "3 in train/good"),
        ("test/good", "normal test image", "3 in test/spot"),
    ],
)
def test_a_category_without_what_it_needs_says_what_it_has(tmp_path, gone, missing, left):
    root = write_inspection_set(tmp_path, ("plate",))
    shutil.rmtree(root / "plate" / gone)
    message = refusal("mvtec", root, "plate")
    assert f"plate must have at least one {missing}, but has none: expected <category>/train/good/*" in message
    assert left in message
