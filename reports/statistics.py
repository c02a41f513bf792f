"""Means, intervals and paired effects with the seed as the unit of replication.

Categories are averaged within a seed first, and the interval is over these averages. Every draw is seeded by seed *and*
category, so one could take categories as independent, and an interval from the variance within each of them would be
narrower at equal coverage: ours is about 1.3 times as wide at n = 5. It is chosen because it needs no assumption
about categories. Bootstraps under-cover badly at 3 to 5 seeds (a nominal 95% percentile interval covers 73% at n = 3),
hence Student's t.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeVar

import numpy as np

CONFIDENCE = 0.95
# Two scores closer than this are the same number up to the rounding of float64 sums.
TIE = 1e-12
MARGIN = 0.005
"""Half a percentage point, as a fraction: an effect shown to lie within it counts as no effect."""
LEVEL = 0.05
"""Largest probability of a false direction, and of a false "no effect", for a whole family of tests."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A mean difference of fractions with its tests; `differences` has one value per seed, `summary` is over them.

    `p` is the two-sided one-sample t-test of them against 0, `p_equivalent` that of two one-sided t-tests (TOST)
    against -MARGIN and +MARGIN; None where there is no interval. `p_holm` and `p_equivalent_holm` are their Holm
    adjustments within `family` tests each; None and 0 until `adjusted` has seen the whole family.
    """

    summary: Summary
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    p: float | None
    p_holm: float | None = None
    family: int = 0
    p_equivalent: float | None = None
    p_equivalent_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Difference):
    """Arm minus baseline, paired at equal seed and category.

    `up`, `down` and `tied` count categories by the sign of their mean difference.
    """

    up: int
    down: int
    tied: int


Claim = Literal["higher", "lower", "no effect", "open", "no interval"]
SETTLED: frozenset[Claim] = frozenset({"higher", "lower", "no effect"})
"""The claims that state a result; "open" states none."""


def claim(difference: Difference) -> Claim:
    """The claim about a difference after Holm's correction over its family.

    "no effect" is the claim that it lies within MARGIN. A difference that is both clear of 0 and within the margin
    counts as "higher" or "lower". "open": neither was shown, although an unadjusted interval may exclude 0.

    Raises:
        ValueError: if the difference was tested, but not adjusted.
    """
    if difference.p is None:
        return "no interval"
    if difference.p_holm is None or difference.p_equivalent_holm is None:
        raise ValueError("a claim needs adjusted p values, but got unadjusted ones: call adjusted(family) first")
    if difference.p_holm < LEVEL:
        return "higher" if difference.summary.mean > 0 else "lower"
    return "no effect" if difference.p_equivalent_holm < LEVEL else "open"


def t_test(summary: Summary) -> float | None:
    """P value of the two-sided one-sample t-test against 0; None where there is no interval."""
    if not summary.sd or summary.interval is None:
        return None
    statistic = summary.mean / (summary.sd / math.sqrt(summary.n))
    return 2 * _below(-abs(statistic), summary.n - 1)


def equivalence(summary: Summary, margin: float = MARGIN) -> float | None:
    """P value of two one-sided t-tests: small if the mean lies within -margin and +margin. None without an interval."""
    if not summary.sd or summary.interval is None:
        return None
    error = summary.sd / math.sqrt(summary.n)
    below = _below(-(summary.mean + margin) / error, summary.n - 1)
    above = _below(-(margin - summary.mean) / error, summary.n - 1)
    return max(below, above)


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
    # scipy takes most of a second to load, and reading documents does not need it.
    from scipy import special

    return float(special.stdtrit(freedom, probability))


def _below(statistic: float, freedom: int) -> float:
    """The probability that Student's t is at most `statistic`."""
    from scipy import special

    return float(special.stdtr(freedom, statistic))


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
        p_equivalent=equivalence(summary),
        up=int((by_category > TIE).sum()),
        down=int((by_category < -TIE).sum()),
        tied=int((np.abs(by_category) <= TIE).sum()),
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


Tested = TypeVar("Tested", bound=Difference)


def adjusted(family: Sequence[Tested]) -> tuple[Tested, ...]:
    """The same differences with Holm's p values: all of them are one family of tests, and so are their equivalences.

    A direction is then claimed falsely in at most LEVEL of the cases in which the family is drawn again, and so is an
    equivalence.
    """
    differs = holm([one.p for one in family])
    equals = holm([one.p_equivalent for one in family])
    size = sum(p is not None for p in differs)
    return tuple(
        replace(one, p_holm=p, p_equivalent_holm=same, family=size)
        for one, p, same in zip(family, differs, equals, strict=True)
    )
