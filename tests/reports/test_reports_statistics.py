"""Means, intervals, paired effects and Holm's adjustment against hand-computed values and a simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from reports.statistics import complete_seeds, equivalence, holm, paired_effect, seed_means, summarize


def test_summary_by_hand():
    # Mean 0.3 (median 0.2); SD = sqrt((0.04 + 0.01 + 0.09) / 2); t(0.975, 2) = 4.302653.
    found = summarize([0.1, 0.2, 0.6])
    assert found.mean == pytest.approx(0.3)
    assert found.sd == pytest.approx(math.sqrt(0.07))
    assert found.low == pytest.approx(0.3 - 4.302653 * math.sqrt(0.07 / 3), abs=1e-6)
    assert found.high == pytest.approx(0.3 + 4.302653 * math.sqrt(0.07 / 3), abs=1e-6)
    assert found.n == 3


def test_one_seed_has_neither_sd_nor_interval():
    found = summarize([0.7])
    assert (found.mean, found.sd, found.low, found.high, found.n) == (0.7, None, None, None, 1)
    assert found.interval is None


def test_equal_seeds_are_no_replicates_and_get_no_interval():
    found = summarize([0.1 + 0.2, 0.3, 0.3])
    assert (found.sd, found.interval, found.n) == (0.0, None, 3)


@pytest.mark.parametrize(
    ("values", "message"), [([], "at least 1 value, but got 0"), ([0.5, math.nan], "finite values, but got")]
)
def test_a_summary_of_nothing_or_nan_is_an_error(values, message):
    with pytest.raises(ValueError, match=message):
        summarize(values)


def test_t_interval_over_seed_means_covers_even_if_categories_share_the_seeds_effect():
    # 2000 studies of 3 seeds x 15 categories, correlation 0.3 between the categories of a seed; the truth is 0.
    # An interval pooled over all 45 cells covers only about 60%, a percentile bootstrap about 75%.
    rng = np.random.default_rng(7)
    shared, own = rng.normal(0, math.sqrt(0.3), (2000, 3, 1)), rng.normal(0, math.sqrt(0.7), (2000, 3, 15))
    names = [f"c{index}" for index in range(15)]
    covered = 0
    for study in shared + own:
        scores = {(seed, name): study[seed, index] for seed in range(3) for index, name in enumerate(names)}
        low, high = summarize(seed_means(scores, (0, 1, 2), names)).interval
        covered += low <= 0 <= high
    assert 0.935 < covered / 2000 < 0.965


def test_only_seeds_with_every_category_count():
    scores = {(0, "a"): 0.5, (0, "b"): 0.7, (1, "a"): 0.1, (2, "b"): 0.9, (2, "a"): 0.2}
    assert complete_seeds(scores, (0, 1, 2), ("a", "b")) == (0, 2)
    assert seed_means(scores, (0, 2), ("a", "b")) == pytest.approx((0.6, 0.55))


ARM = {
    (0, "a"): 0.6,
    (1, "a"): 0.5,
    (2, "a"): 0.9,
    (0, "b"): 0.8,
    (1, "b"): 0.7,
    (2, "b"): 0.9,
}
BASE = {
    (0, "a"): 0.5,
    (1, "a"): 0.5,
    (2, "a"): 0.3,
    (0, "b"): 0.5,
    (1, "b"): 0.5,
    (2, "b"): 0.3,
}


def test_paired_effect_by_hand():
    # Differences: seed 0: 0.1, 0.3; seed 1: 0, 0.2; seed 2: 0.6, 0.6 -> per seed 0.2, 0.1, 0.6.
    found = paired_effect(ARM, BASE, seeds=(0, 1, 2), categories=("a", "b"))
    assert found is not None
    assert found.differences == pytest.approx((0.2, 0.1, 0.6))
    assert found.summary.mean == pytest.approx(0.3)
    assert found.summary.sd == pytest.approx(math.sqrt(0.07))
    # For 2 degrees of freedom the two-sided p is 1 - t / sqrt(t^2 + 2) in closed form.
    t = 0.3 / math.sqrt(0.07 / 3)
    assert found.p == pytest.approx(1 - t / math.sqrt(t * t + 2))
    assert found.p == pytest.approx(stats.ttest_1samp([0.2, 0.1, 0.6], 0).pvalue)
    assert (found.up, found.down, found.tied) == (2, 0, 0)


def test_effect_pairs_at_equal_seed_and_uses_only_seeds_complete_on_both_sides():
    arm = ARM | {(1, "c"): 0.2, (2, "c"): 0.1, (0, "c"): 0.5}
    base = BASE | {(1, "c"): 0.4, (2, "c"): 0.3}
    found = paired_effect(arm, base, seeds=(0, 1, 2), categories=("a", "b", "c"))
    assert found is not None
    assert found.seeds == (1, 2)
    assert found.differences == pytest.approx((0.0, 1.0 / 3))
    assert (found.up, found.down, found.tied) == (2, 1, 0)
    assert paired_effect(arm, {}, seeds=(0, 1, 2), categories=("a",)) is None


def test_effect_counts_categories_by_the_sign_of_their_mean_and_ties():
    base = {(0, "a"): 0.5, (1, "a"): 0.5, (0, "b"): 0.25, (1, "b"): 0.5}
    arm = {(0, "a"): 0.4, (1, "a"): 0.55, (0, "b"): 0.5, (1, "b"): 0.25}
    found = paired_effect(arm, base, seeds=(0, 1), categories=("a", "b"))
    assert found is not None
    assert (found.up, found.down, found.tied) == (0, 1, 1)
    # Mean +0.1, median -0.1.
    skewed = {(0, "a"): 0.4, (1, "a"): 0.4, (2, "a"): 1.0}
    even = {(seed, "a"): 0.5 for seed in range(3)}
    assert paired_effect(skewed, even, seeds=(0, 1, 2), categories=("a",)).up == 1


def test_effect_without_spread_or_with_one_seed_has_no_test():
    one = paired_effect(ARM, BASE, seeds=(0,), categories=("a", "b"))
    assert one is not None
    assert (one.p, one.summary.interval) == (None, None)
    shifted = {place: value + 0.05 for place, value in BASE.items()}
    same = paired_effect(shifted, BASE, seeds=(0, 1, 2), categories=("a", "b"))
    assert same is not None
    assert (same.p, same.summary.interval) == (None, None)


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 = 0.03, 0.06, 0.04; the running maximum lifts the last to 0.06.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.5, None, 0.9]) == (1.0, None, 1.0)
    assert holm([]) == ()


def test_equivalence_by_hand():
    # Mean 0.001, SD 0.001, error 0.000577: t = 0.004 / 0.000577 = 6.928 at 2 degrees of freedom, one side 0.0101.
    summary = summarize([0.0, 0.001, 0.002])
    assert equivalence(summary) == pytest.approx(0.0101, abs=1e-4)
    assert equivalence(summarize([0.5])) is None
    # A mean on the margin is as likely inside as outside.
    assert equivalence(summarize([0.004, 0.005, 0.006])) == pytest.approx(0.5)


def test_the_interval_covers_as_often_as_it_says_and_equivalence_errs_as_rarely():
    generator = np.random.default_rng(7)
    covered = wrong = 0
    for draws in generator.normal(0.005, 0.003, (1500, 4)):
        summary = summarize(draws)
        covered += summary.low <= 0.005 <= summary.high
        # The true effect lies on the margin: to claim equivalence is an error, allowed in one of twenty.
        wrong += equivalence(summary) < 0.05
    assert covered / 1500 == pytest.approx(0.95, abs=0.02)
    assert wrong / 1500 == pytest.approx(0.05, abs=0.02)
