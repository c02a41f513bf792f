"""Preprocessing against open_clip and slow oracles; masks, thumbnails and views in the same geometry."""

import numpy as np
import pytest
import torch
from helpers.pictures import flat_pixels, noise, sample, save
from open_clip.transform import image_transform
from PIL import Image

from promptad.datasets import DatasetError, UnreadableImageError
from promptad.images.preparation import (
    CLIP_MEAN,
    CLIP_STD,
    Preprocessing,
    anomaly_in_view,
    load_image,
    load_mask,
    normalised,
    resized_pixels,
    support_views,
    thumbnail,
)

SIZES = [(64, 64), (100, 61), (61, 100), (33, 47), (24, 24), (20, 31), (300, 240), (241, 300), (64, 129)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("size", [24, 25])
def test_shorter_edge_is_open_clips_preprocessing(tmp_path, width, height, size):
    path = save(tmp_path / "a.png", noise(width, height))
    oracle = image_transform(size, is_train=False, resize_mode="shortest", interpolation="bicubic")
    assert torch.equal(load_image(path, Preprocessing(size=size)), oracle(Image.open(path)))


def test_shorter_edge_is_open_clips_for_grey_and_jpeg_too(tmp_path):
    grey = save(tmp_path / "a.png", noise(50, 37)[..., 0])
    jpeg = save(tmp_path / "b.jpg", noise(50, 37))
    oracle = image_transform(24, is_train=False)
    for path in (grey, jpeg):
        assert torch.equal(load_image(path, Preprocessing(size=24)), oracle(Image.open(path)))


def half_pixel_bilinear(pixels: np.ndarray, side: int) -> np.ndarray:
    def weights(length):
        centres = (np.arange(side) + 0.5) * length / side - 0.5
        low = np.floor(centres).astype(int)
        matrix = np.zeros((side, length))
        for row, (index, fraction) in enumerate(zip(low, centres - low, strict=True)):
            matrix[row, np.clip(index, 0, length - 1)] += 1 - fraction
            matrix[row, np.clip(index + 1, 0, length - 1)] += fraction
        return matrix

    across, down = weights(pixels.shape[1]), weights(pixels.shape[0])
    return np.einsum("yh,hwc,xw->yxc", down, pixels, across, optimize=True)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1500, 40), (30, 1200), (1024, 1024)])
def test_squash_goes_through_1024_without_antialiasing(tmp_path, width, height):
    pixels = noise(width, height)
    path = save(tmp_path / "a.png", pixels)
    intermediate = np.rint(half_pixel_bilinear(pixels, 1024)).astype(np.uint8)
    oracle = np.asarray(Image.fromarray(intermediate).resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
    got = resized_pixels(path, Preprocessing(size=24, resize="squash_via_1024"))
    assert got.shape == (24, 24, 3)
    assert abs(got.astype(int) - oracle).max() <= 1
    assert abs(got.astype(int) - oracle).mean() < 0.01


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_squash_is_open_clips_and_sees_the_whole_image(tmp_path, width, height):
    path = save(tmp_path / "a.png", noise(width, height))
    oracle = image_transform(24, is_train=False, resize_mode="squash", interpolation="bicubic")
    assert torch.equal(load_image(path, Preprocessing(size=24, resize="squash")), oracle(Image.open(path)))


def test_the_resizes_see_different_fields_of_view(tmp_path):
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :20] = 255  # the quarter that a centre crop of the middle half loses
    path = save(tmp_path / "a.png", pixels)
    assert resized_pixels(path, Preprocessing(size=20))[:, 2:].max() == 0
    for resize in ("squash_via_1024", "squash"):
        squashed = resized_pixels(path, Preprocessing(size=20, resize=resize))
        assert squashed[:, :4].min() > 240


@pytest.mark.parametrize(
    ("column", "row", "seen"),
    [(3, 0, False), (4, 0, True), (9, 5, True), (10, 5, False), (0, 0, False), (13, 5, False)],
)
def test_anomalies_outside_the_crop_are_not_in_view(tmp_path, column, row, seen):
    # 14x6 at shorter edge 3: the network sees columns 4 to 9 of all rows.
    stored = np.zeros((6, 14), dtype=np.uint8)
    stored[row, column] = 1
    pixels = save(tmp_path / "a.png", stored)
    for flipped in (False, True):
        path = save(tmp_path / "b.png", stored.T if flipped else stored)
        image = sample(pixels, (path,))
        assert anomaly_in_view(image, Preprocessing(size=3)) == seen
        assert anomaly_in_view(image, Preprocessing(size=3, resize="squash"))
        assert anomaly_in_view(image, Preprocessing(size=3, resize="squash_via_1024"))


