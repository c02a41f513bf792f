"""FastRecon by hand, and against least squares solved another way."""

import numpy as np
import pytest
import torch
from helpers.memory_methods import fitted, joined, one_layer, scores, some_features

from promptad.configs.method_configs import FastReconConfig
from promptad.scoring.neighbours import greedy_coreset

PLAIN = {"memory_layers": (1,), "neighbourhood": 1, "coreset": 0.25, "most_of_width": 1.0}


def test_what_the_coreset_does_not_span_is_the_score_by_hand():
    # One entry (2, 0): of each patch the second coordinate is left.
    support, query = one_layer([[2.0, 0.0]] * 4), one_layer([[5.0, 3.0], [2.0, 0.0], [-1.0, 0.0], [0.0, -4.0]])
    config = FastReconConfig(**PLAIN, distribution_weight=0.0, ridge=1e-12)
    np.testing.assert_allclose(scores(config, "pixel", (support, query)).maps[0], [[3.0, 0.0], [0.0, 4.0]], atol=1e-6)
    assert scores(config, "image", (support, query)).image.tolist() == pytest.approx([4.0])


def test_reconstructions_are_pulled_towards_the_mean_and_shrunk_by_hand():
    # With lambda = 1 the reconstruction of 6 from entries of 2 with mean 2 is (6 + 2) / 2 = 4; rho = 1 halves it.
    support, query = one_layer([[2.0]] * 4), one_layer([[6.0]] * 4)
    pulled = FastReconConfig(**PLAIN, distribution_weight=1.0, ridge=1e-12)
    assert scores(pulled, "pixel", (support, query)).maps.flatten().tolist() == pytest.approx([2.0] * 4)
    shrunk = FastReconConfig(**PLAIN, distribution_weight=1.0, ridge=1.0)
    assert scores(shrunk, "pixel", (support, query)).maps.flatten().tolist() == pytest.approx([4.0] * 4)


@pytest.mark.parametrize(("weight", "ridge"), [(0.0, 1e-3), (2.0, 1e-3), (2.0, 0.3)])
def test_against_stacked_least_squares(weight, ridge):
    config = FastReconConfig(memory_layers=(1, 2), distribution_weight=weight, ridge=ridge, coreset=0.25)
    support, query = (joined(part, (1, 2), 3) for part in some_features())
    flat = support.reshape(48, -1)
    memory = flat[greedy_coreset(torch.tensor(flat, dtype=torch.float32), 12)]
    rho = ridge * (memory**2).sum(axis=1).mean()
    maps = scores(config).maps
    # W of one patch is the least squares solution of the three terms of the objective, one below the other.
    design = np.vstack([memory.T, np.sqrt(weight) * memory.T, np.sqrt(rho * (1 + weight)) * np.eye(12)])
    for row in range(4):
        for column in range(4):
            mean = support[:, row, column].mean(axis=0)
            for number in range(4):
                patch = query[number, row, column]
                wanted = np.concatenate([patch, np.sqrt(weight) * mean, np.zeros(12)])
                weights = np.linalg.lstsq(design, wanted, rcond=None)[0]
                expected = np.linalg.norm(patch - weights @ memory)
                assert maps[number, row, column].item() == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(scores(config, "image").image, maps.flatten(1).amax(1))


def test_a_coreset_with_more_entries_than_channels_can_be_solved():
    support, query = one_layer([[1.0, 0.0]] * 4, [[0.0, 1.0]] * 4), one_layer([[0.6, 0.8]] * 4)
    config = FastReconConfig(**{**PLAIN, "coreset": 1.0, "most_of_width": 4.0}, distribution_weight=0.0)
    assert len(fitted(support, config).memory) == 8
    assert scores(config, "pixel", (support, query)).maps.max() < 1e-3


def test_a_coreset_that_spans_all_patches_is_no_more_than_the_mean():
    support, query = some_features()
    layer = {"memory_layers": (1,), "coreset": 1.0, "distribution_weight": 2.0, "ridge": 1e-9}
    width = support.views["block/1"][0].shape[1]
    distance = np.linalg.norm(joined(query, (1,), 3) - joined(support, (1,), 3).mean(axis=0), axis=-1) * 2 / 3
    spanning = FastReconConfig(**layer, most_of_width=10.0)
    assert len(fitted(support, spanning).memory) == 48 > width
    np.testing.assert_allclose(scores(spanning).maps, distance, rtol=1e-3)
    ours = FastReconConfig(**layer)
    assert len(fitted(support, ours).memory) == width // 2
    assert np.abs(scores(ours).maps.numpy() - distance).max() > 0.1 * distance.max()
