from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from promptad.scoring import metrics
from promptad.scoring.metrics import auroc, average_precision, per_region_overlap, pixel_auroc, pixel_metrics


def slow_pro(masks, maps, max_fpr):
    """Per-region overlap as the definition reads: one pass over all images per distinct threshold."""
    labelled = [ndimage.label(mask, structure=np.ones((3, 3))) for mask in masks]
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        false_positives = np.mean(maps[~masks] >= threshold)
        overlaps = [
            np.mean(image_map[labels == region] >= threshold)
            for image_map, (labels, count) in zip(maps, labelled, strict=True)
            for region in range(1, count + 1)
        ]
        curve.append((false_positives, np.mean(overlaps)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x1 <= max_fpr:
            area += (x1 - x0) * (y0 + y1) / 2
        elif x0 < max_fpr:
            y_limit = y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
            area += (max_fpr - x0) * (y0 + y_limit) / 2
    return area / max_fpr


def random_pixels(seed, *, levels, images=5, side=12):
    generator = np.random.default_rng(seed)
    masks = generator.random((images, side, side)) < generator.uniform(0.05, 0.3)
    masks[0] = False
    maps = generator.normal(size=masks.shape) + generator.uniform(0, 2) * masks
    if levels:
        maps = np.round(maps * levels) / levels
    return masks, maps.astype(np.float32)


@pytest.fixture
def tiny():
    """Two images, two regions (1 and 3 pixels), eight normal pixels."""
    masks = np.zeros((2, 2, 3), dtype=bool)
    masks[0, 0, 0] = True
    masks[1, 0, :] = True
    maps = np.array(
        [[[0.9, 0.8, 0.1], [0.1, 0.1, 0.1]], [[0.95, 0.7, 0.0], [0.75, 0.1, 0.1]]],
        dtype=np.float32,
    )
    return masks, maps


def test_auroc_counts_pairs_by_hand():
    # Pairs (anomalous, normal): 3>1, 3>2, 2>1 are right, 2=2 is a tie: 3.5 of 4.
    assert auroc(np.array([False, False, True, True]), np.array([1.0, 2.0, 2.0, 3.0])) == 0.875


def test_auroc_of_constant_scores_is_chance():
    assert auroc(np.array([True, False, False]), np.full(3, 7.5)) == 0.5


def test_higher_scores_mean_more_anomalous():
    anomalous = np.array([False, False, True])
    assert auroc(anomalous, np.array([-5.0, -4.0, 3.0])) == 1.0
    assert auroc(anomalous, np.array([5.0, 4.0, -3.0])) == 0.0


def test_average_precision_by_hand():
    # Descending: anomalous (precision 1/1), normal, anomalous (2/3); recall rises by 1/2 each time.
    value = average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.1]))
    assert value == pytest.approx((1 + 2 / 3) / 2, abs=1e-15)


def test_average_precision_of_constant_scores_is_the_share_of_anomalous_samples():
    assert average_precision(np.array([True, False, False, False]), np.zeros(4)) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 8, 1])
@pytest.mark.parametrize("seed", range(10))
def test_image_metrics_equal_sklearn(seed, levels):
    generator = np.random.default_rng(seed)
    anomalous = np.arange(50) < generator.integers(1, 50)
    scores = 30 * generator.normal(size=50) + 5 * anomalous
    if levels:
        scores = np.round(scores / 30 * levels)
    generator.shuffle(order := np.arange(50))
    anomalous, scores = anomalous[order], scores[order]
    assert auroc(anomalous, scores) == pytest.approx(roc_auc_score(anomalous, scores), abs=1e-12)
    assert average_precision(anomalous, scores) == pytest.approx(average_precision_score(anomalous, scores), abs=1e-12)


def test_pixel_metrics_by_hand(tiny):
    # Normal pixels: 0.8, 0.75 and six of 0.1. Descending, (FPR, PRO): 0.95 (0, 1/6); 0.9 (0, 2/3); 0.8 (1/8, 2/3);
    # 0.75 (2/8, 2/3); 0.7 (2/8, 5/6); 0.1 (1, 5/6); 0.0 (1, 1). Up to 0.5: 2/3 * 1/4 + 5/6 * 1/4.
    result = pixel_metrics(*tiny, max_fpr=0.5)
    assert result.pro == pytest.approx((2 / 3 + 5 / 6) / 2, abs=1e-15)
    # Pairs: 8 + 8 + 6 + 0 right of 4 * 8.
    assert result.pixel_auroc == 22 / 32


