"""What a search says, by hand-computed numbers: slices, history, front, work, winners, fresh seeds and stability."""

import math
from dataclasses import replace

import pytest
from helpers.searches_of_trials import CATEGORIES, LOSS, SEEDS, TOKENS, document, files, many_trials, trial

from reports.searches.search_reading import read_search
from reports.searches.search_tables import best_grid
from reports.searches.search_words import search_lead
from reports.searches.sensitivity import (
    best_so_far,
    best_trials,
    importances,
    pareto_front,
    ranked_parameters,
    slices,
    work,
)
from reports.searches.winners import candidates, fresh_claims, held_out_effect, standings

SPACE = (TOKENS, LOSS)
DEFAULT = {"tokens": 4, "loss": "on"}


def read(trials, **changes):
    sensitivity = changes.pop("sensitivity", None)
    return read_search(files(document(space=changes.pop("space", SPACE), **changes), trials, sensitivity=sensitivity))


def numbers(trials):
    return [one.number for one in trials]


def by_seed(*values):
    """Each seed's value in every category."""
    return lambda _, seed: values[seed]


def shares(**means):
    return {name: {"all_trials": mean, "mean": mean, "low": 0.0, "high": 1.0} for name, mean in means.items()}


def test_a_slice_has_a_mean_and_interval_by_level():
    trials = [
        trial(0, {"tokens": 1, "loss": "on"}, value=0.70),
        trial(1, {"tokens": 1, "loss": "on"}, value=0.74),
        trial(2, {"tokens": 1, "loss": "off"}, value=0.81),
        trial(3, {"tokens": 8, "loss": "off"}, value=0.9),
        trial(4, {"tokens": 8, "loss": "off"}, value=0.9, state="pruned"),
    ]
    tokens, loss = slices(read(trials), 0)
    first = tokens.groups[tokens.axis.group(1)].summary
    assert first.n == 3
    assert first.mean == pytest.approx(0.75)
    # SD 0.0557; t(2, 0.975) = 4.3027
    assert first.high - first.mean == pytest.approx(4.302653 * 0.055678 / math.sqrt(3), rel=1e-4)
    last = tokens.groups[tokens.axis.group(8)].summary
    assert (last.n, last.interval) == (1, None)
    assert tokens.groups[tokens.axis.group(4)].summary is None
    assert [group.summary.n for group in loss.groups] == [2, 2]


def test_a_conditional_parameter_s_slice_has_only_the_trials_with_it():
    search = read_search(files(document(), many_trials(30)))
    found = {one.axis.parameter.name: one for one in slices(search, 0)}
    active = [one for one in search.complete if one.params["loss"] == "on"]
    assert 0 < len(active) < 30
    assert found["weight"].trials == tuple(active)


def test_parameters_are_ranked_by_the_mean_of_the_definitions():
    methods = [
        {"method": "PED-ANOVA", "trials": 4, "absent": {}, "parameters": shares(tokens=0.4, loss=0.6)},
        {"method": "fANOVA", "trials": 4, "absent": {}, "parameters": shares(tokens=0.9, loss=0.1)},
    ]
    search = read([trial(0, DEFAULT, value=0.5)], sensitivity={"objectives": [{"methods": methods}]})
    assert [one.name for one in ranked_parameters(search, 0)] == ["tokens", "loss"]
    ped, fanova = importances(search, 0)
    assert [bar.parameter.name for bar in ped.bars] == ["loss", "tokens"]
    assert fanova.bars[0].share == 0.9
    assert importances(read([]), 0) == ()


@pytest.mark.parametrize(
    ("direction", "best", "history"),
    [
        ("maximize", [2, 1, 3, 0], [(0, 0.5), (1, 0.7), (2, 0.9), (3, 0.9)]),
        ("minimize", [0, 1, 3, 2], [(0, 0.5), (1, 0.5), (2, 0.5), (3, 0.5)]),
    ],
)
def test_the_best_and_the_best_so_far_follow_the_direction(direction, best, history):
    trials = [trial(number, DEFAULT, value=value) for number, value in enumerate((0.5, 0.7, 0.9, 0.7))]
    search = read(trials, directions=(direction,))
    assert numbers(best_trials(search, 0)) == best
    assert best_so_far(search, 0) == tuple((number, pytest.approx(value)) for number, value in history)


