"""SPADE by hand, and against scikit-learn."""

import numpy as np
import pytest
import torch
from helpers.memory_methods import joined, one_layer, scores, some_features

from promptad.configs.method_configs import SPADEConfig
from promptad.features.extraction import Features


def with_global(features, *vectors):
    whole = [torch.tensor(vector, dtype=torch.float32) for vector in vectors]
    return Features(views={**features.views, "global": whole}, device=features.device)


def test_nearest_images_then_nearest_patches_by_hand():
    # The query image at (0, 0) is nearest to the images at distances 1 and 3; the third, at 10, would fit its patches.
    support = with_global(one_layer([[0.0]] * 4, [[8.0]] * 4, [[5.0]] * 4), [1.0, 0.0], [0.0, 3.0], [10.0, 0.0])
    query = with_global(one_layer([[5.0], [0.0], [8.0], [4.0]]), [0.0, 0.0])
    config = SPADEConfig(memory_layers=(1,), images=2, neighbours=5)
    assert scores(config, "image", (support, query)).image.tolist() == [2.0]
    # Five nearest of 0, 0, 0, 0, 8, 8, 8, 8: of 5 (four at 3, one at 5), of 0 (four at 0, one at 8), and so on.
    expected = [[(4 * 3 + 5) / 5, 8 / 5], [8 / 5, 4.0]]
    np.testing.assert_allclose(scores(config, "pixel", (support, query)).maps[0], expected, rtol=1e-6)


@pytest.mark.parametrize(("images", "neighbours"), [(1, 1), (2, 3), (50, 1)])
def test_against_scikit_learn(images, neighbours):
    from sklearn.neighbors import NearestNeighbors

    config = SPADEConfig(memory_layers=(2, 3), images=images, neighbours=neighbours)
    features = some_features()
    whole = [torch.stack(list(part.views["global"])).numpy() for part in features]
    distance, index = NearestNeighbors(n_neighbors=min(images, 3)).fit(whole[0]).kneighbors(whole[1])
    np.testing.assert_allclose(scores(config, "image").image, distance.mean(axis=1), atol=1e-5)
    gallery, query = joined(features[0], (2, 3)), joined(features[1], (2, 3))
    maps = scores(config).maps
    for number in range(4):
        entries = gallery[index[number]].reshape(-1, gallery.shape[-1])
        gaps, _ = NearestNeighbors(n_neighbors=neighbours).fit(entries).kneighbors(query[number].reshape(16, -1))
        np.testing.assert_allclose(maps[number].flatten(), gaps.mean(axis=1), atol=1e-5)
