"""Losses of prompt learning against values computed by hand, and their gradients against differences."""

import math

import pytest
import torch

from promptad.prompts.losses import alignment_loss, contrastive_loss, margin_loss, prototype


def vectors(*rows):
    return torch.tensor(rows, dtype=torch.float64)


# The mean of (3, 0) and (0, 4) is (1.5, 2), which normalises to (0.6, 0.8); their normalised mean would be diagonal.
NORMAL = vectors((3.0, 0.0), (0.0, 4.0))
RIGHT = vectors((2.0, 0.0))
"""Anomaly features whose prototype is (1, 0)."""


def approx(value):
    return pytest.approx(value, rel=1e-12, abs=1e-15)


def test_prototype_normalises_the_mean():
    torch.testing.assert_close(prototype(NORMAL), vectors((0.6, 0.8))[0])


def test_contrastive_loss_of_one_image():
    # z meets the normal prototype with cosine 1, the anomaly prompt (1, 0) with 0.6.
    expected = math.log(1 + math.exp(3 * (0.6 - 1)))
    assert contrastive_loss(vectors((0.6, 0.8)), NORMAL, RIGHT, 3.0).item() == approx(expected)


def test_contrastive_loss_meets_every_anomaly_prompt_and_not_their_mean():
    anomaly = vectors((5.0, 0.0), (0.0, -2.0))
    expected = math.log(1 + math.exp(2 * (0.6 - 1)) + math.exp(2 * (-0.8 - 1)))
    assert contrastive_loss(vectors((0.6, 0.8)), NORMAL, anomaly, 2.0).item() == approx(expected)


def test_contrastive_loss_averages_over_images_and_patches():
    patches = vectors((0.6, 0.8), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
    cosines = [(1.0, 0.6), (0.6, 1.0), (0.8, 0.0), (-0.6, -1.0)]
    expected = sum(math.log(1 + math.exp(anomaly - normal)) for normal, anomaly in cosines) / 4
    for z in (patches, patches.view(2, 2, 2), patches.view(1, 4, 2)):
        assert contrastive_loss(z, NORMAL, RIGHT, 1.0).item() == approx(expected)


def test_euclidean_margin():
    # (1, 0) is at sqrt(0.4^2 + 0.8^2) from the normal and at 0 from the anomaly prototype; (0.6, 0.8) the other way.
    z = vectors((1.0, 0.0), (0.6, 0.8))
    expected = math.sqrt(0.8) / 2
    for shaped in (z, z[None], z[:, None]):
        assert margin_loss(shaped, NORMAL, RIGHT, "euclidean").item() == approx(expected)


def test_squared_margin_of_the_image_task_sums_over_the_embedding():
    z = vectors((1.0, 0.0), (0.6, 0.8))
    assert margin_loss(z, NORMAL, RIGHT, "squared_over_second_axis").item() == approx(0.8 / 2)


def test_squared_margin_of_the_pixel_task_sums_over_the_patches():
    # One image, patches (1, 0) and (0.8, 0.6). Channel 0: 0.4^2 + 0.2^2 to normal, 0 + 0.2^2 to anomaly: 0.16.
    # Channel 1: 0.8^2 + 0.2^2 to normal, 0 + 0.6^2 to anomaly: 0.32. The hinge's mean is over the two channels.
    z = vectors((1.0, 0.0), (0.8, 0.6))[None]
    assert margin_loss(z, NORMAL, RIGHT, "squared_over_second_axis").item() == approx((0.16 + 0.32) / 2)


def test_a_margin_is_added_to_the_difference_of_each_feature():
    # Differences: (1, 0) sqrt(0.8), (0.6, 0.8) -sqrt(0.8), (0, 1) sqrt(0.4) - sqrt(2) = -0.7818; hinges at 0.8: the
    # first and the third remain. Squared: 0.8, -0.8 and 0.4 - 2 = -1.6; hinges at 1: the first two.
    z = vectors((1.0, 0.0), (0.6, 0.8), (0.0, 1.0))
    expected = (math.sqrt(0.8) + 0.8 + 0.8 + math.sqrt(0.4) - math.sqrt(2)) / 3
    assert margin_loss(z, NORMAL, RIGHT, "euclidean", 0.8).item() == approx(expected)
    assert margin_loss(z, NORMAL, RIGHT, "squared_over_second_axis", 1.0).item() == approx((1.8 + 0.2) / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_margin_of_zero_changes_no_bit(dtype):
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(2)).to(dtype)
    normal, anomaly = NORMAL.repeat(1, 4).to(dtype), RIGHT.repeat(1, 4).to(dtype)
    difference = (z - prototype(normal)).norm(dim=-1) - (z - prototype(anomaly)).norm(dim=-1)
    assert torch.equal(margin_loss(z, normal, anomaly, "euclidean", 0.0), difference.clamp(min=0).mean())


@pytest.mark.parametrize("distance", ["euclidean", "squared_over_second_axis"])
def test_margin_is_zero_and_flat_where_the_normal_prototype_is_nearer(distance):
    z = vectors((0.6, 0.8), (0.5, 0.9))
    normal, anomaly = NORMAL.clone().requires_grad_(), RIGHT.clone().requires_grad_()
    loss = margin_loss(z, normal, anomaly, distance)
    assert loss.item() == 0
    loss.backward()
    assert not normal.grad.any()
    assert not anomaly.grad.any()


def test_alignment_of_normalised_means():
    # (0.6, 0.8) against (1, 0): 0.4^2 + 0.8^2.
    assert alignment_loss(NORMAL, RIGHT, "normalised_means").item() == approx(0.8)


def test_alignment_of_means_of_normalised():
    # (0.5, 0.5) against (1, 0): 0.5^2 + 0.5^2.
    assert alignment_loss(NORMAL, RIGHT, "means_of_normalised").item() == approx(0.5)


@pytest.mark.parametrize("order", ["normalised_means", "means_of_normalised"])
def test_alignment_is_zero_for_equal_directions_of_any_length(order):
    assert alignment_loss(vectors((1.0, 2.0)), vectors((3.0, 6.0), (0.5, 1.0)), order).item() == pytest.approx(0)


LOSSES = {
    "contrastive": lambda z, normal, anomaly: contrastive_loss(z, normal, anomaly, 5.0),
    "euclidean": lambda z, normal, anomaly: margin_loss(z, normal, anomaly, "euclidean"),
    "euclidean with a margin": lambda z, normal, anomaly: margin_loss(z, normal, anomaly, "euclidean", 0.3),
    "squared": lambda z, normal, anomaly: margin_loss(z, normal, anomaly, "squared_over_second_axis"),
    "normalised_means": lambda _z, normal, anomaly: alignment_loss(normal, anomaly, "normalised_means"),
    "means_of_normalised": lambda _z, normal, anomaly: alignment_loss(normal, anomaly, "means_of_normalised"),
}


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5)], ids=["image", "pixel"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name, shape):
    generator = torch.Generator().manual_seed(3)

    def draw(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    z = torch.nn.functional.normalize(draw(*shape), dim=-1)
    normal, anomaly = draw(2, 5).requires_grad_(), draw(3, 5).requires_grad_()
    assert LOSSES[name](z, normal, anomaly).item() > 0
    assert torch.autograd.gradcheck(lambda n, a: LOSSES[name](z, n, a), (normal, anomaly))
