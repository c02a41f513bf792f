"""Early stopping across categories: a trial that is significantly worse than the best one on the same pairs ends.

The test is the one of Optuna's ``WilcoxonPruner``, which Ray's ``OptunaSearch`` cannot use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

DEFAULT_THRESHOLD = 0.1
"""P below which a trial is stopped, Optuna's default. The test is repeated, so it is not the chance of a mistake."""

LEAST_PAIRS = 2
"""Pairs before which no trial is stopped; at 0.1, fewer than 4 can never be significant."""


def is_worse(values: Mapping[int, float], best: Mapping[int, float], *, threshold: float) -> bool:
    """Whether to stop a trial: its values by pair against those of the best trial; larger is better.

    One-sided Wilcoxon signed-rank test over the pairs that both have, zeros split between the signs. A trial whose mean
    is at least the best one's is never stopped, whatever the test says.
    """
    both = sorted(values.keys() & best.keys())
    if len(both) < LEAST_PAIRS:
        return False
    differences = [values[pair] - best[pair] for pair in both]
    p = float(stats.wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue)
    if p >= threshold:
        return False
    return sum(values.values()) / len(values) < sum(best.values()) / len(best)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What early stopping would have done in a search without it: cells by number, winners by trial number."""

    cells: int
    saved: int
    stopped: tuple[int, ...]
    winner: int
    winner_without: int

    @property
    def same_winner(self) -> bool:
        """Whether the same trial wins."""
        return self.winner == self.winner_without


def replayed(trials: Mapping[int, Sequence[float]], *, cells_per_pair: float, threshold: float) -> Replay:
    """Stop the recorded trials (values of every pair in order, by number) as if they ran one after the other.

    Nothing is computed again. Other proposals that a sampler would have made are ignored.
    """
    best: int | None = None
    stopped, saved = [], 0.0
    means = {number: sum(values) / len(values) for number, values in trials.items()}
    for number, values in sorted(trials.items()):
        if best is not None:
            reference = dict(enumerate(trials[best]))
            for count in range(1, len(values)):
                if is_worse(dict(enumerate(values[:count])), reference, threshold=threshold):
                    stopped.append(number)
                    saved += (len(values) - count) * cells_per_pair
                    break
        if number not in stopped and (best is None or means[number] > means[best]):
            best = number
    assert best is not None
    return Replay(
        cells=round(sum(map(len, trials.values())) * cells_per_pair),
        saved=round(saved),
        stopped=tuple(stopped),
        winner=best,
        winner_without=max(means, key=lambda number: (means[number], -number)),
    )