def test_the_front_is_what_nothing_dominates():
    pairs = [(0.9, 5.0), (0.8, 3.0), (0.8, 4.0), (0.7, 3.0), (0.6, 1.0), (0.9, 5.0)]
    trials = [trial(number, DEFAULT, values=list(pair)) for number, pair in enumerate(pairs)]
    search = read(trials, metrics=("image_auroc", "seconds"), directions=("maximize", "minimize"))
    assert numbers(pareto_front(search)) == [0, 5, 1, 4]
    both_up = read(trials, metrics=("image_auroc", "pixel_auroc"), directions=("maximize", "maximize"))
    assert numbers(pareto_front(both_up)) == [0, 5]


def test_work_counts_the_cells_that_pruning_left_out():
    trials = [trial(0, DEFAULT, value=0.5), trial(1, DEFAULT, value=0.5), trial(2, DEFAULT, value=0.4, state="pruned")]
    trials[2]["steps"] = trials[2]["steps"][:2]
    trials.append(trial(3, DEFAULT, state="failed", reason="out of memory"))
    found = work(read(trials))
    assert (found.planned, found.evaluated, found.saved, found.pruned) == (18, 14, 4, 1)


def test_differences_to_the_defaults_are_paired_by_seed():
    trials = [
        trial(0, DEFAULT, value=by_seed(0.70, 0.80, 0.60)),
        trial(1, {"tokens": 8, "loss": "on"}, value=by_seed(0.72, 0.83, 0.61)),
        trial(2, {"tokens": 2, "loss": "on"}, value=by_seed(0.60, 0.70, 0.50)),
    ]
    first, second, third = candidates(read(trials), 0, {})
    assert [one.trial.number for one in (first, second, third)] == [1, 0, 2]
    assert [one.default for one in (first, second, third)] == [False, True, False]
    assert first.effect.summary.mean == pytest.approx(0.02)
    assert first.effect.differences == pytest.approx((0.02, 0.03, 0.01))
    # SD 0.01 over 3 seeds, far below the spread of the scores themselves.
    assert first.effect.summary.high - 0.02 == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-4)
    assert second.effect is None
    assert third.effect.summary.mean == pytest.approx(-0.1)
    assert first.fresh is None
    assert first.optimism is None


def test_the_defaults_are_listed_even_if_they_are_far_behind():
    trials = [trial(number, {"tokens": 8, "loss": "on"}, value=0.9 + number / 1000) for number in range(12)]
    trials.append(trial(12, DEFAULT, value=0.1))
    found = candidates(read(trials), 0, {})
    assert [one.trial.number for one in found] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 12]


def row(digest, category, seed, score, *, task="image", status="ok"):
    return {
        "schema": 1,
        "digest": digest,
        "status": status,
        "reason": None if status == "ok" else "out of memory",
        "scores": {f"{task}_auroc": score} if status == "ok" else None,
        "cell": {"category": category, "seed": seed, "task": task},
    }


def fresh_study():
    seeds = (10, 11)
    winner, default = by_seed(0.74, 0.70), by_seed(0.70, 0.68)
    trials = [trial(0, DEFAULT, value=0.70), trial(1, {"tokens": 8, "loss": "on"}, value=0.80)]
    names = {number: [f"{number}{c}{s}" for s in seeds for c in CATEGORIES] for number in (0, 1)}
    rows = {
        f"{number}{c}{s}": row(f"{number}{c}{s}", c, s, score(c, s - 10))
        for number, score in ((0, default), (1, winner))
        for s in seeds
        for c in CATEGORIES
    }
    fresh = {"seeds": list(seeds), "trials": {"1": names[1]}, "default": names[0]}
    return trials, rows, fresh