def test_pro_rises_linearly_over_ties_and_is_cut_on_the_way():
    # One region of one pixel, tied with all three normal pixels: PRO(fpr) = fpr, so the mean up to m is m / 2.
    masks = np.array([[[True, False], [False, False]]])
    maps = np.ones((1, 2, 2), dtype=np.float32)
    assert per_region_overlap(masks, maps, max_fpr=0.4) == pytest.approx(0.2, abs=1e-15)
    assert per_region_overlap(masks, maps, max_fpr=1.0) == pytest.approx(0.5, abs=1e-15)


def test_pro_limit_may_fall_within_a_tie_with_a_single_normal_pixel():
    masks = np.array([[[True, False]]])
    maps = np.full((1, 1, 2), 0.5, dtype=np.float32)
    assert per_region_overlap(masks, maps, max_fpr=0.5) == pytest.approx(0.25, abs=1e-15)


def test_pro_limit_is_three_tenths_unless_told_otherwise():
    masks = np.array([[[True, False], [False, False]]])
    maps = np.ones((1, 2, 2), dtype=np.float32)
    assert per_region_overlap(masks, maps) == pixel_metrics(masks, maps).pro == pytest.approx(0.15, abs=1e-15)


def test_pro_weighs_regions_equally_and_pixels_touching_at_a_corner_are_one_region():
    masks = np.zeros((1, 4, 4), dtype=bool)
    masks[0, [0, 1, 3], [0, 1, 3]] = True
    maps = np.zeros((1, 4, 4), dtype=np.float32)
    maps[0, 0, 0] = 1  # half of the first region; none of the second; with 4-connectivity it would be a third
    # (0, 1/4) straight to (1, 1): the mean up to 0.2 is 1/4 + 3/4 * 0.1.
    assert per_region_overlap(masks, maps, max_fpr=0.2) == pytest.approx(0.325, abs=1e-12)


def test_regions_do_not_grow_across_images():
    masks = np.zeros((2, 2, 2), dtype=bool)
    masks[0, 0] = True  # two pixels, found
    masks[1, 0, 0] = True  # one pixel, missed
    maps = np.where(masks, 1, 0).astype(np.float32)
    maps[1, 0, 0] = -1
    assert per_region_overlap(masks, maps, max_fpr=0.5) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("seed", range(8))
def test_pixel_metrics_equal_the_slow_oracles(seed, levels):
    masks, maps = random_pixels(seed, levels=levels)
    expected_auroc = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(masks, maps) == pytest.approx(expected_auroc, abs=1e-12)
    for max_fpr in (0.01, 0.3, 1.0):
        result = pixel_metrics(masks, maps, max_fpr=max_fpr)
        assert result.pixel_auroc == pytest.approx(expected_auroc, abs=1e-12)
        assert result.pro == pytest.approx(slow_pro(masks, maps, max_fpr), abs=1e-10)


@pytest.mark.parametrize("transform", [lambda x: 100 * x - 3, np.exp, np.cbrt, lambda x: -1 / (x + 20)])
def test_metrics_do_not_change_under_increasing_transforms(transform):
    masks, maps = random_pixels(3, levels=16)
    transformed = transform(maps.astype(np.float64))
    assert pixel_metrics(masks, maps) == pixel_metrics(masks, transformed)
    flat, scores, moved = masks[1].ravel(), maps[1].ravel(), transformed[1].ravel()
    assert auroc(flat, scores) == auroc(flat, moved)
    assert average_precision(flat, scores) == average_precision(flat, moved)


def test_order_of_images_does_not_matter():
    masks, maps = random_pixels(4, levels=4)
    straight, reversed_ = pixel_metrics(masks, maps), pixel_metrics(masks[::-1], maps[::-1])
    assert reversed_.pixel_auroc == straight.pixel_auroc
    assert reversed_.pro == pytest.approx(straight.pro, abs=1e-14)


