"""Importances of a search's hyperparameters by two definitions, with their spread over resampled trials."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reports.reading.shapes import Document
from reports.searches.search import Objective, Parameter, Search
from reports.searches.search_reading import SearchFiles, read_search, usable_importances
from study.records.folder import LedgerError, StudyFolder
from study.search.search_files import read_search_files, sensitivity_name

VERSION = 1
"""Raised when the same trials give other importances."""
RESAMPLES = 50
TREES, RESAMPLED_TREES, DEPTH = 64, 8, 8
"""Of fANOVA's forests. A tree's cost is its leaves times its nodes; 2^8 leaves separate main effects."""
FEWEST = 10
"""Complete trials below which an importance would be noise."""

Shares = dict[str, float]
Importance = Callable[[Any], Shares]


def write_sensitivity(folder: StudyFolder, search: str) -> bool:
    """Write the importances of a search beside it unless those of the same trials exist; returns whether it wrote.

    Importances are shares that sum to 1: for all trials, and mean, 5th and 95th percentile over bootstrap resamples of
    the complete trials. Equal trials give equal bytes.

    Raises:
        ValueError: if the search's document cannot be used.
        LedgerError: if the folder cannot be read or written.
    """
    files = read_search_files(folder, search)
    if _made(files):
        return False
    _write(folder, search, sensitivity(files))
    return True


def with_sensitivity(folder: StudyFolder, search: str) -> SearchFiles:
    """The files of a search with importances of its trials; new importances are written if the folder is writable.

    A search that cannot be used is returned unchanged.
    """
    files = read_search_files(folder, search)
    if _made(files):
        return files
    try:
        made = sensitivity(files)
    except ValueError:
        return files
    # A user who may only read the study can still make its report.
    with contextlib.suppress(LedgerError):
        _write(folder, search, made)
    return replace(files, sensitivity=made)


def sensitivity(files: SearchFiles) -> Document:
    """The document of importances of a search's trials.

    Raises:
        ValueError: if the search's document cannot be used.
    """
    read = read_search(files)
    return {
        "schema": 1,
        "search": files.name,
        "made_from": _digest(files),
        "resamples": RESAMPLES,
        "objectives": [
            {"label": objective.label, "methods": [_ped_anova(read, place), _fanova(read, place)]}
            for place, objective in enumerate(read.objectives)
        ],
    }


def _made(files: SearchFiles) -> bool:
    usable = usable_importances(files)
    return usable is not None and usable.get("made_from") == _digest(files)


def _write(folder: StudyFolder, search: str, document: Document) -> None:
    folder.write(sensitivity_name(search), (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def rebuilt(search: Search, place: int = 0) -> Any:
    """An in-memory Optuna study of one objective from a search's complete trials, for Optuna's own plots too.

    Choices become their JSON text, because Optuna compares choices by ``==``, for which 1, 1.0 and True are equal. A
    trial with a value outside the space, as the paper's may be, is left out.
    """
    import optuna

    distributions = {parameter.name: _distribution(parameter) for parameter in search.parameters}
    numeric = {parameter.name: parameter.numeric for parameter in search.parameters}
    made = []
    for trial in search.complete:
        params = {name: value if numeric[name] else json.dumps(value) for name, value in trial.params.items()}
        if _inside(params, distributions):
            chosen = {name: distributions[name] for name in params}
            made.append(optuna.create_trial(params=params, distributions=chosen, values=[trial.values[place]]))
    return _study_of(made, search.objectives[place])


def _study_of(trials: Sequence[Any], objective: Objective) -> Any:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize" if objective.maximize else "minimize")
        study.add_trials(trials)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return study


def _digest(files: SearchFiles) -> str:
    parts = [VERSION, files.document.get("space"), files.document.get("objective"), sorted(files.trials.items())]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not parameter.numeric:
        return CategoricalDistribution([json.dumps(value) for value in parameter.values])
    if parameter.kind == "int":
        whole = 1 if parameter.log or parameter.step is None else int(parameter.step)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=whole)
    step = None if parameter.log else parameter.step
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=step)


def _inside(params: dict[str, Any], distributions: dict[str, Any]) -> bool:
    try:
        return all(distributions[name]._contains(distributions[name].to_internal_repr(v)) for name, v in params.items())
    except (TypeError, ValueError):
        return False


def _ped_anova(search: Search, place: int) -> Document:
    import optuna

    with warnings.catch_warnings():
        # Optuna 4 calls it experimental.
        warnings.simplefilter("ignore")
        evaluate = optuna.importance.PedAnovaImportanceEvaluator().evaluate
    definition = _Definition(method="PED-ANOVA", full=evaluate, quick=evaluate)
    return _importances(definition, search, place, rebuilt(search, place).get_trials(), {})


def _fanova(search: Search, place: int) -> Document:
    """FANOVA weighs a logarithmic parameter's range as it was searched: Optuna's own would weigh it linearly."""
    import optuna

    trials = [_in_logarithms(trial) for trial in rebuilt(search, place).get_trials()]
    always = set.intersection(*({*trial.params} for trial in trials)) if trials else set()
    dropped = {
        parameter.name: "active in some trials only, which fANOVA cannot use"
        for parameter in search.parameters
        if parameter.name not in always
    }
    full, quick = (
        optuna.importance.FanovaImportanceEvaluator(n_trees=trees, max_depth=DEPTH, seed=0).evaluate
        for trees in (TREES, RESAMPLED_TREES)
    )
    return _importances(_Definition(method="fANOVA", full=full, quick=quick), search, place, trials, dropped)


def _in_logarithms(trial: Any) -> Any:
    """The trial with its logarithmic parameters replaced by their logarithms."""
    import optuna

    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, distribution in trial.distributions.items():
        if getattr(distribution, "log", False):
            low, high = math.log(distribution.low), math.log(distribution.high)
            distributions[name] = optuna.distributions.FloatDistribution(low, high)
            params[name] = min(max(math.log(params[name]), low), high)
    return optuna.create_trial(params=params, distributions=distributions, values=trial.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Definition:
    """A definition of importance; ``quick`` is what resamples are evaluated by."""

    method: str
    full: Importance
    quick: Importance


def _importances(
    definition: _Definition, search: Search, place: int, trials: Sequence[Any], absent: dict[str, str]
) -> Document:
    """Importances by one definition as the document keeps them, or the reason why there are none."""
    head = {"method": definition.method, "trials": len(trials), "absent": absent}
    if len(trials) < FEWEST:
        return {**head, "why_not": f"needs at least {FEWEST} complete trials, but there are {len(trials)}"}
    if np.ptp([trial.value for trial in trials]) == 0:
        return {**head, "why_not": "every trial has the same value"}
    objective = search.objectives[place]
    names = [parameter.name for parameter in search.parameters if parameter.name not in absent]
    all_trials = _shares(definition.full, _study_of(trials, objective), names)
    # The seed is fixed: equal trials give equal bytes.
    draws = np.random.default_rng(0).integers(0, len(trials), (RESAMPLES, len(trials)))
    resamples = [
        _shares(definition.quick, _study_of([trials[index] for index in drawn], objective), names) for drawn in draws
    ]
    found = [shares for shares in resamples if shares is not None]
    if all_trials is None or len(found) < RESAMPLES // 2:
        return {**head, "why_not": "no parameter explains any difference between the trials"}
    parameters = {}
    for parameter in names:
        spread = np.array([shares[parameter] for shares in found])
        low, high = np.percentile(spread, [5, 95])
        parameters[parameter] = {
            "all_trials": float(all_trials[parameter]),
            "mean": float(spread.mean()),
            "low": float(low),
            "high": float(high),
        }
    return {**head, "why_not": None, "resamples": len(found), "parameters": parameters}


def _shares(evaluate: Importance, study: Any, names: list[str]) -> Shares | None:
    """Importances of ``names`` that sum to 1; None if all are 0 or there was nothing to explain."""
    with warnings.catch_warnings():
        # Optuna warns of parameters that few trials of a resample have: the spread over resamples shows it.
        warnings.simplefilter("ignore")
        try:
            found = evaluate(study)
        except RuntimeError:
            # fANOVA: no tree found any variance.
            return None
    total = float(sum(found.values()))
    return {name: float(found.get(name, 0.0)) / total for name in names} if total > 0 else None
