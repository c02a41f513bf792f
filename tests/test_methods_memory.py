"""PatchCore, SPADE and PaDiM against slow, independent computations, and by hand."""

import math

import numpy as np
import pytest
import torch
from small_models import small_backbone, small_features

from promptad.config import ConfigError, PromptADConfig
from promptad.features import Features
from promptad.method_configs import CONFIGS, PaDiMConfig, PatchCoreConfig, SPADEConfig, method_of, under_protocol
from promptad.methods import METHODS

VIEWS = ["global", "block/1", "block/2", "block/3"]
TASKS = ("image", "pixel")


@pytest.fixture(scope="module")
def features():
    backbone = small_backbone()
    return small_features(backbone, [1, 2, 3], VIEWS), small_features(backbone, range(10, 14), VIEWS)


def score(features, config, task="pixel"):
    support, query = features
    fitted = METHODS[method_of(config)].fit(small_backbone(), support, config, task=task, category="bottle", seed=0)
    return fitted, fitted.score(query)


def joined(features, layers, window=1):
    """Patches as image x 4 x 4 x width arrays, by loops."""
    grids = [
        torch.stack(list(features.views[f"block/{layer}"])).numpy().reshape(len(features), 4, 4, -1) for layer in layers
    ]
    whole = np.concatenate(grids, axis=-1).astype(np.float64)
    result, reach = np.zeros_like(whole), window // 2
    for row in range(4):
        for column in range(4):
            around = whole[:, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            result[:, row, column] = around.mean(axis=(1, 2))
    return result


def test_patchcore_with_the_whole_memory(features):
    config = PatchCoreConfig(memory_layers=(1, 2), coreset=1.0, neighbours=3)
    memory = joined(features[0], (1, 2), 3).reshape(48, -1)
    query = joined(features[1], (1, 2), 3).reshape(4, 16, -1)
    gaps = np.linalg.norm(query[:, :, None] - memory, axis=-1)
    _, pixel = score(features, config)
    np.testing.assert_allclose(pixel.maps.reshape(4, 16), gaps.min(axis=2), atol=1e-4)
    _, image = score(features, config, "image")
    for number, value in enumerate(image.image.tolist()):
        patch = gaps[number].min(axis=1).argmax()
        nearest = gaps[number, patch].argmin()
        around = np.linalg.norm(memory - memory[nearest], axis=1).argsort()[:3]
        best = gaps[number, patch, nearest]
        weight = 1 - math.exp(best) / sum(math.exp(gaps[number, patch, entry]) for entry in around)
        assert value == pytest.approx(weight * best, abs=1e-4)


def test_patchcores_coreset_keeps_a_fraction_and_one_entry_is_not_weighed(features):
    fitted, _ = score(features, PatchCoreConfig(memory_layers=(1,), coreset=0.25))
    assert len(fitted.memory) == 12
    fitted, single = score(features, PatchCoreConfig(memory_layers=(1,), coreset=0.001), "image")
    assert len(fitted.memory) == 1
    assert single.image.min() > 0


@pytest.mark.parametrize(("images", "neighbours"), [(1, 1), (2, 3), (50, 1)])
def test_spade_against_sklearn(features, images, neighbours):
    from sklearn.neighbors import NearestNeighbors

    config = SPADEConfig(memory_layers=(2, 3), images=images, neighbours=neighbours)
    whole = [torch.stack(list(part.views["global"])).numpy() for part in features]
    distance, index = NearestNeighbors(n_neighbors=min(images, 3)).fit(whole[0]).kneighbors(whole[1])
    np.testing.assert_allclose(score(features, config, "image")[1].image, distance.mean(axis=1), atol=1e-4)
    gallery, query = joined(features[0], (2, 3)), joined(features[1], (2, 3))
    maps = score(features, config)[1].maps
    for number in range(4):
        entries = gallery[index[number]].reshape(-1, gallery.shape[-1])
        gaps, _ = NearestNeighbors(n_neighbors=neighbours).fit(entries).kneighbors(query[number].reshape(16, -1))
        np.testing.assert_allclose(maps[number].flatten(), gaps.mean(axis=1), atol=1e-4)


def test_padim_against_scipy(features):
    from scipy.spatial.distance import mahalanobis

    config = PaDiMConfig(memory_layers=(1, 3), dimensions=7, regularisation=0.02)
    fitted, pixel = score(features, config)
    channels = fitted.channels.numpy()
    assert len(set(channels.tolist())) == 7
    support, query = joined(features[0], (1, 3))[..., channels], joined(features[1], (1, 3))[..., channels]
    for row in range(4):
        for column in range(4):
            normal = support[:, row, column]
            inverse = np.linalg.inv(np.cov(normal.T) + 0.02 * np.eye(7))
            for number in range(4):
                expected = mahalanobis(query[number, row, column], normal.mean(axis=0), inverse)
                assert pixel.maps[number, row, column].item() == pytest.approx(expected, rel=1e-3)
    image = score(features, config, "image")[1].image
    torch.testing.assert_close(image, pixel.maps.flatten(1).amax(1))


def test_padim_of_one_image_is_the_euclidean_distance(features):
    one = Features(views={view: values[:1] for view, values in features[0].views.items()}, device=features[0].device)
    config = PaDiMConfig(memory_layers=(1,), dimensions=1000, regularisation=0.25)
    expected = np.linalg.norm(joined(features[1], (1,)) - joined(one, (1,)), axis=-1) / 0.5
    np.testing.assert_allclose(score((one, features[1]), config)[1].maps, expected, rtol=1e-3)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "promptad"])
