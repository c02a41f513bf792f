"""Checks that methods can do what is requested (support images, tasks, backbones) before anything runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ablations.arms import Arm
from ablations.shots import Setting
from ablations.spec import Ablation
from promptad.backbones.backbone_names import BackboneName, is_transformer, kind_of
from promptad.configs.method_config import MethodConfig, Task
from promptad.configs.method_table import METHODS, MethodEntry, Need, needs_of
from study.planning.arm_backbones import PlannedBackbone
from study.planning.shots import settings_of, shots_of


def unfit_backbones(
    ablation: Ablation, configs: Mapping[str, MethodConfig], backbones: Mapping[str, PlannedBackbone]
) -> tuple[dict[str, str], dict[str, str]]:
    """Reasons why arms cannot run on their backbones, by arm: first of rows that the paper prints, then of others.

    A printed row that cannot run here keeps its published numbers, and the rest of its table runs. For an arm without
    published numbers it is an error.
    """
    printed, others = {}, {}
    for arm in ablation.arms:
        if arm.name not in backbones:
            continue
        backbone = backbones[arm.name]
        entry = METHODS[arm.runs]
        if missing := [need for need in needs_of(configs[arm.name]) if need not in offered(backbone.name)]:
            texts = " and ".join(_NEEDS[need] for need in missing)
            reason = (
                f"{entry.title} needs {texts}, but {backbone.text} is {kind_of(backbone.name)}: use another backbone"
            )
            fitting = _names(other for other in METHODS.values() if not set(other.needs) & set(missing))
            if arm.published is None:
                others[arm.name] = f"{reason}, or a method that needs none: {fitting}"
            else:
                printed[arm.name] = reason
    return printed, others


def tasks_of(arm: Arm, ablation: Ablation) -> tuple[Task, ...]:
    """The ablation's tasks for which an arm has cells: all, but of a row that the paper prints those it can score."""
    if arm.published is None:
        return ablation.tasks
    return tuple(task for task in ablation.tasks if task in METHODS[arm.runs].tasks) or ablation.tasks


def impossible_requests(ablation: Ablation, arms: Iterable[str], columns: Sequence[Setting]) -> list[str]:
    """A sentence for each method with fewer support images than it needs, or with a task that it does not support.

    ``columns`` are those of the table (``Ablation.settings``); all normal images of a category count as at least one.
    A printed row that scores some of the tasks has no cells of the others (``tasks_of``).
    """
    asking: dict[str, list[str]] = defaultdict(list)
    least: dict[str, int] = {}
    tasks: dict[str, dict[Task, None]] = defaultdict(dict)
    wanted = set(arms)
    for arm in ablation.arms:
        if arm.name in wanted:
            asking[arm.runs].append(arm.name)
            tasks[arm.runs].update(dict.fromkeys(tasks_of(arm, ablation)))
            shots = [shots_of(arm, column) for column in settings_of(arm, columns)]
            counts = [1 if each == "full" else each for each in shots]
            least[arm.runs] = min([*counts, *([least[arm.runs]] if arm.runs in least else [])])
    problems = []
    for method, names in asking.items():
        entry, whose = METHODS[method], f"(arm {', '.join(names)})"
        if (fewest := least[method]) < entry.min_shots:
            able = _names(other for other in METHODS.values() if other.min_shots <= fewest)
            problems.append(
                f"{entry.title} needs at least {entry.min_shots} normal image of a category, but {fewest} shots are "
                f"asked for {whose}: use --shots {entry.min_shots}" + (f", or {able}" if able else "")
            )
        for task in tasks[method]:
            if task not in entry.tasks:
                able = _names(other for other in METHODS.values() if task in other.tasks)
                problems.append(
                    f"{entry.title} scores {' and '.join(_SCORED[each] for each in entry.tasks)} only, but "
                    f"{_SCORED[task]} are asked for {whose}: use metrics of the {entry.tasks[0]} task, or {able}"
                )
    return problems


def offered(name: BackboneName) -> frozenset[Need]:
    """The parts that a backbone has, of those that methods may need."""
    found: set[Need] = set() if name.is_cnn else {"text"}
    return frozenset(found | {"transformer"} if is_transformer(name) else found)


_NEEDS: Mapping[Need, str] = {"transformer": "a transformer backbone", "text": "a text tower"}
_SCORED: Mapping[Task, str] = {"image": "images", "pixel": "pixels"}


def _names(entries: Iterable[MethodEntry]) -> str:
    return ", ".join(entry.title for entry in entries)