@pytest.mark.parametrize(("column", "seen"), [(0, False), (1, True), (5, True), (6, False)])
def test_a_pixel_at_the_border_of_the_crop_is_in_view(tmp_path, column, seen):
    # 7x4 at shorter edge 3 is 5x3, the crop columns 1 to 3 of these: 1.4 to 5.6 of the stored ones.
    stored = np.zeros((4, 7), dtype=np.uint8)
    stored[2, column] = 1
    path = save(tmp_path / "a.png", stored)
    assert anomaly_in_view(sample(path, (path,)), Preprocessing(size=3)) == seen


def test_an_anomaly_is_in_view_in_part_or_in_one_of_several_masks(tmp_path):
    # 5x4 at shorter edge 4: the crop is columns 0 to 3 (halves to even); at 2 it is 2x2 of 2x2, scale 2.5 across.
    halves = np.zeros((4, 5), dtype=np.uint8)
    halves[:, 4] = 1
    edge = save(tmp_path / "edge.png", halves)
    assert not anomaly_in_view(sample(edge, (edge,)), Preprocessing(size=4))
    assert anomaly_in_view(sample(edge, (edge,)), Preprocessing(size=2))
    inside = save(tmp_path / "inside.png", np.roll(halves, 2, axis=1))
    assert anomaly_in_view(sample(edge, (edge, inside)), Preprocessing(size=4))
    empty = save(tmp_path / "empty.png", np.zeros((4, 5), dtype=np.uint8))
    assert not anomaly_in_view(sample(edge, (empty,)), Preprocessing(size=4, resize="squash"))


def test_normalisation_by_hand_and_bgr():
    pixels = np.array([[[255, 51, 0]]], dtype=np.uint8)
    settings = {"size": 1, "mean": (0.5, 0.4, 0.3), "std": (0.5, 0.2, 0.1)}
    torch.testing.assert_close(
        normalised(pixels, Preprocessing(**settings)).flatten(), torch.tensor([1.0, -1.0, -3.0]), rtol=0, atol=1e-6
    )
    # Blue comes first and meets the mean and the deviation of red, as in the released code.
    torch.testing.assert_close(
        normalised(pixels, Preprocessing(**settings, channels="bgr")).flatten(),
        torch.tensor([-1.0, -1.0, 7.0]),
        rtol=0,
        atol=1e-5,
    )


def test_bgr_reverses_the_input_but_not_the_pixels(tmp_path):
    path = save(tmp_path / "a.png", noise(30, 30))
    flat = {"size": 24, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    rgb, bgr = Preprocessing(**flat), Preprocessing(**flat, channels="bgr")
    assert torch.equal(load_image(path, bgr), load_image(path, rgb).flip(0))
    assert not torch.equal(load_image(path, bgr), load_image(path, rgb))
    assert np.array_equal(resized_pixels(path, bgr), resized_pixels(path, rgb))


@pytest.mark.parametrize(("stored", "grey"), [(0, 0), (257, 1), (25700, 100), (65535, 255), (385, 1), (386, 2)])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, stored, grey):
    path = save(tmp_path / "a.png", np.full((4, 4), stored, dtype=np.uint16))
    assert flat_pixels(path, "full_range") == [grey] * 3
    path = save(tmp_path / "a.tif", np.full((4, 4), stored, dtype=np.int32))
    assert flat_pixels(path, "full_range") == [grey] * 3


def test_other_modes_become_rgb(tmp_path):
    Image.new("RGBA", (4, 4), (10, 20, 30, 128)).save(tmp_path / "alpha.png")
    Image.new("LA", (4, 4), (40, 0)).save(tmp_path / "grey_alpha.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "transparent.png", transparency=b"\x00\x80")
    Image.new("1", (4, 4), 1).save(tmp_path / "bits.png")
    assert flat_pixels(tmp_path / "alpha.png") == [10, 20, 30]
    assert flat_pixels(tmp_path / "grey_alpha.png") == [40, 40, 40]
    assert flat_pixels(tmp_path / "palette.png") == [200, 100, 50]
    assert flat_pixels(tmp_path / "transparent.png") == [200, 100, 50]
    assert flat_pixels(tmp_path / "bits.png") == [255, 255, 255]


def test_unreadable_files_name_themselves(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImageError, match=r"a.png does not \(cannot identify image file"):
        load_image(tmp_path / "a.png", Preprocessing(size=4))
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match="floating-point pixels have no known range"):
        load_image(tmp_path / "a.tif", Preprocessing(size=4))
    save(tmp_path / "b.tif", np.full((4, 4), 70000, dtype=np.int32))
    with pytest.raises(UnreadableImageError, match=r"must be in 0\.\.65535, but span 70000\.\.70000"):
        load_image(tmp_path / "b.tif", Preprocessing(size=4))


