"""PatchCore by hand, and against slow loops."""

import math

import numpy as np
import pytest
from helpers.memory_methods import fitted, joined, one_layer, scores, some_features
from helpers.small_models import small_backbone

from promptad.configs.method_configs import PatchCoreConfig
from promptad.features.extraction import Features
from promptad.methods.patchcore import PatchCore
from promptad.methods.patches import reference_patches


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


def test_the_largest_distance_alone_by_hand():
    support, query = one_layer([[0.0], [3.0], [4.0], [4.0]]), one_layer([[0.0], [3.5], [6.0], [4.0]])
    config = PatchCoreConfig(memory_layers=(1,), neighbourhood=1, coreset=0.75, image_score="maximum")
    assert scores(config, "image", (support, query)).image.tolist() == [2.0]


def test_raw_activations_are_views_of_their_own():
    config = PatchCoreConfig(memory_layers=(1, 2), activations="raw", coreset=1.0)
    assert PatchCore().views(config, "pixel", small_backbone()) == {"raw/block/1", "raw/block/2"}
    support, query = some_features()
    raw = [
        Features(views={f"block/{n}": part.views[f"raw/block/{n}"] for n in (1, 2)}, device=part.device)
        for part in (support, query)
    ]
    memory, patches = (joined(part, (1, 2), 3).reshape(-1, 64) for part in raw)
    gaps = np.linalg.norm(patches[:, None] - memory, axis=-1).min(axis=1)
    np.testing.assert_allclose(scores(config).maps.flatten(), gaps, rtol=1e-4)


def test_the_released_codes_patches_give_distances_of_their_own():
    config = PatchCoreConfig(memory_layers=(1, 2), patch_pooling="reference", pooled_width=20, coreset=1.0)
    support, query = some_features()
    memory, patches = (
        np.concatenate(
            [
                reference_patches(part, ("block/1", "block/2"), chunk, neighbourhood=3, width=20)
                for chunk in part.chunks(2)
            ]
        ).reshape(-1, 20)
        for part in (support, query)
    )
    gaps = np.linalg.norm(patches[:, None] - memory, axis=-1).min(axis=1)
    np.testing.assert_allclose(scores(config).maps.flatten(), gaps, atol=1e-5)
    assert fitted(support, config).memory.shape == (48, 20)
