"""Which means over categories deserve an interval: coverage in simulated transfer studies with known truth."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from reports.reading.proxy_objectives import OTHER_CATEGORIES, PSEUDO_ANOMALIES
from reports.tables.transfer import Transfer, over_categories, rank_correlation, regret_of

SETTINGS = 16
STUDIES = 2000
COMMON = stats.norm.ppf((np.arange(SETTINGS) + 0.5) / SETTINGS)
"""What settings are worth in every category, in units of what they are worth in one alone."""


def ranks(values):
    return values.argsort(-1).argsort(-1) - (SETTINGS - 1) / 2


def spearman(first, second):
    """Spearman's correlation along the last axis, for values without ties."""
    return (ranks(first) * ranks(second)).sum(-1) / (SETTINGS * (SETTINGS**2 - 1) / 12)


def regret(values, truth):
    chosen = np.take_along_axis(truth, values.argmax(-1)[..., None], -1)[..., 0]
    return truth.max(-1) - chosen


def others(truth):
    """The mean over all categories but each one, by study, category and setting."""
    return (truth.sum(1, keepdims=True) - truth) / (truth.shape[1] - 1)


@dataclass(frozen=True)
class Studies:
    """Test scores by study, category and setting, and what pseudo-anomalies say of them."""

    truth: np.ndarray
    proxies: np.ndarray


def drawn(categories, shared, copied, seed=2):
    """Settings are worth `shared` times COMMON plus a category's own; proxies see `copied` times that, with noise."""
    generator = np.random.default_rng(seed)
    truth = shared * COMMON + generator.normal(size=(STUDIES, categories, SETTINGS))
    return Studies(truth=truth, proxies=copied * truth + generator.normal(size=truth.shape))


def coverage(values, half):
    """Share of studies whose interval, mean +- half, holds the mean of all studies."""
    means = values.mean(1)
    return float((abs(means - means.mean()) <= half).mean())


def t_half(values):
    categories = values.shape[1]
    return stats.t.ppf(0.975, categories - 1) * values.std(1, ddof=1) / np.sqrt(categories)


def jackknife_half(truth):
    """Half width from leaving out one category after the other, with everything made anew from those that are left."""
    categories = truth.shape[1]
    left = [np.delete(truth, place, 1) for place in range(categories)]
    means = np.stack([spearman(others(rest), rest).mean(1) for rest in left])
    error = np.sqrt((categories - 1) / categories * ((means - means.mean(0)) ** 2).sum(0))
    return stats.t.ppf(0.975, categories - 1) * error


def test_the_simulation_measures_what_the_report_prints():
    studies = drawn(6, 0.6, 1.0)
    values, truth = studies.proxies[0, 0], studies.truth[0, 0]
    assert spearman(values, truth) == pytest.approx(rank_correlation(values.tolist(), truth.tolist())[0])
    assert regret(values, truth) == pytest.approx(regret_of(values.tolist(), truth.tolist()))
    correlations = spearman(studies.proxies[0], studies.truth[0])
    half = float(t_half(correlations[None])[0])
    one = overall(PSEUDO_ANOMALIES, correlations)
    assert one.interval == pytest.approx((correlations.mean() - half, correlations.mean() + half))
    others_too = overall(OTHER_CATEGORIES, correlations)
    assert (others_too.correlation, others_too.interval) == (pytest.approx(correlations.mean()), None)


def overall(objective, correlations):
    """What the report says of one objective with a category for each correlation."""
    found = [
        Transfer(
            category=str(place),
            metric="image_auroc",
            shots=1,
            objective=objective,
            n=SETTINGS,
            correlation=float(value),
            low=None,
            high=None,
            regret=0.0,
            at_random=0.0,
            of_base=None,
        )
        for place, value in enumerate(correlations)
    ]
    (one,) = over_categories(found).values()
    return one


@pytest.mark.parametrize("categories", [6, 8, 12, 15])
@pytest.mark.parametrize("copied", [0.0, 0.5, 1.0])
def test_the_interval_of_pseudo_anomalies_covers(categories, copied):
    studies = drawn(categories, 0.6, copied)
    correlations = spearman(studies.proxies, studies.truth)
    assert 0.92 < coverage(correlations, t_half(correlations)) < 0.965


@pytest.mark.slow
@pytest.mark.parametrize("categories", [6, 8, 12, 15])
@pytest.mark.parametrize("shared", [0.0, 0.6])
def test_no_interval_of_other_categories_covers_so_none_is_printed(categories, shared):
    truth = drawn(categories, shared, 0.0).truth
    correlations = spearman(others(truth), truth)
    assert coverage(correlations, t_half(correlations)) < 0.915
    if shared == 0.0:
        # Without a relation a jackknife is too wide; with one that differs between categories it is too narrow.
        assert coverage(correlations, jackknife_half(truth)) > 0.975


def test_a_jackknife_is_too_narrow_where_the_relation_differs_between_categories():
    generator = np.random.default_rng(2)
    worth = 0.6 + 0.6 * generator.normal(size=(STUDIES, 6, 1))
    truth = worth * COMMON + generator.normal(size=(STUDIES, 6, SETTINGS))
    assert coverage(spearman(others(truth), truth), jackknife_half(truth)) < 0.945


def test_no_interval_of_a_regret_covers_so_none_is_printed():
    good = drawn(8, 0.6, 3.0)
    regrets = regret(good.proxies, good.truth)
    assert coverage(regrets, t_half(regrets)) < 0.85
    among = regret(others(good.truth), good.truth)
    assert coverage(among, t_half(among)) < 0.85
