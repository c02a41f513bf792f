"""Masks that cannot be right get a hint; what is only unusual is used as it is."""

import numpy as np
import pytest
from helpers.data_sets import mvtec, write
from PIL import Image

from promptad.datasets import DatasetError, open_category
from study.planning.data_source import DataSource


def category_of(tmp_path, masks, mode="L"):
    """A category whose anomalous images have these masks (arrays of 6 x 8 pixels)."""
    folder = mvtec(tmp_path)
    for path in (*(folder / "test/crack").iterdir(), *(folder / "ground_truth/crack").iterdir()):
        path.unlink()
    for number, mask in enumerate(masks):
        write(folder / f"test/crack/{number:03d}.png")
        path = folder / f"ground_truth/crack/{number:03d}_mask.png"
        Image.fromarray(mask).convert(mode).save(path)
    return folder


def mask(pixels, value=255):
    flat = np.zeros(48, np.uint8)
    flat[:pixels] = value
    return flat.reshape(6, 8)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([5, 5, 24], []),
        ([5, 0, 5], ["the masks of 1 image (test/crack/001.png) are all black although the images are anomalous"]),
        ([5, 48, 5], ["the masks of 1 image (test/crack/001.png) are (nearly) all white"]),
        (
            [40, 43, 5],
            ["the masks of 2 images (test/crack/000.png, test/crack/001.png), of 3 with masks, mark more than"],
        ),
        (
            [0, 0, 0, 0],
            ["the masks of 4 images (test/crack/000.png, test/crack/001.png, test/crack/002.png, ...) are all"],
        ),
    ],
)
def test_suspicious_masks_are_named_and_used(tmp_path, pixels, expected):
    category_of(tmp_path, [mask(count) for count in pixels])
    category = open_category("mvtec", tmp_path, "gear")
    assert category.has_masks
    assert [caution[: len(start)] for caution, start in zip(category.cautions, expected, strict=True)] == expected


@pytest.mark.parametrize("value", [1, 3, 128, 255])
def test_masks_of_small_values_are_used_without_a_word(tmp_path, value):
    category_of(tmp_path, [mask(5, value)])
    assert open_category("mvtec", tmp_path, "gear").cautions == ()


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_masks_in_the_alpha_channel_are_refused_all_at_once(tmp_path, colour, mode):
    folder = category_of(tmp_path, [mask(5), mask(7)])
    for path in (folder / "ground_truth/crack").iterdir():
        shape = Image.open(path)
        flat = Image.new("L", shape.size, colour)
        Image.merge(mode, [flat] * (len(mode) - 1) + [shape]).save(path)
    with pytest.raises(DatasetError, match=r"(?s)2 problems:.*000_mask\.png has its shape in the alpha.*001_mask\.png"):
        open_category("mvtec", tmp_path, "gear")


def test_masks_with_an_opaque_alpha_channel_are_read_by_colour(tmp_path):
    category_of(tmp_path, [mask(5)], mode="RGBA")
    assert open_category("mvtec", tmp_path, "gear").cautions == ()


def test_a_mask_that_fits_its_turned_image_either_way_is_said(tmp_path):
    folder = category_of(tmp_path, [mask(5)])
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (8, 6)).save(folder / "test/crack/000.png", exif=exif)
    (caution,) = open_category("mvtec", tmp_path, "gear").cautions
    assert "1 image (test/crack/000.png) have an EXIF orientation and masks without one" in caution
    exif[0x0112] = 6
    Image.new("RGB", (10, 6)).save(folder / "test/crack/000.png", exif=exif)
    with pytest.raises(DatasetError, match=r"is 8x6 and test/crack/000\.png is 6x10 after its EXIF orientation"):
        open_category("mvtec", tmp_path, "gear")


def test_files_of_different_depths_are_said(tmp_path):
    folder = category_of(tmp_path, [mask(5)])
    for number, top in enumerate((4000, 3000, 900)):
        Image.fromarray(np.full((6, 8), top, np.uint16)).save(folder / f"train/good/{number:03d}.png")
    (caution,) = open_category("mvtec", tmp_path, "gear").cautions
    assert "(10 bits: 1 image (train/good/002.png); 12 bits: 2 images (train/good/00" in caution
    assert caution.endswith("set one, such as bit_depth=12_bits")


def test_cautions_are_told_again_of_data_that_were_checked_before(tmp_path):
    category_of(tmp_path, [mask(0)])
    source = DataSource(name="mvtec", layout="mvtec", root=str(tmp_path))
    first, second = (source.checked("gear", skip_bad=False).data for _ in range(2))
    assert first == second
    assert first.cautions == second.cautions
    assert len(second.cautions) == 1
