"""Finished maps: upsampled, then smoothed."""

import numpy as np
import pytest
import torch

from promptad.scoring import maps as module
from promptad.scoring.anomaly_scores import resize_maps
from promptad.scoring.maps import FinishedMaps, finished_maps


def test_without_smoothing_maps_are_only_resized():
    maps = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(0))
    found = finished_maps(maps, size=7, smoothing=0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, resize_maps(maps, 7).numpy())


def test_half_precision_maps_become_single_precision():
    found = finished_maps(torch.rand(1, 2, 2).half(), size=4, smoothing=1.0)
    assert (found.dtype, found.shape) == (np.float32, (1, 4, 4))


def test_smoothing_is_a_gaussian_in_pixels_of_the_result_cut_at_four_deviations():
    maps = torch.zeros(2, 25, 25)
    maps[0, 12, 12] = 1
    found = finished_maps(maps, size=25, smoothing=1.5)
    offsets = np.arange(-6, 7)
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    expected = np.zeros((25, 25))
    expected[6:19, 6:19] = np.outer(kernel, kernel)
    np.testing.assert_allclose(found[0], expected, atol=1e-8)
    # A filter over the whole stack would leak into the next image.
    assert not found[1].any()


def test_smoothing_follows_the_resize():
    maps = torch.zeros(1, 4, 4)
    maps[0, 1, 2] = 1
    resized = resize_maps(maps, 16)
    np.testing.assert_array_equal(
        finished_maps(maps, size=16, smoothing=2.0), finished_maps(resized, size=16, smoothing=2.0)
    )


@pytest.mark.parametrize("smoothing", [0.0, 3.0])
def test_a_constant_map_stays_constant(smoothing):
    np.testing.assert_allclose(finished_maps(torch.full((1, 4, 4), 0.3), size=20, smoothing=smoothing), 0.3, rtol=1e-6)


@pytest.mark.parametrize("held", [0, 10**9])
def test_maps_of_a_test_set_come_in_parts_as_often_as_asked(monkeypatch, held):
    monkeypatch.setattr(module, "HELD_PIXELS", held)
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 2)
    maps = torch.rand(5, 3, 3)
    parts = FinishedMaps(maps, size=12, smoothing=1.5)
    for _ in range(2):
        found = list(parts)
        assert [len(part) for part in found] == [2, 2, 1]
        np.testing.assert_array_equal(np.concatenate(found), finished_maps(maps, size=12, smoothing=1.5))
    assert (next(iter(parts)) is next(iter(parts))) == bool(held)
