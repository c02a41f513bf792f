"""Scores and maps of section 4.4 by hand and by slow loops."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from promptad.backbones.towers import UnsupportedTowerError
from promptad.scoring import anomaly_scores
from promptad.scoring.anomaly_scores import harmonic_fusion, prompt_score, resize_maps, visual_map


def draw(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def test_prompt_score_is_the_probability_of_the_anomaly_prototype():
    normal, anomaly = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.8, 0.6]])
    cosines = [(1.0, 0.6), (0.0, 0.8), (-0.8, 0.0)]
    for scale in (1.0, 5.0):
        expected = [math.exp(scale * a) / (math.exp(scale * a) + math.exp(scale * n)) for n, a in cosines]
        assert prompt_score(z, normal, anomaly, scale).tolist() == pytest.approx(expected, rel=1e-6)
    shaped = prompt_score(z.view(1, 3, 2), normal, anomaly, 5.0)
    torch.testing.assert_close(shaped, prompt_score(z, normal, anomaly, 5.0)[None])


def test_prompt_score_stays_finite_at_high_inverse_temperature():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    scores = prompt_score(z, torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0]), 1e4)
    assert scores.tolist() == [0.0, 1.0]


def slow_visual_map(query, memory):
    """Eq. 8: for every patch, the smallest of the half cosine distances to the entries of the memory."""
    side = math.isqrt(query.shape[1])
    found = torch.zeros(len(query), side, side, dtype=query.dtype)
    for image in range(len(query)):
        for patch in range(side * side):
            distances = [0.5 * (1 - float(query[image, patch] @ entry)) for entry in memory]
            found[image, patch // side, patch % side] = min(distances)
    return found


def test_visual_map_is_half_the_cosine_distance_to_the_nearest_entry():
    query, memory = draw(2, 9, 5, seed=1), draw(7, 5, seed=2)
    torch.testing.assert_close(visual_map([query], [memory]), slow_visual_map(query, memory))


def test_visual_map_in_tiles(monkeypatch):
    query, memory = draw(2, 9, 5, seed=1), draw(47, 5, seed=2)
    products, real = [], torch.Tensor.__matmul__

    def recording(left, right):
        products.append(real(left, right))
        return products[-1]

    monkeypatch.setattr(anomaly_scores, "TILE", 18 * 10 + 3)
    with monkeypatch.context() as inside:
        inside.setattr(torch.Tensor, "__matmul__", recording)
        found = visual_map([query], [memory])
    assert [product.numel() for product in products] == [180, 180, 180, 180, 126]
    torch.testing.assert_close(found, slow_visual_map(query, memory))


def test_visual_map_by_hand():
    query = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]]])
    memory = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    expected = torch.tensor([[[0.0, 0.2], [0.9, 0.02]]])
    torch.testing.assert_close(visual_map([query], [memory]), expected)


def test_visual_map_averages_layers():
    queries, memories = [draw(2, 4, 5, seed=1), draw(2, 4, 3, seed=2)], [draw(6, 5, seed=3), draw(4, 3, seed=4)]
    slow = [slow_visual_map(query, memory) for query, memory in zip(queries, memories, strict=True)]
    torch.testing.assert_close(visual_map(queries, memories), (slow[0] + slow[1]) / 2)


@pytest.mark.parametrize("order", [1, -1])
def test_visual_map_upsamples_coarse_layers_to_the_finest(order):
    queries = [draw(2, 4, 5, seed=1), draw(2, 16, 3, seed=2)][::order]
    memories = [draw(6, 5, seed=3), draw(4, 3, seed=4)][::order]
    slow = [slow_visual_map(query, memory) for query, memory in zip(queries, memories, strict=True)][::order]
    expected = (bilinear(slow[0], 4) + slow[1]) / 2
    torch.testing.assert_close(visual_map(queries, memories), expected)


def test_visual_map_is_never_negative():
    # float32 cosines of equal vectors exceed 1 by a rounding error.
    query = draw(1, 256, 64, seed=5).float()
    found = visual_map([query], [query[0]])
    assert found.min() >= 0
    assert found.max() < 1e-6


def test_visual_map_refuses_other_than_square_grids_and_unpaired_layers():
    with pytest.raises(UnsupportedTowerError, match="must be square, but 6 patches are not"):
        visual_map([draw(1, 6, 5)], [draw(2, 5)])
    with pytest.raises(ValueError, match="zip"):
        visual_map([draw(1, 4, 5)], [])


def test_harmonic_fusion():
    first = torch.tensor([0.5, 0.2, 1.0, 0.3])
    second = torch.tensor([0.5, 0.6, 1.0, 0.1])
    expected = [0.25, 1 / (1 / 0.2 + 1 / 0.6), 0.5, 1 / (1 / 0.3 + 1 / 0.1)]
    assert harmonic_fusion(first, second).tolist() == pytest.approx(expected, rel=1e-6)


def test_harmonic_fusion_of_zeros_is_zero():
    found = harmonic_fusion(torch.tensor([0.0, 0.7, 0.0, 1e-30]), torch.tensor([0.0, 0.0, 0.4, 0.5]))
    assert found.tolist() == pytest.approx([0.0, 0.0, 0.0, 1e-30], rel=1e-6)


def bilinear(maps, size):
    """Bilinear resize with half-pixel centres, pixel by pixel; outside the first and last centre the edge's value."""
    side = maps.shape[-1]
    resized = torch.zeros(len(maps), size, size, dtype=maps.dtype)

    def weights(index):
        place = min(max((index + 0.5) * side / size - 0.5, 0), side - 1)
        low = min(int(place), side - 1)
        return [(low, 1 - (place - low)), (min(low + 1, side - 1), place - low)]

    for row in range(size):
        for column in range(size):
            for i, by_row in weights(row):
                for j, by_column in weights(column):
                    resized[:, row, column] += by_row * by_column * maps[:, i, j]
    return resized


def test_resize_by_hand():
    # Centres of 4 pixels lie at -0.25, 0.25, 0.75 and 1.25 between the centres of 2; the outer ones are clamped.
    found = resize_maps(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]), 4)
    places = torch.tensor([0.0, 0.25, 0.75, 1.0])
    torch.testing.assert_close(found, (2 * places[:, None] + places[None, :])[None])


@pytest.mark.parametrize("size", [3, 7, 10])
def test_resize_equals_the_slow_loop(size):
    maps = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(resize_maps(maps, size), bilinear(maps, size))


def test_resize_to_the_same_size_changes_nothing():
    maps = torch.rand(2, 5, 5)
    assert resize_maps(maps, 5) is maps
