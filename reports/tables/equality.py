"""Whether a number of the paper and ours are the same: a test of equality with the noise of both.

Both are means over seeds, so both are uncertain. Where the paper prints an SD, the interval of the difference is
Welch's; where it does not, the paper's seeds are taken to spread as ours do. A printed number is rounded to 0.1 points,
which widens the interval on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reports.statistics import CONFIDENCE, LEVEL, MARGIN, Summary, quantile

PAPER_SEEDS = 5
"""Supplement A: "the mean and standard deviation over 5 random seeds"."""
ROUNDING = 0.0005
"""Half of the last printed digit, as a fraction."""
MOST_SEEDS = 1000
"""Largest number of seeds that is recommended; more count as out of reach."""

Outcome = Literal["differs", "equal", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equality:
    """Our mean minus a printed one, as fractions, with a 95% interval that includes the printed number's rounding.

    ``outcome`` is "differs" if the interval excludes 0, "equal" if two one-sided tests at 5% show that the
    difference lies within MARGIN, else "open". ``own_spread``: the paper prints no SD, so ours stands for it.
    """

    difference: float
    low: float
    high: float
    outcome: Outcome
    own_spread: bool


def equality(ours: Summary, printed: float, printed_sd: float | None) -> Equality | None:
    """Compare a mean over seeds with a printed fraction; None where ours has no interval.

    The printed SD is taken as that of the paper's 5 seed means, which is how its supplement reads; it does not say
    whether categories were averaged first.
    """
    if not ours.sd or ours.interval is None:
        return None
    difference = ours.mean - printed
    error, freedom = _error(ours.sd, ours.n, printed_sd)
    half = _half_width(error, freedom)
    outcome = _outcome(abs(difference), error, freedom)
    return Equality(
        difference=difference,
        low=difference - half,
        high=difference + half,
        outcome=outcome,
        own_spread=printed_sd is None,
    )


def more_seeds(ours: Summary, printed: float, printed_sd: float | None) -> int | None:
    """The least number of further seeds of ours at which the same mean and SD would no longer be open.

    None if no number of seeds up to 1000 suffices, because the paper's own five leave it open.
    """
    assert ours.sd
    size = abs(ours.mean - printed)
    for seeds in range(ours.n + 1, MOST_SEEDS + 1):
        if _outcome(size, *_error(ours.sd, seeds, printed_sd)) != "open":
            return seeds - ours.n
    return None


def _error(sd: float, n: int, printed_sd: float | None) -> tuple[float, int]:
    """Standard error of the difference, and its degrees of freedom: n - 1, or Welch's rounded down.

    Rounded down, as tables of t are read: with 3 seeds that spread 3 times as far as the paper's, Welch's fraction
    claims a difference in 6.2% of equal pairs.
    """
    if printed_sd is None:
        return sd * math.sqrt(1 / n + 1 / PAPER_SEEDS), n - 1
    ours, theirs = sd**2 / n, printed_sd**2 / PAPER_SEEDS
    freedom = (ours + theirs) ** 2 / (ours**2 / (n - 1) + theirs**2 / (PAPER_SEEDS - 1))
    return math.sqrt(ours + theirs), math.floor(freedom + 1e-9)


def _half_width(error: float, freedom: int) -> float:
    """Half of the 95% interval, the printed number's rounding included."""
    return quantile(0.5 + CONFIDENCE / 2, freedom) * error + ROUNDING


def _outcome(size: float, error: float, freedom: int) -> Outcome:
    if size > _half_width(error, freedom):
        return "differs"
    # The end of the one-sided interval.
    return "equal" if size + quantile(1 - LEVEL, freedom) * error + ROUNDING < MARGIN else "open"
