import warnings

import numpy as np
import optuna
import pytest

from study.search.pruning import is_worse, replayed


def by_optuna(values, best, threshold):
    """What Optuna's own pruner decides in a maximising study whose best trial has these values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=threshold)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.add_trial(optuna.trial.create_trial(value=float(np.mean(list(best.values()))), intermediate_values=best))
        trial = study.ask()
        for step, value in values.items():
            trial.report(value, step)
        return trial.should_prune()


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.4])
def test_decisions_are_those_of_optunas_pruner(threshold):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draws = np.random.default_rng(0)
    decisions = []
    for _ in range(120):
        pairs, seen = int(draws.integers(2, 12)), int(draws.integers(1, 12))
        best = {pair: round(float(draws.normal(0.8, 0.05)), 2) for pair in range(pairs)}
        shift = draws.choice([-0.05, 0.0, 0.05])
        # Rounded, so that there are ties and zeros.
        values = {
            pair: round(best[pair] + float(draws.normal(shift, 0.03)), 2) for pair in list(best)[: min(seen, pairs)]
        }
        ours = is_worse(values, best, threshold=threshold)
        assert ours == by_optuna(values, best, threshold), (values, best)
        decisions.append(ours)
    assert 0.05 < np.mean(decisions) < 0.6


def test_four_pairs_that_are_all_worse_stop_a_trial_at_a_tenth_and_three_do_not():
    best = dict.fromkeys(range(6), 0.9)
    # One-sided p is 1 / 2^n: 0.0625 of four, 0.125 of three.
    worse = {0: 0.8, 1: 0.81, 2: 0.82, 3: 0.83}
    assert is_worse(worse, best, threshold=0.1)
    assert not is_worse({pair: worse[pair] for pair in range(3)}, best, threshold=0.1)
    assert not is_worse(worse, best, threshold=0.06)


def test_a_trial_with_the_better_mean_goes_on_whatever_the_test_says():
    best = {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5, 4: 0.1}
    # Worse on all four pairs, but the best trial's mean, its last pair included, is lower.
    assert not is_worse({0: 0.49, 1: 0.48, 2: 0.47, 3: 0.46}, best, threshold=0.1)
    assert is_worse({0: 0.40, 1: 0.39, 2: 0.38, 3: 0.37}, best, threshold=0.1)


def test_a_replay_counts_the_cells_after_the_stop():
    trials = {
        0: [0.9, 0.8, 0.9, 0.8, 0.9, 0.8],
        1: [0.7, 0.6, 0.7, 0.6, 0.95, 0.95],
        2: [0.91, 0.81, 0.92, 0.82, 0.91, 0.81],
        3: [0.90, 0.80, 0.91, 0.81, 0.90, 0.80],
    }
    replay = replayed(trials, cells_per_pair=2, threshold=0.1)
    # Trials 1 and 3 are worse on four pairs, and stop two pairs (four cells) early.
    assert replay.stopped == (1, 3)
    assert (replay.saved, replay.cells) == (8, 48)
    assert replay.winner == replay.winner_without == 2
    assert replay.same_winner


def test_a_replay_tells_when_a_late_winner_was_stopped():
    trials = {0: [0.8, 0.8, 0.8, 0.8, 0.8, 0.8], 1: [0.7, 0.7, 0.7, 0.7, 1.0, 1.0], 2: [0.79] * 4 + [0.9, 0.9]}
    replay = replayed(trials, cells_per_pair=1, threshold=0.1)
    assert replay.stopped == (1, 2)
    assert (replay.winner, replay.winner_without, replay.same_winner) == (0, 2, False)
