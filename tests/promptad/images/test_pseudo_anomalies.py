import numpy as np
import pytest

from promptad.images.pseudo_anomalies import DEFECTS, LARGEST_SHARE, cut_paste, perlin_noise

NAMES = sorted(DEFECTS)


def picture(seed=0, shape=(48, 64)):
    draws = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    grey = 120 + 40 * np.sin(rows / 3) + 30 * np.cos(columns / 5) + draws.normal(0, 5, shape)
    return np.stack([grey, grey * 0.8, grey * 0.6 + 30], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_outside_the_mask_is_untouched_and_the_inside_is_altered(name):
    for seed in range(20):
        pixels = picture(seed)
        altered, mask = DEFECTS[name](pixels, np.random.default_rng(seed))
        assert altered.shape == pixels.shape
        assert altered.dtype == np.uint8
        assert mask.shape == pixels.shape[:2]
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(altered[~mask], pixels[~mask])
        assert (altered[mask] != pixels[mask]).any()
        assert 0 < mask.mean() <= LARGEST_SHARE


@pytest.mark.parametrize("name", NAMES)
def test_the_same_generator_gives_the_same_defect_and_another_one_another(name):
    first, again, other = (DEFECTS[name](picture(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != other[1]).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_image_itself_is_left_alone(name):
    pixels = picture()
    before = pixels.copy()
    DEFECTS[name](pixels, np.random.default_rng(0))
    np.testing.assert_array_equal(pixels, before)


def test_cut_paste_moves_a_scaled_rectangle():
    pixels = picture()
    altered, mask = cut_paste(pixels, np.random.default_rng(5))
    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert mask.sum() == height * width
    patch = altered[rows.min() :, columns.min() :][:height, :width].astype(float)
    # Somewhere in the image there is the same rectangle up to one factor.
    residuals = []
    for top in range(pixels.shape[0] - height + 1):
        for left in range(pixels.shape[1] - width + 1):
            source = pixels[top : top + height, left : left + width].astype(float)
            factor = (source * patch).sum() / (source * source).sum()
            residuals.append(np.abs(factor * source - patch).max())
    assert min(residuals) < 1.5


def test_perlin_noise_is_zero_on_grid_points_and_stays_in_its_range():
    noise = perlin_noise((64, 32), (4, 2), np.random.default_rng(1))
    np.testing.assert_allclose(noise[::16, ::16], 0, atol=1e-12)
    assert np.abs(noise).max() <= 1
    assert noise.std() > 0.1


def test_perlin_noise_in_the_middle_of_a_cell_is_the_mean_of_its_corners():
    generator = np.random.default_rng(2)
    angles = np.random.default_rng(2).uniform(0, 2 * np.pi, (2, 2))
    noise = perlin_noise((8, 8), (1, 1), generator)
    offsets = {(0, 0): (0.5, 0.5), (0, 1): (0.5, -0.5), (1, 0): (-0.5, 0.5), (1, 1): (-0.5, -0.5)}
    corners = [np.sin(angles[k]) * down + np.cos(angles[k]) * right for k, (down, right) in offsets.items()]
    assert noise[4, 4] == pytest.approx(np.sqrt(2) * np.mean(corners))


@pytest.mark.parametrize(
    "pixels", [np.zeros((48, 48, 3)), np.zeros((48, 48), np.uint8), np.zeros((8, 48, 3), np.uint8)]
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match="pixels must be uint8 of shape"):
        cut_paste(pixels, np.random.default_rng(0))