def test_mask_is_the_union_and_any_positive_value_counts(tmp_path):
    first, second = np.zeros((8, 8), dtype=np.uint8), np.zeros((8, 8), dtype=np.uint8)
    first[1, 2], second[5, 6], second[5, 7] = 1, 255, 3
    masks = (save(tmp_path / "m.png", first), save(tmp_path / "n.png", second))
    image = save(tmp_path / "a.png", noise(8, 8))
    mask = load_mask(sample(image, masks), preprocessing=Preprocessing(size=8), size=8)
    assert mask.dtype == np.bool_
    assert np.argwhere(mask).tolist() == [[1, 2], [5, 6], [5, 7]]


def test_palette_masks_go_by_colour_and_alpha_does_not_count(tmp_path):
    inverted = Image.new("P", (4, 4), 1)
    inverted.putpalette([255, 255, 255, 0, 0, 0])
    inverted.putpixel((3, 0), 0)
    inverted.save(tmp_path / "p.png")
    opaque = Image.new("RGBA", (4, 4), (0, 0, 0, 255))
    opaque.putpixel((0, 3), (0, 9, 0, 255))
    opaque.save(tmp_path / "q.png")
    image = save(tmp_path / "a.png", noise(4, 4))
    masks = (tmp_path / "p.png", tmp_path / "q.png")
    mask = load_mask(sample(image, masks), preprocessing=Preprocessing(size=4), size=4)
    assert np.argwhere(mask).tolist() == [[0, 3], [3, 0]]


