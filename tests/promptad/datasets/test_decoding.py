"""Files to pixels: bit depths, EXIF orientations, and shapes that no camera makes."""

import resource
import struct
import zlib
from typing import get_args

import numpy as np
import pytest
from helpers.pictures import flat_pixels, noise, sample, save
from PIL import Image

from promptad.datasets import UnreadableImageError
from promptad.datasets.bit_depth import BitDepth
from promptad.datasets.decoding import decode, decode_image, read_frame
from promptad.images import preparation
from promptad.images.preparation import Preprocessing, load_mask, resized_pixels


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (256, 10), (1023, 10), (4095, 12), (4096, 14), (16384, 16)])
def test_the_depth_of_a_16_bit_file_is_that_of_its_largest_value(tmp_path, top, bits):
    values = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    for path in (save(tmp_path / "a.png", values), save(tmp_path / "a.tif", values.astype(np.int32))):
        found = decode(path)
        assert found.bits == bits
        expected = np.floor(values / (2**bits - 1) * 255 + 0.5).astype(np.uint8)
        assert np.array_equal(np.asarray(found.image)[..., 0], expected)
        assert decode(save(tmp_path / "b.png", (values // 257).astype(np.uint8))).bits is None


def test_twelve_bits_keep_256_levels_and_a_fixed_depth_refuses_more(tmp_path):
    path = save(tmp_path / "a.png", (np.arange(4096) % 4096).astype(np.uint16).reshape(64, 64))
    levels = {rule: len(np.unique(np.asarray(decode_image(path, rule)))) for rule in get_args(BitDepth)[:2]}
    assert levels == {"by_maximum": 256, "full_range": 17}
    assert np.array_equal(np.asarray(decode_image(path, "12_bits")), np.asarray(decode_image(path)))
    with pytest.raises(UnreadableImageError, match=r"10_bits holds values up to 1023, .* is 4095: use 12_bits or more"):
        decode_image(path, "10_bits")
    stretched = np.asarray(
        decode_image(save(tmp_path / "b.png", np.array([[7000, 7100, 7200]], np.uint16)), "percentile")
    )
    assert stretched[0, :, 0].tolist() == [0, 128, 255]


def test_16_bit_colours_that_would_be_black_are_refused(tmp_path):
    def png(value):
        row = b"\0" + struct.pack(">3H", *[value] * 3) * 4
        parts = (
            (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(row * 4)),
            (b"IEND", b""),
        )
        chunks = (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts
        )
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
        return tmp_path / "a.png"

    assert flat_pixels(png(65535)) == [255] * 3
    assert flat_pixels(png(0)) == [0] * 3
    with pytest.raises(UnreadableImageError, match="only the upper 8 bits can be read, which here are at most 15"):
        decode(png(4095))


@pytest.mark.parametrize("size", [(1, 20000), (20000, 1)])
@pytest.mark.parametrize("resize", ["shorter_edge", "squash", "squash_via_1024"])
def test_thin_images_do_not_take_the_machines_memory(tmp_path, size, resize):
    Image.new("RGB", size, (9, 20, 30)).save(tmp_path / "a.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = resized_pixels(tmp_path / "a.png", Preprocessing(size=240, resize=resize))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 2**10
    assert pixels.shape == (240, 240, 3)
    assert (pixels == (9, 20, 30)).all()


def test_cropping_first_sees_what_scaling_first_sees(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", noise(20, 300))
    whole = resized_pixels(path, Preprocessing(size=24)).astype(int)
    monkeypatch.setattr(preparation, "MOST_ELONGATED", 2)
    difference = np.abs(resized_pixels(path, Preprocessing(size=24)).astype(int) - whole)
    # Of pure noise: Pillow rounds between its two passes, over other rows.
    assert difference.max() <= 20
    assert difference.mean() < 1


def oriented(path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    pixels = noise(40, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif, **lossless)
    turned = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels),
    }
    expected = turned.get(orientation, pixels)
    found = decode(tmp_path / f"a.{suffix}")
    assert np.array_equal(np.asarray(found.image), expected)
    assert found.orientation == (orientation if orientation in turned else 1)
    frame = read_frame(tmp_path / f"a.{suffix}")
    assert (frame.width, frame.height, frame.orientation) == (*found.image.size, found.orientation)


def test_a_damaged_exif_block_is_no_orientation(tmp_path):
    pixels = noise(40, 24)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffnonsense")
    assert np.array_equal(np.asarray(decode_image(tmp_path / "a.png")), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_with_its_image_where_it_fits_the_stored_one_alone(tmp_path, orientation):
    image = oriented(tmp_path / "a.png", noise(40, 24), orientation)
    stored = noise(40, 24)[..., 0] > 128
    upright = (
        np.asarray(decode(oriented(tmp_path / "m.png", stored.astype(np.uint8) * 255, orientation)).image)[..., 0] > 0
    )
    save(tmp_path / "stored.png", stored.astype(np.uint8) * 255)
    save(tmp_path / "upright.png", upright.astype(np.uint8) * 255)
    views = {"preprocessing": Preprocessing(size=120, resize="squash"), "size": 120}
    right = load_mask(sample(image, (tmp_path / "upright.png",)), **views)
    assert right.any()
    assert np.array_equal(load_mask(sample(image, (tmp_path / "m.png",)), **views), right)
    found = load_mask(sample(image, (tmp_path / "stored.png",)), **views)
    # Where both fit (1 to 4), a mask without a tag is one of the upright picture.
    assert np.array_equal(found, right) == (orientation not in (2, 3, 4))
