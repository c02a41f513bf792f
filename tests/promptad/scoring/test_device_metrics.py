"""Metrics as operations on tensors: the numbers of ``metrics.py`` on the same maps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from promptad.scoring import metrics
from promptad.scoring.device_metrics import DeviceTruth, finished_on
from promptad.scoring.maps import finished_maps


def masks_of(seed, images, size, share):
    """Blobs and single pixels; at least one pixel is anomalous and one normal."""
    draws = np.random.default_rng(seed)
    masks = draws.random((images, size, size)) < share
    for mask in masks[::2]:
        top, left = draws.integers(0, size, 2)
        mask[top : top + size // 3, left : left + size // 2] = True
    masks.reshape(-1)[0], masks.reshape(-1)[-1] = True, False
    return masks


@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 6),
    size=st.integers(2, 24),
    share=st.sampled_from([0.0, 0.02, 0.5]),
    levels=st.sampled_from([2, 7, 50, 0]),
    max_fpr=st.sampled_from([0.3, 0.05, 1.0]),
)
@settings(max_examples=200, deadline=None)
def test_auroc_is_equal_to_the_bit_and_pro_to_the_last_digits(seed, images, size, share, levels, max_fpr):
    masks = masks_of(seed, images, size, share)
    maps = np.random.default_rng(seed).random(masks.shape).astype(np.float32) + 0.3 * masks.astype(np.float32)
    if levels:
        maps = (np.round(maps * levels) / levels).astype(np.float32)
    truth = DeviceTruth([masks[:2], masks[2:]], "cpu")
    found = truth.pixel_metrics(torch.from_numpy(maps), max_fpr=max_fpr)
    expected = metrics.pixel_metrics(masks, maps, max_fpr=max_fpr)
    assert found.pixel_auroc == expected.pixel_auroc == truth.pixel_auroc(torch.from_numpy(maps))
    assert found.pro == pytest.approx(expected.pro, abs=1e-15, rel=1e-14)
    located = truth.located(torch.from_numpy(maps))
    for number, (mask, single) in enumerate(zip(masks, maps, strict=True)):
        if mask.any() and not mask.all():
            auroc, area = located.pop(number)
            assert auroc == metrics.auroc(mask.ravel(), single.ravel())
            assert area == pytest.approx(float(mask.mean()), rel=1e-6)
    assert located == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_that_are_not_finite_or_of_another_shape_are_refused(value):
    masks = masks_of(0, 2, 4, 0.2)
    truth, maps = DeviceTruth([masks], "cpu"), torch.zeros(2, 4, 4)
    maps[1, 2, 3] = value
    with pytest.raises(ValueError, match="maps must be finite, but 1 of 32 are not"):
        truth.pixel_metrics(maps)
    with pytest.raises(ValueError, match=r"maps must have the masks' shape \(2, 4, 4\), but have \(1, 4, 4\)"):
        truth.pixel_auroc(maps[:1])


def test_a_set_of_one_kind_of_pixel_has_the_errors_of_the_other_form():
    for masks in (np.zeros((1, 2, 2), dtype=bool), np.ones((1, 2, 2), dtype=bool)):
        with pytest.raises(ValueError, match="pixel metrics need") as expected:
            metrics.pixel_metrics(masks, np.zeros((1, 2, 2)))
        with pytest.raises(ValueError, match="pixel metrics need") as found:
            DeviceTruth([masks], "cpu")
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 4.0, 30.0])
def test_smoothing_is_the_same_filter_with_the_same_borders(smoothing):
    maps = torch.rand((3, 15, 15), generator=torch.Generator().manual_seed(0))
    expected = finished_maps(maps, size=60, smoothing=smoothing)
    found = finished_on("cpu", maps, size=60, smoothing=smoothing).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    if smoothing == 0:
        np.testing.assert_array_equal(found, expected)