def test_normal_images_score_lowest_and_fits_are_restored(features, name, task):
    config = CONFIGS[name]().with_changes({"memory_layers": (1, 2)})
    method, support = METHODS[name], features[0]
    fitted, other = score(features, config, task)
    again = method.restore(small_backbone(), fitted.tensors(), config, task=task).score(features[1])
    seen, unseen = fitted.score(support), other
    if task == "image":
        assert torch.equal(again.image, other.image)
        assert seen.image.mean() < unseen.image.mean()
    else:
        assert torch.equal(again.maps, other.maps)
        assert seen.maps.mean() < unseen.maps.mean()
    assert method.views(config, task, small_backbone()) <= set(VIEWS)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_method_runs_under_the_protocol_of_the_base(name):
    config = under_protocol(name, PromptADConfig(map_size=400, resize="squash_via_1024", precision="fp16"))
    assert method_of(config) == name
    assert (config.map_size, config.resize, config.precision) == (400, "squash_via_1024", "fp16")
    assert CONFIGS[name].from_dict(config.as_dict()) == config
    with pytest.raises(ConfigError, match="config has no field coresets"):
        config.with_changes({"coresets": 1})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (PatchCoreConfig, {"coreset": 0.0, "neighbours": 0}, "coreset must be above 0 .* neighbours must be at least"),
        (PatchCoreConfig, {"neighbourhood": 2}, "neighbourhood must be odd and positive, but got 2"),
        (PatchCoreConfig, {"map_size": 1.5}, "map_size must be int, but got 1.5"),
        (SPADEConfig, {"images": 0}, "images must be at least 1, but got 0"),
        (PaDiMConfig, {"regularisation": 0.0}, "regularisation must be positive and finite, but got 0.0"),
        (PaDiMConfig, {"dimensions": 0}, "dimensions must be at least 1, but got 0"),
        (PaDiMConfig, {"memory_layers": (0,)}, "memory_layers must be different blocks"),
        (PaDiMConfig, {"map_size": 1}, "map_size must be between 16 and 2048"),
        (PaDiMConfig, {"map_smoothing": -1.0}, "map_smoothing must be finite and not negative"),
    ],
)
def test_values_out_of_their_domain(kind, changes, message):
    with pytest.raises(ConfigError, match=message):
        kind(**changes)
