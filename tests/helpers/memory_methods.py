"""What the tests of methods on patches share: small features, arrays made by loops, and fitted methods."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from helpers.small_models import small_backbone, small_features
from numpy.typing import NDArray

from promptad.configs.method_config import MethodConfig, Task
from promptad.configs.method_table import method_of
from promptad.features.extraction import Features
from promptad.methods import method_named

VIEWS = (
    *("global", "local/vv", "block/1", "block/2", "block/3", "attended/1", "windows/2", "windows/3", "pixels"),
    *("pictures/1", "pictures/2", "raw/block/1", "raw/block/2", "rotated/8/raw/global"),
)


@functools.cache
def some_features() -> tuple[Features, Features]:
    """Three support and four query images of the small transformer: grids of 4 x 4 patches."""
    backbone = small_backbone()
    return small_features(backbone, [1, 2, 3], VIEWS), small_features(backbone, range(10, 14), VIEWS)


def fitted(features: Features, config: MethodConfig, task: Task = "pixel", seed: int = 0) -> Any:
    method = method_named(method_of(config))
    return method.fit(small_backbone(), features, config, task=task, category="bottle", seed=seed)


def scores(config: MethodConfig, task: Task = "pixel", features: tuple[Features, Features] | None = None) -> Any:
    support, query = features or some_features()
    return fitted(support, config, task).score(query)


def joined(features: Features, layers: Sequence[int], window: int = 1) -> NDArray[np.float64]:
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


def one_layer(*images: Sequence[Sequence[float]], view: str = "block/1") -> Features:
    """Features by hand: each image a list of patch vectors of one layer."""
    patches = [torch.tensor(image, dtype=torch.float32) for image in images]
    return Features(views={view: patches}, device=torch.device("cpu"))
