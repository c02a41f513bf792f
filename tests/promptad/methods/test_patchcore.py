"""PatchCore by hand, and against slow loops."""

import math

import numpy as np
import pytest
from helpers.memory_methods import fitted, joined, one_layer, scores, some_features

from promptad.configs.method_configs import PatchCoreConfig


def test_the_image_score_is_reweighed_as_in_equation_7_by_hand():
    # Memory 0, 3 and 4 on a line; the query's farthest patch is at 6: its nearest entry is 4 at distance 2, whose two
    # nearest entries are itself and 3 at distance 3 from the patch.
    support, query = one_layer([[0.0], [3.0], [4.0], [4.0]]), one_layer([[0.0], [3.5], [6.0], [4.0]])
    config = PatchCoreConfig(memory_layers=(1,), neighbourhood=1, coreset=0.75, neighbours=2)
    expected = (1 - math.exp(2) / (math.exp(2) + math.exp(3))) * 2
    assert scores(config, "image", (support, query)).image.tolist() == pytest.approx([expected])
    assert scores(config, "pixel", (support, query)).maps.tolist() == [[[0.0, 0.5], [2.0, 0.0]]]


def test_patches_are_means_of_their_neighbourhood_by_hand():
    support, query = one_layer([[0.0]] * 9), one_layer([[0.0]] * 4 + [[36.0]] + [[0.0]] * 4)
    config = PatchCoreConfig(memory_layers=(1,), coreset=0.01)
    # In a corner the window has four patches, at an edge six, in the middle nine.
    expected = [[9.0, 6.0, 9.0], [6.0, 4.0, 6.0], [9.0, 6.0, 9.0]]
    assert scores(config, "pixel", (support, query)).maps.tolist() == [expected]


def test_the_whole_memory_against_a_slow_computation():
    config = PatchCoreConfig(memory_layers=(1, 2), coreset=1.0, neighbours=3)
    support, query = some_features()
    memory = joined(support, (1, 2), 3).reshape(48, -1)
    gaps = np.linalg.norm(joined(query, (1, 2), 3).reshape(4, 16, 1, -1) - memory, axis=-1)
    np.testing.assert_allclose(scores(config).maps.reshape(4, 16), gaps.min(axis=2), atol=1e-5)
    for number, value in enumerate(scores(config, "image").image.tolist()):
        patch = gaps[number].min(axis=1).argmax()
        nearest = gaps[number, patch].argmin()
        around = np.linalg.norm(memory - memory[nearest], axis=1).argsort()[:3]
        best = gaps[number, patch, nearest]
        weight = 1 - math.exp(best) / sum(math.exp(gaps[number, patch, entry]) for entry in around)
        assert value == pytest.approx(weight * best, abs=1e-5)


def test_the_memory_is_a_fraction_of_the_patches_and_one_entry_is_not_weighed():
    support, _ = some_features()
    assert len(fitted(support, PatchCoreConfig(memory_layers=(1,), coreset=0.25)).memory) == 12
    config = PatchCoreConfig(memory_layers=(1,), coreset=0.001)
    assert len(fitted(support, config).memory) == 1
    assert scores(config, "image").image.tolist() == pytest.approx(scores(config).maps.flatten(1).amax(1).tolist())
