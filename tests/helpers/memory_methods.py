"""What the tests of methods on patches share: small features, arrays made by loops, and fitted methods."""

import functools

import numpy as np
import torch
from helpers.small_models import small_backbone, small_features

from promptad.configs.method_table import method_of
from promptad.features.extraction import Features
from promptad.methods import method_named

VIEWS = ("global", "local/vv", "block/1", "block/2", "block/3", "attended/1", "windows/2", "windows/3", "pixels")


@functools.cache
def some_features():
    """Three support and four query images of the small transformer: grids of 4 x 4 patches."""
    backbone = small_backbone()
    return small_features(backbone, [1, 2, 3], VIEWS), small_features(backbone, range(10, 14), VIEWS)


def fitted(features, config, task="pixel", seed=0):
    method = method_named(method_of(config))
    return method.fit(small_backbone(), features, config, task=task, category="bottle", seed=seed)


def scores(config, task="pixel", features=None):
    support, query = features or some_features()
    return fitted(support, config, task).score(query)


def joined(features, layers, window=1):
    """Patches as an image x 4 x 4 x width array, by loops: means of the windows around them, layers side by side."""
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


def one_layer(*images):
    """Features by hand: each image a list of patch vectors of one layer."""
    patches = [torch.tensor(image, dtype=torch.float32) for image in images]
    return Features(views={"block/1": patches}, device=torch.device("cpu"))
