"""Patches brought together, against loops: layers of equal and of different grids, all channels and some."""

import numpy as np
import pytest
import torch

from promptad.features.extraction import Features
from promptad.methods.patches import CHUNK, joined_patches, joined_width, reference_patches, support_patches

VIEWS = ("block/1", "block/2", "block/3")


def layers(images, *shapes):
    draws = torch.Generator().manual_seed(0)
    return Features(
        views={
            view: [torch.randn(side * side, width, generator=draws) for _ in range(images)]
            for view, (side, width) in zip(VIEWS, shapes, strict=True)
        },
        device=torch.device("cpu"),
    )


def slow(features, neighbourhood):
    """Window means, then bilinear weights by hand (half-pixel centres), then layers side by side."""
    grids = []
    for view in VIEWS:
        patches = np.stack([image.double().numpy() for image in features.views[view]])
        side = round(patches.shape[1] ** 0.5)
        grid, reach = patches.reshape(len(patches), side, side, -1), neighbourhood // 2
        near = [slice(max(0, place - reach), place + reach + 1) for place in range(side)]
        grids.append(np.stack([np.stack([grid[:, r, c].mean(axis=(1, 2)) for c in near], 1) for r in near], 1))
    finest = max(grid.shape[1] for grid in grids)
    return np.concatenate([resized(grid, finest) for grid in grids], axis=-1)


def resized(grid, finest):
    side = grid.shape[1]
    weights = np.zeros((finest, side))
    for place in range(finest):
        centre = min(max((place + 0.5) * side / finest - 0.5, 0), side - 1)
        low = int(centre)
        weights[place, low] += 1 - (centre - low)
        weights[place, min(low + 1, side - 1)] += centre - low
    return np.einsum("ar,bc,nrcw->nabw", weights, weights, grid)


@pytest.mark.parametrize("neighbourhood", [1, 3])
@pytest.mark.parametrize("shapes", [((4, 3), (4, 2), (4, 5)), ((8, 3), (4, 2), (2, 5)), ((2, 3), (4, 2), (4, 5))])
def test_layers_are_side_by_side_on_the_finest_grid(shapes, neighbourhood):
    features = layers(2 * CHUNK + 1, *shapes)
    expected = slow(features, neighbourhood)
    found = support_patches(features, VIEWS, neighbourhood=neighbourhood)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    part = joined_patches(features, VIEWS, slice(1, 3), neighbourhood=neighbourhood)
    np.testing.assert_allclose(part, expected[1:3], atol=1e-5)


@pytest.mark.parametrize("shapes", [((4, 3), (4, 2), (4, 5)), ((8, 3), (4, 2), (2, 5))])
@pytest.mark.parametrize("channels", [[0, 2, 3, 9], [4], [5, 6], list(range(10))])
def test_some_channels_are_those_of_all(shapes, channels):
    # Of some layers none is picked: they still say how fine the grid is.
    features = layers(CHUNK + 1, *shapes)
    assert joined_width(features, VIEWS) == 10
    found = support_patches(features, VIEWS, neighbourhood=3, channels=torch.tensor(channels))
    np.testing.assert_allclose(found, slow(features, 3)[..., channels], atol=1e-5)


def slow_windows(grid):
    """3 x 3 windows with zeros around the grid, channels first: image x row x column x 9 channels."""
    images, side, _, width = grid.shape
    result = np.zeros((images, side, side, 9 * width))
    for row, column, channel, down, right in np.ndindex(side, side, width, 3, 3):
        r, c = row + down - 1, column + right - 1
        if 0 <= r < side and 0 <= c < side:
            result[:, row, column, 9 * channel + 3 * down + right] = grid[:, r, c, channel]
    return result


def slow_pooling(numbers, width):
    """Adaptive average pooling: part i is the mean from floor(i n / width) to ceil((i + 1) n / width)."""
    n = numbers.shape[-1]
    parts = [numbers[..., i * n // width : -(-(i + 1) * n // width)].mean(axis=-1) for i in range(width)]
    return np.stack(parts, axis=-1)


@pytest.mark.parametrize("width", [4, 7, 50])
@pytest.mark.parametrize("shapes", [((4, 3), (4, 2), (4, 5)), ((8, 3), (4, 2), (2, 5))])
def test_the_released_codes_patches(shapes, width):
    features = layers(3, *shapes)
    whole = []
    for view, (side, _) in zip(VIEWS, shapes, strict=True):
        grid = np.stack([image.double().numpy() for image in features.views[view]]).reshape(3, side, side, -1)
        # The released code upsamples windows, and pools what comes out.
        whole.append(slow_pooling(resized(slow_windows(grid), shapes[0][0]), width))
    expected = slow_pooling(np.concatenate(whole, axis=-1), width)
    found = reference_patches(features, VIEWS, slice(0, 3), neighbourhood=3, width=width)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    part = reference_patches(features, VIEWS, slice(1, 2), neighbourhood=3, width=width)
    np.testing.assert_allclose(part, expected[1:2], atol=1e-5)
