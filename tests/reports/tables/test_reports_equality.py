import math

import numpy as np
import pytest
from scipy import stats

from reports.statistics import MARGIN, summarize
from reports.tables.equality import MOST_SEEDS, PAPER_SEEDS, ROUNDING, equality, more_seeds

STUDIES = 2000


def summary(values):
    return summarize(list(values))


def rate_of_differs(*, n, ours, theirs, printed_sd=True):
    """How often "differs" is said of two equal truths, the paper's mean and SD printed to 0.1 points."""
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(STUDIES):
        here = 0.9 + 0.01 * ours * generator.standard_normal(n)
        there = 0.9 + 0.01 * theirs * generator.standard_normal(PAPER_SEEDS)
        sd = round(float(there.std(ddof=1)), 3) if printed_sd else None
        found = equality(summary(here), round(float(there.mean()), 3), sd)
        assert found is not None
        wrong += found.outcome == "differs"
    return wrong / STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize(("ours", "theirs"), [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)])
def test_equal_truths_differ_in_at_most_6_percent_of_studies(n, ours, theirs):
    assert rate_of_differs(n=n, ours=ours, theirs=theirs) <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_so_they_do_where_the_paper_prints_no_sd_and_spreads_as_we_do(n):
    assert rate_of_differs(n=n, ours=1, theirs=1, printed_sd=False) <= 0.06


def test_whether_the_printed_mean_lies_in_our_interval_is_no_such_test():
    generator = np.random.default_rng(0)
    outside = 0
    for _ in range(STUDIES):
        ours = summary(0.9 + 0.005 * generator.standard_normal(20))
        printed = round(float((0.9 + 0.017 * generator.standard_normal(PAPER_SEEDS)).mean()), 3)
        low, high = ours.interval
        outside += not low <= printed <= high
    assert outside / STUDIES > 0.5


def test_the_interval_is_welchs_widened_by_the_rounding():
    ours = np.array([0.90, 0.92, 0.93, 0.91, 0.95])
    theirs = np.array([0.93, 0.96, 0.95, 0.94, 0.97])
    found = equality(summary(ours), float(theirs.mean()), float(theirs.std(ddof=1)))
    # Equal sizes: Welch's degrees of freedom are 7.83 here, and are rounded down to 7.
    error = math.sqrt(ours.var(ddof=1) / 5 + theirs.var(ddof=1) / 5)
    half = stats.t.ppf(0.975, 7) * error + ROUNDING
    assert found.difference == pytest.approx(ours.mean() - theirs.mean())
    assert (found.low, found.high) == pytest.approx((found.difference - half, found.difference + half))
    whole = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    assert found.low < whole.low
    assert whole.high < found.high


def test_without_a_printed_sd_the_papers_five_seeds_spread_as_ours():
    ours = summary([0.90, 0.92, 0.94])
    found = equality(ours, 0.92, None)
    half = stats.t.ppf(0.975, 2) * 0.02 * math.sqrt(1 / 3 + 1 / 5) + ROUNDING
    assert found.own_spread
    assert found.high == pytest.approx(half)


def test_three_outcomes():
    near = [0.9001, 0.8999, 0.9003, 0.8997, 0.9000]
    assert equality(summary(near), 0.900, None).outcome == "equal"
    assert equality(summary(near), 0.950, None).outcome == "differs"
    wide = [0.88, 0.92, 0.91, 0.89, 0.90]
    assert equality(summary(wide), 0.900, None).outcome == "open"


def test_equal_is_claimed_of_a_difference_of_the_margin_in_at_most_5_percent():
    generator = np.random.default_rng(1)
    claimed = 0
    for _ in range(STUDIES):
        ours = summary(0.9 + MARGIN + 0.002 * generator.standard_normal(10))
        printed = round(float((0.9 + 0.002 * generator.standard_normal(PAPER_SEEDS)).mean()), 3)
        claimed += equality(ours, printed, None).outcome == "equal"
    assert 0 < claimed / STUDIES <= 0.05


def test_an_open_number_says_how_many_more_seeds_would_close_it():
    values = [0.9, 0.9 + 4e-3, 0.9 - 4e-3]
    found = equality(summary(values), 0.9, None)
    assert found.outcome == "open"
    # Seeds with the same mean and SD as these: settled at that number, and not one before.
    sd, n = 4e-3, 3 + more_seeds(summary(values), 0.9, None)

    def reach(n):
        return stats.t.ppf(0.95, n - 1) * sd * math.sqrt(1 / n + 1 / 5) + ROUNDING

    assert reach(n) < MARGIN <= reach(n - 1)


def test_the_papers_own_noise_can_keep_a_number_open_for_ever():
    ours = summary([0.90, 0.92, 0.91])
    assert equality(ours, 0.905, 0.02).outcome == "open"
    assert more_seeds(ours, 0.905, 0.02) is None
    assert stats.t.ppf(0.95, 4) * 0.02 / math.sqrt(PAPER_SEEDS) > MARGIN
    assert MOST_SEEDS == 1000


def test_rounding_alone_is_no_difference():
    ours = summary([0.90040, 0.90041, 0.90042])
    assert equality(ours, 0.900, None).outcome == "equal"


@pytest.mark.parametrize("values", [[0.9], [0.9, 0.9, 0.9]])
def test_without_an_interval_nothing_is_said(values):
    assert equality(summary(values), 0.9, 0.01) is None
