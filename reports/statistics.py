"""Means, intervals and paired effects with the seed as the unit of replication.

Categories are averaged within a seed first: they share the seed's support draw and initialisation, so cells are not
independent, and an interval over all cells would be too narrow. Bootstraps under-cover badly at 3 to 5 seeds
(a nominal 95% percentile interval covers 73% at n = 3), hence Student's t.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Two scores closer than this are the same number up to the rounding of float64 sums.
TIE = 1e-12
MARGIN = 0.005
"""Half a percentage point: an effect that surely lies within it is none that matters."""
LEVEL = 0.05

SeedScores = Mapping[tuple[int, str], float]
"""Scores of one arm, metric and number of shots, keyed by (seed, category), in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Mean over n seeds, SD (ddof = 1) and 95% t-interval of the mean.

    `sd` is None at n = 1. `low` and `high` are None at n = 1, and also if every seed gave the same value: such seeds
    are repeats of one computation, not replicates, and an interval of width 0 would claim certainty.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None where no interval can be given."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def excludes_zero(self) -> bool:
        """True if there is an interval and 0 lies outside it."""
        bounds = self.interval
        return bounds is not None and not bounds[0] <= 0.0 <= bounds[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Arm minus baseline, paired at equal seed and category, as differences of fractions.

    `summary` is over `differences`, one mean difference per seed; `p` is the two-sided one-sample t-test of them
    (None where there is no interval), `p_holm` its Holm adjustment within `family` tests. `up`, `down` and `tied`
    count categories by the sign of their mean difference. `p_equivalent` is that of two one-sided t-tests (TOST)
    against -MARGIN and +MARGIN, `p_equivalent_holm` its adjustment within the same table.
    """

    summary: Summary
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    p: float | None
    p_holm: float | None
    family: int
    up: int
    down: int
    tied: int
    p_equivalent: float | None = None
    p_equivalent_holm: float | None = None


Claim = Literal["higher", "lower", "no effect", "higher, unadjusted", "lower, unadjusted", "open", "no interval"]


def claim(effect: Effect) -> Claim:
    """What may be said of an effect: a difference after Holm's correction, equivalence after it, or less.

    "no effect" is the claim that the effect lies within MARGIN; "unadjusted": the interval excludes 0, but Holm's p is
    above 0.05. An effect that is both clear of 0 and within the margin counts as a difference.
    """
    if effect.p is None or effect.p_holm is None:
        return "no interval"
    up = effect.summary.mean > 0
    if effect.p_holm < LEVEL:
        return "higher" if up else "lower"
    if effect.p_equivalent_holm is not None and effect.p_equivalent_holm < LEVEL:
        return "no effect"
    if effect.p < LEVEL:
        return "higher, unadjusted" if up else "lower, unadjusted"
    return "open"


def t_test(summary: Summary) -> float | None:
    """P value of the two-sided one-sample t-test against 0; None where there is no interval."""
    if not summary.sd or summary.interval is None:
        return None
    statistic = summary.mean / (summary.sd / math.sqrt(summary.n))
    return float(2 * stats.t.sf(abs(statistic), summary.n - 1))


def equivalence(summary: Summary, margin: float = MARGIN) -> float | None:
    """P value of two one-sided t-tests: small if the mean lies within -margin and +margin. None without an interval."""
    if not summary.sd or summary.interval is None:
        return None
    error = summary.sd / math.sqrt(summary.n)
    below = stats.t.sf((summary.mean + margin) / error, summary.n - 1)
    above = stats.t.sf((margin - summary.mean) / error, summary.n - 1)
    return float(max(below, above))


def summarize(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """Mean, SD (ddof = 1) and t-interval of one value per seed.

    Raises:
        ValueError: if there is no value, or one that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0:
        raise ValueError("a summary needs at least 1 value, but got 0: report a missing value instead")
    if not np.isfinite(numbers).all():
        raise ValueError(f"a summary needs finite values, but got {numbers.tolist()}: leave failed cells out first")
    count, mean = int(numbers.size), float(numbers.mean())
    if count == 1:
        return Summary(mean=mean, sd=None, low=None, high=None, n=1)
    if float(np.ptp(numbers)) <= TIE:
        return Summary(mean=mean, sd=0.0, low=None, high=None, n=count)
    sd = float(numbers.std(ddof=1))
    half = quantile(0.5 + confidence / 2, count - 1) * sd / math.sqrt(count)
    return Summary(mean=mean, sd=sd, low=mean - half, high=mean + half, n=count)


@cache
def quantile(probability: float, freedom: int) -> float:
    """Of Student's t with whole degrees of freedom."""
    return float(stats.t.ppf(probability, freedom))


def complete_seeds(scores: SeedScores, seeds: Sequence[int], categories: Sequence[str]) -> tuple[int, ...]:
    """The seeds at which every one of `categories` has a score, in the order given."""
    return tuple(seed for seed in seeds if all((seed, category) in scores for category in categories))


def seed_means(scores: SeedScores, seeds: Sequence[int], categories: Sequence[str]) -> tuple[float, ...]:
    """Mean over all `categories` within each of `seeds`, every one of which must be complete."""
    return tuple(math.fsum(scores[seed, category] for category in categories) / len(categories) for seed in seeds)


def paired_effect(
    arm: SeedScores, baseline: SeedScores, *, seeds: Sequence[int], categories: Sequence[str]
) -> Effect | None:
    """Arm minus baseline over the seeds at which both have all `categories`; None if there is no such seed."""
    theirs = set(complete_seeds(baseline, seeds, categories))
    both = [seed for seed in complete_seeds(arm, seeds, categories) if seed in theirs]
    if not both:
        return None
    delta = np.array([[arm[seed, name] - baseline[seed, name] for name in categories] for seed in both])
    differences = tuple(math.fsum(row) / len(categories) for row in delta.tolist())
    summary = summarize(differences)
    by_category = delta.mean(axis=0)
    return Effect(
        summary=summary,
        seeds=tuple(both),
        differences=differences,
        p=t_test(summary),
        p_holm=None,
        family=0,
        up=int((by_category > TIE).sum()),
        down=int((by_category < -TIE).sum()),
        tied=int((np.abs(by_category) <= TIE).sum()),
        p_equivalent=equivalence(summary),
    )


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down adjusted p values, in the order given; None stays None and is no member of the family.

    adjusted(i) = max over j <= i of min(1, (m - j + 1) * p(j)), with p(1) <= ... <= p(m).
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = running
    return tuple(adjusted)
