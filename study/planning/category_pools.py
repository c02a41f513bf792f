"""Which categories one model is learned from, and what such a model cannot be asked for.

The pool are the categories that the study asks for (``--categories``, else all of the data), whichever of them an
ablation prefers to score: so that all ablations of a study share their models, and a figure of a single category shows
the model of the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablations.arms import Arm
from ablations.shots import Setting
from ablations.spec import Ablation
from promptad.configs.method_config import MethodConfig
from promptad.configs.method_table import METHODS
from promptad.datasets import normal_digest
from study.planning.data_source import Opened
from study.planning.request import StudyRequest
from study.planning.shots import settings_of, shots_of
from study.records.cell import PoolMember

OF_ONE = frozenset({"embedding", "cost"})
"""Artefacts that are measured of a model that is fitted again, to one category alone."""


def pool_of(opened: Opened) -> tuple[PoolMember, ...]:
    """The opened categories as a pool, sorted by name: the order in which a person names them does not matter."""
    return tuple(
        PoolMember(category=name, data=normal_digest(category.data)) for name, category in sorted(opened.items())
    )


def pooled_arms(ablation: Ablation, configs: Mapping[str, MethodConfig]) -> tuple[Arm, ...]:
    """The arms, of those with configs, in which one model serves all categories."""
    return tuple(arm for arm in ablation.arms if arm.name in configs and pools(configs[arm.name], ablation))


def pools(config: MethodConfig, ablation: Ablation) -> bool:
    """Whether a config asks for one model of all categories, and has something to learn for it."""
    return any(config.canonical(task).pools_categories for task in ablation.tasks)


def pool_problems(
    ablation: Ablation,
    configs: Mapping[str, MethodConfig],
    columns: Sequence[Setting],
    opened: Opened,
    request: StudyRequest,
) -> dict[str, str]:
    """Reasons why arms cannot have one model for all categories, by arm. ``columns`` are those of the table."""
    found = {}
    for arm in pooled_arms(ablation, configs):
        problems = [*_of_method(arm), *_of_request(ablation, opened, request), *_of_shots(arm, columns, opened)]
        if problems:
            found[arm.name] = "; ".join(problems)
    return found


def _of_method(arm: Arm) -> list[str]:
    if "multi_class" in METHODS[arm.runs].settings:
        return []
    able = ", ".join(entry.title for entry in METHODS.values() if "multi_class" in entry.settings)
    return [
        f"setting must be one_class for {METHODS[arm.runs].title}, which learns a model for each category, but is "
        f"multi_class: use {able}"
    ]


def _of_request(ablation: Ablation, opened: Opened, request: StudyRequest) -> list[str]:
    problems = []
    if len(opened) < 2:
        problems.append(
            f"one model for all categories needs at least 2 of them, but the study has {', '.join(opened)} alone: name "
            "more with --categories, or use setting=one_class"
        )
    if "synthetic" in ablation.queries:
        problems.append(
            "one model for all categories is judged on test images alone, but pseudo-anomalies are asked for: use "
            "setting=one_class"
        )
    if named := sorted(OF_ONE & set(ablation.artefacts)):
        problems.append(
            f"{' and '.join(named)} must be of a model of one category, but one for all is asked for: use "
            "setting=one_class"
        )
    given = {"--support": request.support, "--suffixes": request.suffixes}
    if named := [option for option, values in given.items() if values]:
        problems.append(
            f"{' and '.join(named)} must be of models of one category each, since a cell names its own list alone, but "
            "one model for all categories is asked for: leave it out, or use setting=one_class"
        )
    return problems


def _of_shots(arm: Arm, columns: Sequence[Setting], opened: Opened) -> list[str]:
    counts = {name: len(category.data.train) for name, category in opened.items()}
    if all(shots_of(arm, column) != "full" for column in settings_of(arm, columns)) or len(set(counts.values())) < 2:
        return []
    fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    return [
        f"shots must be one number for all categories that share a model, but full is {counts[fewest]} images of "
        f"{fewest} and {counts[most]} of {most}: use --shots"
    ]