def test_fresh_seeds_show_the_optimism_of_the_search():
    trials, rows, fresh = fresh_study()
    winner, default = candidates(read(trials, fresh=fresh), 0, rows)
    assert winner.fresh.summary.mean == pytest.approx(0.72)
    assert winner.fresh.effect.differences == pytest.approx((0.04, 0.02))
    assert winner.optimism == pytest.approx(0.08)
    assert default.fresh.summary.mean == pytest.approx(0.69)
    assert default.fresh.effect is None
    assert default.optimism == pytest.approx(0.01)


def test_what_the_search_promised_too_much_is_said_and_that_another_measure_is_none():
    trials, rows, fresh = fresh_study()
    # 80.0 in the search, 72.0 on fresh seeds.
    search = read(trials, fresh=fresh)
    assert ". The search promised 8.0 points too much." in search_lead(search, rows)
    other = replace(search, on_test_images=False)
    assert ". The search's own number, another measure, is 8.0 points higher." in search_lead(other, rows)
    trials[1] = trial(1, {"tokens": 8, "loss": "on"}, value=0.71)
    assert ". The search promised 1.0 points too little." in search_lead(read(trials, fresh=fresh), rows)
    trials[1] = trial(1, {"tokens": 8, "loss": "on"}, value=0.72)
    as_much = read(trials, fresh=fresh)
    assert ". The search promised as much." in search_lead(as_much, rows)
    assert ", another measure, is equal." in search_lead(replace(as_much, on_test_images=False), rows)


def test_on_fresh_seeds_the_defaults_have_their_score_and_the_difference_its_name():
    trials, rows, fresh = fresh_study()
    lead = search_lead(read(trials, fresh=fresh), rows)
    assert "On fresh seeds it reaches 72.0 [" in lead
    assert ", n = 2, the defaults 69.0: a difference of +3.0 points [" in lead
    one_seed = read(trials, fresh=fresh | {"seeds": [10]})
    assert "the defaults 70.0: a difference of +4.0 points, no interval, n = 1." in search_lead(one_seed, rows)


def test_only_fresh_seeds_claim_and_only_after_correction_over_all_that_ran_there():
    seeds = (10, 11, 12)
    # 5.2, 2.8 and 3.6 points over the defaults: t = 5.48 at 2 degrees of freedom, p = 0.032.
    scores = {0: by_seed(0.70, 0.70, 0.70), 1: by_seed(0.752, 0.728, 0.736), 2: by_seed(0.736, 0.752, 0.728)}
    trials = [
        trial(0, DEFAULT, value=by_seed(0.70, 0.70, 0.70)),
        trial(1, {"tokens": 8, "loss": "on"}, value=by_seed(0.80, 0.80, 0.801)),
        trial(2, {"tokens": 7, "loss": "on"}, value=by_seed(0.79, 0.79, 0.791)),
    ]
    names = {number: [f"{number}{c}{s}" for s in seeds for c in CATEGORIES] for number in scores}
    rows = {
        f"{number}{c}{s}": row(f"{number}{c}{s}", c, s, score(c, s - 10))
        for number, score in scores.items()
        for s in seeds
        for c in CATEGORIES
    }

    def shown(*again):
        fresh = {"seeds": list(seeds), "trials": {str(number): names[number] for number in again}, "default": names[0]}
        search = read(trials, fresh=fresh)
        (found,) = fresh_claims([candidates(search, 0, rows)])
        return found, best_grid(search, rows).rows

    (first, second, default), spots = shown(1, 2)
    assert [one.fresh.effect.p_holm for one in (first, second)] == pytest.approx([2 * 0.0317] * 2, abs=2e-4)
    assert default.fresh.effect is None
    assert [line[4].tone for line in spots] == ["open", "open", "absent"]
    assert spots[0][4].lines[0] == "open: neither shown nor excluded"
    # Alone it is the only test.
    assert shown(1)[1][0][4].tone == "higher"
    # In the search their intervals exclude 0 by far, but they were chosen by them: no colour says so.
    assert first.effect.p < 0.001
    assert [(line[2].main, line[2].tone) for line in spots[:2]] == [("+10.0", "ours"), ("+9.0", "ours")]


