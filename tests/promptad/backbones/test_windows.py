"""Windows: encoded alone against a tower that is masked, and brought to patches by loops."""

import copy

import numpy as np
import pytest
import torch
from helpers.small_models import small_backbone, small_features, small_model
from torch.nn.functional import normalize

from promptad.backbones.towers import UnsupportedTowerError
from promptad.backbones.windows import WINDOWS_AT_ONCE, encode_windows, harmonic_mean, window_map, window_patches


@pytest.fixture(scope="module")
def visual():
    return copy.deepcopy(small_model("small-vit").visual).double()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_windows_go_row_by_row():
    assert window_patches(3, 2).tolist() == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    assert window_patches(4, 4).tolist() == [list(range(16))]
    assert window_patches(2, 1).tolist() == [[0], [1], [2], [3]]
    assert len(window_patches(15, 2)) == 196


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_window_is_the_class_token_of_a_tower_that_attends_to_its_patches_alone(visual, images, size):
    found = encode_windows(visual, images, [size])[size]
    side = 4 - size + 1
    assert found.shape == (2, side * side, visual.proj.shape[1])
    tokens = visual._embeds(images)
    for row in range(side):
        for column in range(side):
            inside = [0] + [1 + 4 * r + c for r in range(row, row + size) for c in range(column, column + size)]
            mask = torch.full((17, 17), -torch.inf, dtype=torch.float64)
            mask[:, inside] = 0
            pooled, _ = visual._pool(visual.transformer(tokens, attn_mask=mask))
            torch.testing.assert_close(found[:, row * side + column], pooled @ visual.proj, rtol=1e-9, atol=1e-10)


def test_the_window_of_the_whole_grid_is_the_global_feature(visual, images):
    torch.testing.assert_close(encode_windows(visual, images, [4])[4][:, 0], visual(images), rtol=1e-9, atol=1e-10)


def test_parts_of_many_windows_change_nothing(visual, images, monkeypatch):
    whole = encode_windows(visual, images, [1, 2])
    monkeypatch.setattr("promptad.backbones.windows.WINDOWS_AT_ONCE", 5)
    assert WINDOWS_AT_ONCE > 5
    parts = encode_windows(visual, images, [1, 2])
    for size in (1, 2):
        torch.testing.assert_close(parts[size], whole[size], rtol=1e-12, atol=1e-12)


def test_views_are_the_normalised_windows():
    backbone = small_backbone()
    found = small_features(backbone, [5], ["windows/2", "global"])
    alone = small_features(backbone, [5], ["windows/2"])
    assert torch.equal(found.stack("windows/2"), alone.stack("windows/2"))
    assert found.stack("windows/2").shape[:2] == (1, 9)
    torch.testing.assert_close(found.stack("windows/2").norm(dim=-1), torch.ones(1, 9))
    whole = small_features(backbone, [5], ["windows/4"]).stack("windows/4")[:, 0]
    torch.testing.assert_close(whole, normalize(found.stack("global"), dim=-1), rtol=1e-4, atol=1e-5)


def test_towers_and_windows_that_do_not_fit(visual, images):
    with pytest.raises(UnsupportedTowerError, match=r"a window must be between 1 and 4 patches wide .* but got 5"):
        encode_windows(visual, images, [5])
    with pytest.raises(UnsupportedTowerError, match="windows need a transformer backbone, but this one is a ResNet"):
        encode_windows(small_model("small-resnet").visual, images, [2])


def test_a_patch_has_the_harmonic_mean_of_its_windows_by_hand():
    found = window_map(torch.tensor([[1.0, 1 / 2, 1 / 3, 1 / 4]]), 2)
    expected = [[1.0, 2 / 3, 1 / 2], [1 / 2, 4 / 10, 1 / 3], [1 / 3, 2 / 7, 1 / 4]]
    torch.testing.assert_close(found, torch.tensor([expected]))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_window_maps_against_loops(size):
    side = 6 - size + 1
    scores = torch.rand(2, side * side, generator=torch.Generator().manual_seed(size))
    inverse, count = np.zeros((2, 6, 6)), np.zeros((6, 6))
    for row in range(side):
        for column in range(side):
            inverse[:, row : row + size, column : column + size] += (
                1 / scores[:, row * side + column].double().numpy()[:, None, None]
            )
            count[row : row + size, column : column + size] += 1
    np.testing.assert_allclose(window_map(scores, size), count / inverse, rtol=1e-4)


def test_harmonic_means_by_hand_and_at_zero():
    found = harmonic_mean([torch.tensor([[0.5]]), torch.tensor([[0.25, 0.5]]), torch.tensor([[1.0, 0.0]])])
    torch.testing.assert_close(found, torch.tensor([[3 / 7, 0.0]]), atol=1e-9, rtol=1e-6)
    assert window_map(torch.tensor([[0.0, 1.0, 1.0, 1.0]]), 2)[0, 1, 1] < 1e-9
