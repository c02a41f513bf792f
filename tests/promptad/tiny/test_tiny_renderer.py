import numpy as np
import pytest

from promptad.tiny.render import fields
from promptad.tiny.render.families import BENCHMARK, TRAINING, VALIDATION, Family

ALL = (*TRAINING, *VALIDATION, *BENCHMARK)
SIZE = 48


def render(family: Family, product: int, sample: int, size: int = SIZE):
    return family.render(product, np.random.default_rng(sample), size)


def test_no_family_is_in_two_sets_and_training_has_at_least_23():
    names = [family.name for family in ALL]
    painters = [family.paint for family in ALL]
    assert len(set(names)) == len(names)
    assert len(set(painters)) == len(painters)
    assert len(TRAINING) >= 23


@pytest.mark.slow
@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_rendering_is_fixed_by_product_and_sample(family):
    scene = render(family, 5, 7)
    assert scene.image.shape == (SIZE, SIZE, 3)
    assert scene.image.dtype == np.float32
    assert 0.0 <= scene.image.min() < scene.image.max() <= 1.0
    np.testing.assert_array_equal(scene.image, render(family, 5, 7).image)
    assert np.abs(scene.image - render(family, 5, 8).image).mean() > 1e-3
    assert np.abs(scene.image - render(family, 6, 7).image).mean() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_layers_describe_the_image(family):
    scene = render(family, 5, 7)
    if scene.is_texture:
        np.testing.assert_array_equal(scene.body, 1.0)
    else:
        assert 0.02 < scene.body.mean() < 0.95
        off_product = scene.body == 0.0
        np.testing.assert_allclose(scene.image[off_product], scene.backdrop[off_product], atol=1e-6)
    for part in scene.parts:
        assert np.abs(scene.image - scene.beneath)[part > 0.3].max() > 0.02
    if not scene.parts and not scene.is_texture:
        np.testing.assert_array_equal(scene.image, scene.beneath)


def test_one_product_looks_the_same_at_two_resolutions():
    small, large = render(TRAINING[15], 3, 4, 48).image, render(TRAINING[15], 3, 4, 96).image
    shrunk = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - shrunk).mean() < 0.03


def test_samples_of_a_product_are_closer_than_products():
    family = next(family for family in TRAINING if family.name == "tablet")
    within, between = [], []
    for product in range(8):
        image = render(family, product, 0).image
        within.append(np.abs(image - render(family, product, 1).image).mean())
        between.append(np.abs(image - render(family, product + 100, 1).image).mean())
    assert np.median(within) < 0.5 * np.median(between)


def test_noise_has_unit_variance_and_the_same_bumps_at_any_size():
    samples = np.stack([fields.noise(np.random.default_rng(seed), 64, 8) for seed in range(40)])
    assert abs(samples.mean()) < 0.1
    assert 0.8 < samples.std() < 1.2
    coarse = fields.noise(np.random.default_rng(3), 32, 4)
    fine = fields.noise(np.random.default_rng(3), 64, 4)
    np.testing.assert_allclose(coarse, fine.reshape(32, 2, 32, 2).mean(axis=(1, 3)), atol=0.05)


def test_signed_distances_by_hand():
    x, y = np.asarray([0.0, 3.0, 0.0]), np.asarray([0.0, 4.0, 2.0])
    np.testing.assert_allclose(fields.disk(x, y, 1.0), [-1.0, 4.0, 1.0])
    np.testing.assert_allclose(fields.box(x, y, 2.0, 1.0), [-1.0, np.hypot(1.0, 3.0), 1.0], rtol=1e-6)
    np.testing.assert_allclose(fields.segment(x, y, (-1.0, 0.0), (1.0, 0.0)), [0.0, np.hypot(2, 4), 2.0], rtol=1e-6)
    np.testing.assert_allclose(fields.polygon(x, y, 4, 1.0), [-1.0, 3.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(
        fields.polyline(x, y, np.asarray([(-1.0, 0.0), (1.0, 0.0), (1.0, 4.0)])), [0.0, 2.0, 1.0], atol=1e-6
    )


def test_pixel_centres_and_turn():
    x, y = fields.coordinates(4)
    np.testing.assert_allclose(x[0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(y[:, 0], [-0.75, -0.25, 0.25, 0.75])
    u, v = fields.turn(np.asarray([1.0]), np.asarray([0.0]), np.pi / 2)
    np.testing.assert_allclose([u[0], v[0]], [0.0, -1.0], atol=1e-6)
