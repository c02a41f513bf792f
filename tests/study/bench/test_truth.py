import numpy as np
import pytest
import torch

from promptad.datasets import Sample
from promptad.methods import Scores
from promptad.scoring.maps import FinishedMaps
from study.bench.ground_truth import MapsOnDevice, MaskedMaps, MaskSet, Truth

MASKS = np.zeros((3, 3, 5), dtype=bool)
MASKS[1, 0, :2] = MASKS[2, 2, 4] = True


def samples(tmp_path, labels):
    return [
        Sample(name=str(number), path=tmp_path / f"{number}.png", anomalous=label, kind="good", masks=())
        for number, label in enumerate(labels)
    ]


def test_masks_come_back_from_their_bits(tmp_path):
    masks = MaskSet(samples(tmp_path, [False, True, True]), lambda sample: MASKS[int(sample.name)])
    np.testing.assert_array_equal(masks.part(0, 3), MASKS)
    np.testing.assert_array_equal(masks.part(1, 2), MASKS[1:2])
    assert masks.part(0, 1).dtype == np.bool_


def test_masks_and_maps_stay_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr("promptad.scoring.maps.IMAGES_AT_ONCE", 2)
    square = np.zeros((3, 4, 4), dtype=bool)
    square[2] = True
    maps = torch.arange(3.0)[:, None, None].expand(3, 4, 4)
    masks = MaskSet(samples(tmp_path, [False, False, True]), lambda sample: square[int(sample.name)])
    masked = MaskedMaps(masks, FinishedMaps(maps, size=4, smoothing=0))
    assert [(mask.any(), values.max()) for mask, values in masked] == [(False, 1.0), (True, 2.0)]
    np.testing.assert_array_equal(masked.maxima(), [0.0, 1.0, 2.0])


def test_image_metrics_by_hand(tmp_path):
    truth = Truth(samples(tmp_path, [False, True, True]), None)
    result = Scores(image=torch.tensor([0.5, 0.9, 0.1]), maps=None, branches={})
    assert truth.masked(result, size=4, smoothing=0) is None
    assert truth.auroc(result, None) == 0.5
    # Thresholds 0.9 and 0.1: precision 1 and 2/3, recall 1/2 and 1.
    assert truth.scores(result, None) == {"image_auroc": 0.5, "image_aupr": pytest.approx(5 / 6)}


def test_pixel_metrics_by_hand(tmp_path):
    square = np.zeros((2, 2, 2), dtype=bool)
    square[1, 0, 0] = True
    masks = MaskSet(samples(tmp_path, [False, True]), lambda sample: square[int(sample.name)])
    truth = Truth(samples(tmp_path, [False, True]), masks)
    maps = torch.tensor([[[0.1, 0.2], [0.3, 0.9]], [[0.5, 0.4], [0.4, 0.4]]])
    result = Scores(image=None, maps=maps, branches={})
    masked = truth.masked(result, size=2, smoothing=0)
    # One of the seven normal pixels (0.9) is above the anomalous one; PRO: the region is found from FPR 1/7 on.
    assert truth.auroc(result, masked) == 6 / 7
    assert truth.scores(result, masked) == {
        "pixel_auroc": 6 / 7,
        "pro": pytest.approx((0.3 - 1 / 7) / 0.3),
    }


def test_maps_on_a_device_are_measured_there_with_the_same_numbers(tmp_path, monkeypatch):
    """Here the device is the CPU too; added measures still get masks and maps in parts."""
    monkeypatch.setattr("study.bench.ground_truth.IMAGES_AT_ONCE", 2)
    draws = np.random.default_rng(0)
    square = draws.random((5, 8, 8)) < 0.2
    square[0] = False
    everything = samples(tmp_path, [False, True, True, True, True])
    masks = MaskSet(everything, lambda sample: square[int(sample.name)])
    result = Scores(image=None, maps=torch.from_numpy(draws.random((5, 4, 4)).astype(np.float32)), branches={})
    truth = Truth(everything, masks)
    on_cpu = truth.masked(result, size=8, smoothing=0)
    on_device = MapsOnDevice(masks, result.maps, size=8, smoothing=0, device="cpu")
    assert type(on_cpu) is MaskedMaps
    assert truth.auroc(result, on_device) == truth.auroc(result, on_cpu)
    assert truth.scores(result, on_device) == pytest.approx(truth.scores(result, on_cpu), abs=1e-15)
    assert on_device.located() == on_cpu.located()
    np.testing.assert_array_equal(on_device.maxima(), on_cpu.maxima())
    for (mask, values), (other_mask, other_values) in zip(on_device, on_cpu, strict=False):
        np.testing.assert_array_equal(mask, other_mask[: len(mask)])
        np.testing.assert_array_equal(values, other_values[: len(values)])
    # Which form a set takes is decided by where it runs and how large it is.
    monkeypatch.setattr("study.bench.ground_truth.HELD_PIXELS", 5 * 64 - 1)
    assert type(Truth(everything, masks, "cuda").masked(result, size=8, smoothing=0)) is MaskedMaps
