"""Whatever bytes a file holds, it is read or refused with its name; whatever pixels it holds are read again."""

import io
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from promptad.datasets import UnreadableImageError
from promptad.datasets.bit_depth import BitDepth
from promptad.datasets.decoding import decode, decode_mask, read_frame, read_mask
from promptad.datasets.grey_levels import stored_bits

thoroughly = settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def encoded(mode, kind, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 16) if mode == "I;16" else Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(file, format=kind, exif=exif)
    return file.getvalue()


FILES = [
    encoded(mode, kind, orientation)
    for kind, modes in {
        "PNG": ("RGB", "L", "LA", "P", "1", "RGBA", "I;16"),
        "JPEG": ("RGB", "L", "CMYK"),
        "TIFF": ("RGB", "L", "I;16", "1", "P"),
        "BMP": ("RGB", "L", "1"),
        "WEBP": ("RGB", "RGBA"),
    }.items()
    for mode in modes
    for orientation in (1, 6)
]


@st.composite
def damaged(draw):
    """A valid file with some bytes changed, cut off, doubled or put before it; now and then nothing but noise."""
    content = bytearray(draw(st.sampled_from(FILES)))
    for place, byte in draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)):
        content[int(place * len(content))] = byte
    cut = draw(st.integers(0, len(content)))
    match draw(st.sampled_from(["as it is", "cut", "doubled", "after noise", "noise"])):
        case "cut":
            content = content[:cut]
        case "doubled":
            content = content[:cut] + content
        case "after noise":
            content = bytearray(draw(st.binary(max_size=8))) + content
        case "noise":
            content = bytearray(draw(st.binary(max_size=64)))
    return bytes(content)


def read_or_refused(read):
    try:
        return read()
    except UnreadableImageError as error:
        return error


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    """A changed header can ask for a gigapixel."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)


@pytest.mark.slow
@thoroughly
@given(content=damaged(), rule=st.sampled_from(get_args(BitDepth)))
def test_an_image_is_read_or_refused_with_its_name(tmp_path, content, rule):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    found = read_or_refused(lambda: decode(path, rule))
    if isinstance(found, UnreadableImageError):
        assert "a.png" in str(found)
        assert found.reason
        assert str(tmp_path) not in found.reason
        return
    assert found.image.mode == "RGB"
    frame = read_frame(path)
    assert (frame.width, frame.height, frame.orientation) == (*found.image.size, found.orientation)


@pytest.mark.slow
@thoroughly
@given(content=damaged())
def test_a_mask_is_read_or_refused_with_its_name(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    found = read_or_refused(lambda: read_mask(path, lambda: read_frame(path)))
    if isinstance(found, UnreadableImageError):
        assert "a.png" in str(found)
        assert found.reason
        return
    assert found.anomalous.dtype == bool
    assert found.anomalous.ndim == 2
    frame = read_frame(path)
    assert found.anomalous.shape == (frame.height, frame.width)


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@pytest.mark.slow
@thoroughly
@given(pixels=arrays.arrays(np.uint8, shapes), suffix=st.sampled_from(["png", "bmp", "tif"]))
def test_grey_levels_of_8_bit_files_are_those_stored_by_every_rule(tmp_path, pixels, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    for rule in get_args(BitDepth):
        assert np.array_equal(np.asarray(decode(path, rule).image), np.repeat(pixels[..., None], 3, axis=2))
    assert np.array_equal(decode_mask(path), pixels > 0)


@pytest.mark.slow
@thoroughly
@given(pixels=arrays.arrays(np.uint16, shapes), suffix=st.sampled_from(["png", "tif"]))
def test_16_bit_files_keep_their_order_and_fill_their_range(tmp_path, pixels, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    found = decode(path)
    assert found.bits == stored_bits(pixels)
    order = np.argsort(pixels, axis=None)
    for rule in ("by_maximum", "full_range", "percentile"):
        grey = np.asarray(decode(path, rule).image)[..., 0].reshape(-1)[order].astype(int)
        assert (np.diff(grey) >= 0).all()
    exact = pixels / (2**found.bits - 1) * 255
    assert np.abs(np.asarray(found.image)[..., 0] - exact).max() <= 0.5 + 1e-9
    assert np.array_equal(decode_mask(path), pixels > 0)