def test_neighbouring_floats_are_told_apart_and_signed_zeros_are_not():
    masks = np.array([[[True, False]]])
    one = np.float32(1)
    assert pixel_auroc(masks, np.array([[[np.nextafter(one, np.float32(2)), one]]])) == 1.0
    assert pixel_auroc(masks, np.array([[[-0.0, 0.0]]], dtype=np.float32)) == 0.5


def test_arguments_are_left_as_they_were(tiny):
    masks, maps = tiny
    before = masks.copy(), maps.copy()
    pixel_metrics(masks, maps)
    pixel_auroc(masks, maps)
    scores = maps[1].ravel()
    average_precision(masks[1].ravel(), scores)
    np.testing.assert_array_equal(masks, before[0])
    np.testing.assert_array_equal(maps, before[1])
    np.testing.assert_array_equal(scores, before[1][1].ravel())


@pytest.mark.parametrize(("metric", "name"), [(auroc, "AUROC"), (average_precision, "average precision")])
def test_image_metrics_refuse(metric, name):
    labels = np.array([True, False, False, True])
    with pytest.raises(ValueError, match=rf"{name} needs normal and anomalous samples, but got 0 anomalous of 20"):
        metric(np.zeros(20, dtype=bool), np.zeros(20))
    with pytest.raises(ValueError, match=r"but got 3 anomalous of 3"):
        metric(np.ones(3, dtype=bool), np.zeros(3))
    with pytest.raises(ValueError, match=r"but got 0 anomalous of 0"):
        metric(np.zeros(0, dtype=bool), np.zeros(0))
    with pytest.raises(ValueError, match=r"scores must be finite, but 2 of 4 are NaN or infinite"):
        metric(labels, np.array([0.0, np.nan, -np.inf, 1.0]))
    with pytest.raises(ValueError, match=r"same shape \(n,\), but got \(4,\) and \(3,\)"):
        metric(labels, np.zeros(3))
    with pytest.raises(ValueError, match=r"same shape \(n,\), but got \(2, 2\) and \(2, 2\)"):
        metric(labels.reshape(2, 2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"anomalous must be boolean, but is int64"):
        metric(labels.astype(np.int64), np.zeros(4))


@pytest.mark.parametrize("metric", [pixel_auroc, per_region_overlap, pixel_metrics])
def test_pixel_metrics_refuse(metric, tiny):
    masks, maps = tiny
    with pytest.raises(ValueError, match=r"need an anomalous pixel, but all 12 pixels are normal"):
        metric(np.zeros_like(masks), maps)
    with pytest.raises(ValueError, match=r"need a normal pixel, but all 12 pixels are anomalous"):
        metric(np.ones_like(masks), maps)
    with pytest.raises(ValueError, match=r"maps must be finite, but 1 of 12 are NaN or infinite"):
        metric(masks, np.where(maps == np.float32(0.75), np.inf, maps))
    with pytest.raises(ValueError, match=r"\(image, height, width\), but got \(2, 2, 3\) and \(2, 2, 2\)"):
        metric(masks, maps[:, :, :2])
    with pytest.raises(ValueError, match=r"\(image, height, width\), but got \(2, 3\) and \(2, 3\)"):
        metric(masks[0], maps[0])
    with pytest.raises(ValueError, match=r"masks must be boolean, but is uint8"):
        metric(masks.astype(np.uint8), maps)


@pytest.mark.parametrize("max_fpr", [0.0, -0.3, 1.01, float("nan")])
def test_pro_refuses_a_limit_outside_its_domain(max_fpr, tiny):
    with pytest.raises(ValueError, match=r"max_fpr must be in \(0, 1\], but got"):
        per_region_overlap(*tiny, max_fpr=max_fpr)


@pytest.mark.parametrize("levels", [0, 7])
def test_sorting_some_images_at_a_time_changes_no_bit(monkeypatch, levels):
    masks, maps = random_pixels(3, levels=levels)
    at_once = pixel_metrics(masks, maps)
    monkeypatch.setattr(metrics, "PIXELS_AT_ONCE", 2 * masks[0].size)
    assert pixel_metrics(masks, maps) == at_once
    monkeypatch.setattr(metrics, "PIXELS_AT_ONCE", 1)
    assert pixel_metrics(masks, maps) == at_once