def test_fresh_cells_that_are_missing_or_failed_give_no_mean():
    trials, rows, fresh = fresh_study()
    del rows["1bolt10"]
    rows["1gear11"] = row("1gear11", "gear", 11, 0.9, status="failed")
    winner, default = candidates(read(trials, fresh=fresh), 0, rows)
    assert (winner.fresh.summary, winner.fresh.effect, winner.optimism) == (None, None, None)
    assert (winner.fresh.there, winner.fresh.planned) == (2, 4)
    assert default.fresh.summary is not None


def test_the_winner_on_held_out_categories_is_paired_with_the_base():
    scores = {"w": (0.8, 0.9, 0.7), "b": (0.7, 0.8, 0.6)}
    rows = {f"{who}{s}": row(f"{who}{s}", "ring", s, of[s]) for who, of in scores.items() for s in SEEDS}
    held_out = {
        "held_out": ["ring"],
        "winner": {"value": 0.8, "cells": ["w0", "w1", "w2"], "trial": 0},
        "base": {"value": 0.7, "cells": ["b0", "b1", "b2"]},
    }
    search = read([trial(0, DEFAULT, value=0.7)], report=held_out)
    assert held_out_effect(search, rows).differences == pytest.approx((0.1, 0.1, 0.1))
    lead = search_lead(search, rows)
    assert "On the categories held out (ring) the winner reaches 80.0, the base config 70.0: a difference of" in lead
    assert "a difference of +10.0 points, no interval (all seeds equal), n = 3." in lead
    assert held_out_effect(search, {}) is None
    assert held_out_effect(read([trial(0, DEFAULT, value=0.7)]), rows) is None
    failed = read([trial(0, DEFAULT, value=0.7)], report=held_out | {"base": {"value": None, "cells": ["b0"]}})
    assert "a cell of the winner or the base config failed" in search_lead(failed, rows)


def test_ranks_and_won_resamples_by_hand():
    trials = [
        trial(0, DEFAULT, value=by_seed(0.90, 0.90, 0.60)),
        trial(1, {"tokens": 1, "loss": "on"}, value=by_seed(0.70, 0.70, 0.80)),
        trial(2, {"tokens": 2, "loss": "on"}, value=by_seed(0.10, 0.10, 0.70)),
    ]
    first, second, third = standings(read(trials), 0)
    assert [one.trial.number for one in (first, second, third)] == [0, 1, 2]
    assert first.ranks == ((0, 1), (1, 1), (2, 3))
    assert second.ranks == ((0, 2), (1, 2), (2, 1))
    # Trial 0 leads by 0.2 at seeds 0 and 1 and trails by 0.2 at seed 2: it loses when seed 2 is drawn twice or thrice.
    assert first.by_seeds == pytest.approx(20 / 27, abs=0.03)
    assert first.by_seeds + second.by_seeds == pytest.approx(1)
    assert third.by_seeds == 0
    # Categories do not differ: whatever is drawn, the first wins.
    assert first.by_categories == 1.0


def test_a_trial_without_every_cell_does_not_take_part():
    trials = [trial(0, DEFAULT, value=0.9), trial(1, {"tokens": 1, "loss": "on"}, value=0.8)]
    trials[0]["steps"] = trials[0]["steps"][:3]
    assert [one.trial.number for one in standings(read(trials), 0)] == [1]
    assert standings(read([]), 0) == ()


def test_an_objective_that_cells_do_not_measure_has_neither_pairs_nor_ranks():
    trials = [trial(number, DEFAULT | {"tokens": 4 + number}, values=[10.0 + number], value=0.5) for number in range(2)]
    search = read(trials, metrics=("seconds",), directions=("minimize",))
    assert standings(search, 0) == ()
    assert [one.effect for one in candidates(search, 0, {})] == [None, None]