@pytest.mark.parametrize("resize", ["shorter_edge", "squash_via_1024", "squash"])
@pytest.mark.parametrize(("width", "height"), [(90, 60), (61, 133), (64, 64)])
def test_mask_lies_where_the_image_shows_it(tmp_path, resize, width, height):
    stored = np.zeros((height, width), dtype=np.uint8)
    stored[height // 2 - 9 : height // 2 + 5, width // 2 - 12 : width // 2 + 20] = 255
    image = save(tmp_path / "a.png", stored)
    preprocessing = Preprocessing(size=48, resize=resize)
    seen = resized_pixels(image, preprocessing)[..., 0]
    mask = load_mask(sample(image, (image,)), preprocessing=preprocessing, size=48)
    inside, outside = seen > 200, seen < 55
    assert mask[inside].all()
    assert not mask[outside].any()
    assert (inside | outside).mean() > 0.85
    # The field of view does not depend on the resolution asked for.
    larger = load_mask(sample(image, (image,)), preprocessing=preprocessing, size=144)
    assert abs(larger.mean() - mask.mean()) < 0.03
    small = thumbnail(sample(image), preprocessing, 48)[..., 0]
    assert abs(small.astype(int) - seen).mean() < 4


def test_mask_sampling_by_hand(tmp_path):
    # 14x6 at shorter edge 3 is 7x3: the middle 6x6; samples at source rows (1, 3, 5) and columns 4 + (1, 3, 5).
    stored = np.zeros((6, 14), dtype=np.uint8)
    stored[1, 5] = stored[5, 9] = 1
    stored[0] = stored[:, 4] = stored[:, 10] = 1
    image = save(tmp_path / "a.png", stored)
    mask = load_mask(sample(image, (image,)), preprocessing=Preprocessing(size=3), size=3)
    assert np.argwhere(mask).tolist() == [[0, 0], [2, 2]]


def test_masks_of_normal_and_of_unmasked_images(tmp_path):
    image = save(tmp_path / "a.png", noise(8, 8))
    normal = load_mask(sample(image, anomalous=False), preprocessing=Preprocessing(size=8), size=5)
    assert normal.shape == (5, 5)
    assert not normal.any()
    with pytest.raises(DatasetError, match=r"a\.png must have a ground-truth mask to be scored by pixel"):
        load_mask(sample(image), preprocessing=Preprocessing(size=8), size=5)
    masks = (save(tmp_path / "m.png", noise(8, 8)), save(tmp_path / "n.png", noise(8, 4)))
    with pytest.raises(DatasetError, match="must have one size"):
        load_mask(sample(image, masks), preprocessing=Preprocessing(size=8), size=5)


def test_thumbnail_is_rgb_and_cropped(tmp_path):
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[..., 0] = 250
    pixels[:, :15] = 9
    image = save(tmp_path / "a.png", pixels)
    small = thumbnail(sample(image), Preprocessing(size=20, channels="bgr"))
    assert small.shape == (160, 160, 3)
    assert small.dtype == np.uint8
    assert (small == (250, 0, 0)).all()


def test_views_are_five_rotations_by_four_translations():
    pixels = noise(32, 32)
    views = support_views(pixels, 4)
    assert len(views) == 20
    assert all(view.shape == (32, 32, 3) and view.dtype == np.uint8 for view in views)
    assert np.array_equal(views[0], pixels)
    assert len({view.tobytes() for view in views}) == 20
    assert all(np.array_equal(a, b) for a, b in zip(views, support_views(pixels, 4), strict=True))


def test_translations_move_the_content_and_reflect_the_border():
    pixels = noise(20, 16)
    _, right, down, both = support_views(pixels, 3)[:4]
    assert np.array_equal(right[:, 3:], pixels[:, :-3])
    assert np.array_equal(right[:, :3], pixels[:, 3:0:-1])
    assert np.array_equal(down[3:], pixels[:-3])
    assert np.array_equal(down[:3], pixels[3:0:-1])
    assert np.array_equal(both[3:, 3:], pixels[:-3, :-3])


@pytest.mark.parametrize(("view", "degrees"), [(4, 2.5), (8, -2.5), (12, 5.0), (16, -5.0)])
def test_rotations_turn_about_the_centre(view, degrees):
    rows, columns = np.mgrid[:101, :101] - 50
    # A spot 40 pixels right of the centre; turned counter-clockwise it rises by 40 sin(degrees).
    spot = 255 * np.exp(-((rows**2) + (columns - 40) ** 2) / 8)
    turned = support_views(np.repeat(spot[..., None], 3, axis=2).astype(np.uint8), 5)[view][..., 0].astype(float)
    row, column = (rows * turned).sum() / turned.sum(), (columns * turned).sum() / turned.sum()
    assert row == pytest.approx(-40 * np.sin(np.radians(degrees)), abs=0.1)
    assert column == pytest.approx(40 * np.cos(np.radians(degrees)), abs=0.1)


@pytest.mark.parametrize(("width", "height", "shift"), [(32, 32, 1), (240, 240, 8), (50, 20, 7)])
def test_no_view_sees_past_the_reflection(width, height, shift):
    white = np.full((height, width, 3), 255, dtype=np.uint8)
    assert all((view == 255).all() for view in support_views(white, shift))


@pytest.mark.parametrize("side", range(20, 60, 3))
def test_rotated_views_are_those_of_an_endless_reflection(side):
    pixels = noise(side, side)
    wide = Image.fromarray(np.pad(pixels, ((60, 60), (60, 60), (0, 0)), mode="reflect"))
    turned = np.asarray(wide.rotate(5.0, Image.Resampling.BICUBIC)).astype(int)
    assert abs(support_views(pixels, 4)[15] - turned[56 : 56 + side, 56 : 56 + side]).max() <= 1


def test_view_errors():
    with pytest.raises(ValueError, match="shift must be at least 1 pixel, but got 0"):
        support_views(noise(8, 8), 0)
    with pytest.raises(ValueError, match=r"pixels must be uint8 .*, but got float64 \(8, 8, 3\)"):
        support_views(noise(8, 8).astype(float), 2)
    with pytest.raises(ValueError, match=r"pixels must be uint8 .*, but got uint8 \(8, 8\)"):
        support_views(noise(8, 8)[..., 0], 2)


def test_keys_tell_settings_apart_and_stay():
    base = {"size": 240}
    variants = [
        {},
        {"size": 224},
        {"resize": "squash_via_1024"},
        {"resize": "squash"},
        {"channels": "bgr"},
        {"bit_depth": "full_range"},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
    ]
    assert len({Preprocessing(**(base | variant)).key() for variant in variants}) == len(variants)
    assert Preprocessing(size=240, mean=CLIP_MEAN, std=CLIP_STD).key() == (
        "shorter_edge-240-rgb-upright-by_maximum-mean0.48145466,0.4578275,0.40821073-std0.26862954,0.26130258,0.27577711"
    )
    assert (
        Preprocessing(size=1, mean=(0, 0, 0), std=(1, 1, 1)).key()
        == Preprocessing(size=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)).key()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be at least 1, but got 0"),
        ({"resize": "longest"}, "resize must be one of shorter_edge, squash_via_1024, squash, but got 'longest'"),
        ({"channels": "RGB"}, "channels must be one of rgb, bgr, but got 'RGB'"),
        ({"bit_depth": "12"}, "bit_depth must be one of by_maximum, .*, but got '12'"),
        ({"mean": (0.5,)}, "mean and std must have 3 values"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above 0"),
        ({"size": 0, "channels": "x"}, "size must .*; channels must"),
    ],
)
def test_impossible_preprocessing(settings, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**({"size": 8} | settings))
