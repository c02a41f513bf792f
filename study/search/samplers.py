"""Samplers by name. What one draws for a trial depends only on the seed, the trial's number and the trials so far.

Optuna's samplers carry their generator from trial to trial, so a killed search would draw other values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ablations.domains import Choice, FloatRange, IntRange
from ablations.sobol import sobol_point
from ablations.spaces import Parameter, Params, Space
from promptad.randomness import seed_of
from promptad.user_error import UserError

POPULATION = 20
"""Trials of a generation of NSGA-II: with Optuna's 50 a search of 100 trials would have two generations."""


class SamplerError(UserError):
    """A sampler that does not exist, or does not fit the objective."""


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter's domain as Optuna's distribution."""
    domain = parameter.domain
    if isinstance(domain, FloatRange):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, IntRange):
        return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return CategoricalDistribution([level.value for level in domain.levels])


def suggest(trial: Trial, space: Space) -> dict[str, object]:
    """Values of the active parameters, each drawn (or fixed) by Optuna in the space's order."""
    params: dict[str, object] = {}
    for parameter in space.parameters:
        if not parameter.active(params):
            continue
        domain, name = parameter.domain, parameter.name
        if isinstance(domain, FloatRange):
            params[name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        elif isinstance(domain, IntRange):
            params[name] = trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
        else:
            assert isinstance(domain, Choice)
            params[name] = trial.suggest_categorical(name, [level.value for level in domain.levels])
    return params


def distributions(params: Params, space: Space) -> dict[str, BaseDistribution]:
    """The distributions of a trial's values."""
    return {each.name: distribution(each) for each in space.parameters if each.name in params}


class SeededSampler(BaseSampler):  # type: ignore[misc]
    """Creates the named sampler again for each trial, seeded by the search's seed and the trial's number."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        self._name, self._space, self._seed = name, space, seed
        self._current: BaseSampler = RandomSampler(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Create the sampler of this trial."""
        with warnings.catch_warnings():
            # Some samplers warn that their interface may change.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._current = SAMPLERS[self._name].make(
                self._space, seed_of(self._seed, "trial", str(trial.number)) % 2**32
            )
        self._current.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Call the sampler's method of this name."""
        return dict(self._current.infer_relative_search_space(study, trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        """Call the sampler's method of this name."""
        return dict(self._current.sample_relative(study, trial, search_space))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """Call the sampler's method of this name."""
        return self._current.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Call the sampler's method of this name."""
        self._current.after_trial(study, trial, state, values)


class SobolSampler(BaseSampler):  # type: ignore[misc]
    """A scrambled Sobol sequence over all parameters: trial n is its point n, independent of other trials.

    A parameter that is not active leaves its coordinate unused. Optuna's own draws conditional parameters at random,
    and restarts when a study is rebuilt.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._names = [parameter.name for parameter in space.parameters]

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        """Empty: no parameters are sampled together."""
        return {}

    def sample_relative(self, *_: object) -> dict[str, object]:
        """Empty: no parameters are sampled together."""
        return {}

    def sample_independent(self, _: Study, trial: FrozenTrial, param_name: str, __: BaseDistribution) -> object:
        """The point's coordinate in the parameter's domain."""
        point = sobol_point(len(self._names), self._seed, trial.number)
        return self._space.parameter(param_name).domain.at(point[self._names.index(param_name)])


def _tpe(_: Space, seed: int) -> BaseSampler:
    return TPESampler(seed=seed)


def _gp(_: Space, seed: int) -> BaseSampler:
    return GPSampler(seed=seed, independent_sampler=RandomSampler(seed), warn_independent_sampling=False)


def _cmaes(_: Space, seed: int) -> BaseSampler:
    return CmaEsSampler(seed=seed, independent_sampler=RandomSampler(seed), warn_independent_sampling=False)


def _random(_: Space, seed: int) -> BaseSampler:
    return RandomSampler(seed)


def _nsga2(_: Space, seed: int) -> BaseSampler:
    return NSGAIISampler(seed=seed, population_size=POPULATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerEntry:
    """One sampler: ``make`` takes the space and a seed.

    ``adaptive``: it looks at earlier trials and tries good places more often; reports warn of it.
    ``stateful``: it has a state of its own beside Optuna's trials, and receives earlier trials again, one by one.
    ``single``: it needs one value per trial. ``sequence``: one sampler serves all trials, by their numbers; others are
    created again for each.
    """

    make: Callable[[Space, int], BaseSampler]
    adaptive: bool
    stateful: bool = False
    single: bool = False
    sequence: bool = False


SAMPLERS: dict[str, SamplerEntry] = {
    "tpe": SamplerEntry(make=_tpe, adaptive=True),
    "gp": SamplerEntry(make=_gp, adaptive=True),
    "cmaes": SamplerEntry(make=_cmaes, adaptive=True, stateful=True, single=True),
    "random": SamplerEntry(make=_random, adaptive=False),
    "sobol": SamplerEntry(make=SobolSampler, adaptive=False, sequence=True),
    "nsga2": SamplerEntry(make=_nsga2, adaptive=True, stateful=True),
}
"""Every sampler by the name that ``search --sampler`` takes. A new one is a function and an entry."""


def named_sampler(name: str) -> SamplerEntry:
    """A sampler by name; raises ``SamplerError`` that lists them."""
    if name not in SAMPLERS:
        raise SamplerError(f"no sampler is called {name}; there are {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def sampler(name: str, space: Space, seed: int) -> BaseSampler:
    """The sampler of a search."""
    entry = named_sampler(name)
    return entry.make(space, seed_of(seed, name) % 2**32) if entry.sequence else SeededSampler(name, space, seed)


def check_sampler(name: str, *, single: bool) -> None:
    """Raise ``SamplerError`` for a name that no sampler has, or one that does not fit the objective."""
    if named_sampler(name).single and not single:
        fit = [other for other, entry in SAMPLERS.items() if not entry.single]
        raise SamplerError(f"sampler {name} wants one value a trial: with this objective use {', '.join(fit)}")
