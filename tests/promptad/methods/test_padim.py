"""PaDiM by hand, and against scipy and scikit-learn."""

import numpy as np
import pytest
import torch
from helpers.memory_methods import fitted, joined, one_layer, scores, some_features

from promptad.configs.method_configs import PaDiMConfig
from promptad.features.extraction import Features


def test_mahalanobis_distance_by_hand():
    # Position 0 has mean (1, 0) and, of two images, covariance diag(2, 0) + 2 I = diag(4, 2); the others do not vary.
    support = one_layer([[0.0, 0.0]] + [[5.0, 5.0]] * 3, [[2.0, 0.0]] + [[5.0, 5.0]] * 3)
    query = one_layer([[5.0, 2.0]] + [[5.0, 5.0]] * 2 + [[9.0, 5.0]])
    config = PaDiMConfig(memory_layers=(1,), regularisation=2.0)
    expected = [[(4**2 / 4 + 2**2 / 2) ** 0.5, 0.0], [0.0, (4**2 / 2) ** 0.5]]
    np.testing.assert_allclose(scores(config, "pixel", (support, query)).maps[0], expected, rtol=1e-6)
    assert scores(config, "image", (support, query)).image.tolist() == pytest.approx([8**0.5])


def test_against_scipy():
    from scipy.spatial.distance import mahalanobis

    config = PaDiMConfig(memory_layers=(1, 3), dimensions=7, regularisation=0.02)
    features = some_features()
    channels = fitted(features[0], config).channels.numpy()
    assert len(set(channels.tolist())) == 7
    support, query = (joined(part, (1, 3))[..., channels] for part in features)
    maps = scores(config).maps
    for row in range(4):
        for column in range(4):
            normal = support[:, row, column]
            inverse = np.linalg.inv(np.cov(normal.T) + 0.02 * np.eye(7))
            for number in range(4):
                expected = mahalanobis(query[number, row, column], normal.mean(axis=0), inverse)
                assert maps[number, row, column].item() == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(scores(config, "image").image, maps.flatten(1).amax(1))


def test_many_images_approach_scikit_learns_empirical_covariance():
    from sklearn.covariance import EmpiricalCovariance

    draws = np.random.default_rng(0)
    normal, other = draws.normal(size=(40, 1, 3)), draws.normal(size=(6, 1, 3))
    config = PaDiMConfig(memory_layers=(1,), regularisation=1e-6)
    maps = scores(config, "pixel", (one_layer(*normal.tolist()), one_layer(*other.tolist()))).maps
    # scikit-learn divides by n, eq. 1 by n - 1.
    squared = EmpiricalCovariance().fit(normal[:, 0]).mahalanobis(other[:, 0]) * 39 / 40
    np.testing.assert_allclose(maps.flatten(), squared**0.5, rtol=1e-4)


def test_one_image_leaves_the_euclidean_distance():
    support, query = some_features()
    one = Features(views={view: values[:1] for view, values in support.views.items()}, device=support.device)
    config = PaDiMConfig(memory_layers=(1,), dimensions=1000, regularisation=0.25)
    expected = np.linalg.norm(joined(query, (1,)) - joined(one, (1,)), axis=-1) / 0.5
    np.testing.assert_allclose(scores(config, "pixel", (one, query)).maps, expected, rtol=1e-3)


def test_channels_are_drawn_by_seed():
    support, _ = some_features()
    config = PaDiMConfig(memory_layers=(1,), dimensions=5)
    drawn = [fitted(support, config, seed=seed).channels.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
