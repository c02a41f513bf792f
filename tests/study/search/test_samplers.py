import optuna
import pytest

from ablations.ours.ready_spaces import FULL, PAPER
from ablations.sobol import setting, sobol_point
from study.search.samplers import SAMPLERS, SamplerError, check_sampler, sampler, suggest


def drawn(name, count, *, seed=0, space=PAPER, ends=None):
    study = optuna.create_study(direction="maximize", sampler=sampler(name, space, seed))
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append(suggest(trial, space))
        if ends is not None:
            study.tell(trial, ends(found[-1]))
    return found


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_draws_depend_on_the_number_of_the_trial_and_not_on_what_is_known(name):
    known = drawn(name, 6, ends=lambda params: params["lambda"])
    assert drawn(name, 6) == known
    assert drawn(name, 6, seed=1) != known


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_every_sampler_draws_only_active_parameters_of_the_full_space(name):
    for params in drawn(name, 12, space=FULL, ends=lambda params: float(params["N"])):
        names = [parameter.name for parameter in FULL.parameters if parameter.active(params)]
        assert list(params) == names
        assert ("memory" in params) == params["vad"]


def test_a_sobol_set_is_even():
    points = drawn("sobol", 16)
    # Sixteen points of a Sobol sequence put four in each quarter of every coordinate.
    assert sorted(params["N"] for params in points) == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert sorted((params["L"] - 1) // 2 for params in points) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert len({params["lambda"] for params in points}) == 16


def test_the_sampler_draws_the_settings_of_the_design():
    from promptad.randomness import seed_of

    assert drawn("sobol", 8, space=FULL) == [setting(FULL, seed_of(0, "sobol") % 2**32, number) for number in range(8)]


def test_a_point_is_that_of_the_whole_sequence():
    from scipy.stats import qmc

    engine = qmc.Sobol(3, scramble=True, rng=5)
    whole = [*engine.random(1), *engine.random(1), *engine.random(2)]
    assert [sobol_point(3, 5, number) for number in range(4)] == [tuple(point) for point in whole]


def test_samplers_by_name():
    check_sampler("nsga2", single=False)
    with pytest.raises(SamplerError, match="no sampler is called tep; there are tpe, gp, cmaes, random, sobol, nsga2"):
        check_sampler("tep", single=True)
    with pytest.raises(SamplerError, match="sampler cmaes wants one value a trial: with this objective use tpe, gp"):
        check_sampler("cmaes", single=False)
