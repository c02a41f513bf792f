"""From questions to cells: everything that can be wrong is found here, before any work starts."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptad.backbones import (
    available_blocks,
    default_memory_layers,
    is_resnet,
    load_tokenizer,
    parse_backbone,
    weights_digest,
)
from promptad.config import PromptADConfig, Task, canonical
from promptad.datasets import Category, DatasetError, named_support
from promptad.prompt_learning import prompts_for
from promptad.prompts import PromptError
from study.cell import Cell
from study.documents import plan_document
from study.group import Group
from study.request import StudyRequest
from study.sources import chosen_categories

GROUP_SIZE = 32
"""Most cells in a group: small enough to spread over workers, large enough to make scheduling cheap."""


class PlanError(ValueError):
    """A study that cannot run as asked; the message lists every problem found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """Every cell of a request by digest, which of them the data cannot answer and why, and the plan documents."""

    cells: Mapping[str, Cell]
    unavailable: Mapping[str, str]
    categories: Mapping[str, Category]
    documents: Mapping[str, Mapping[str, Any]]

    def groups(self, digests: Iterable[str]) -> list[Group]:
        """The named cells in groups, in a fixed order; cells of equal preprocessing and task stand together."""
        by_key: dict[tuple[str, str], list[Cell]] = defaultdict(list)
        for digest in digests:
            cell = self.cells[digest]
            by_key[cell.category, cell.config.precision].append(cell)
        groups = []
        for (category, _), cells in sorted(by_key.items()):
            ordered = sorted(
                cells, key=lambda cell: (cell.config.resize, cell.task, cell.shots, cell.seed, cell.digest)
            )
            groups += [
                Group(category=self.categories[category], cells=tuple(ordered[start : start + GROUP_SIZE]))
                for start in range(0, len(ordered), GROUP_SIZE)
            ]
        return groups


def plan_study(request: StudyRequest) -> StudyPlan:
    """Check the request against backbone and data, and make its cells.

    Raises:
        PlanError, AblationError, BackboneError, DatasetError: what is wrong, with everything found.
    """
    if request.seeds < 1:
        raise PlanError(f"--seeds must be at least 1, but got {request.seeds}")
    backbone = parse_backbone(request.backbone)
    opened = _open(request)
    cells: dict[str, Cell] = {}
    unavailable: dict[str, str] = {}
    documents: dict[str, dict[str, Any]] = {}
    weights = weights_digest(backbone)
    for ablation in request.ablations:
        configs = ablation.configs(request.base)
        shots = request.shots or ablation.shots
        _check_layers(request, configs.values())
        _check_shots(opened, shots, request)
        _check_prompts(opened, configs.values(), ablation.tasks, request)
        listed: list[dict[str, Any]] = []
        for arm, config in configs.items():
            for category, (data, digest) in opened.items():
                for task in ablation.tasks:
                    for k in shots:
                        for seed in range(request.seeds):
                            cell = Cell(
                                method="promptad",
                                config=resolved(_with_suffixes(config, category, request), task, request.backbone),
                                backbone=request.backbone,
                                architecture=backbone.architecture,
                                weights=weights,
                                dataset=request.source.name,
                                category=category,
                                data=digest,
                                shots=k,
                                seed=seed,
                                task=task,
                                support=(request.support or {}).get(category),
                            )
                            cells[cell.digest] = cell
                            if task == "pixel" and not data.has_masks:
                                unavailable[cell.digest] = f"{category} has no ground-truth masks"
                            listed.append(
                                {
                                    "digest": cell.digest,
                                    "arm": arm,
                                    "category": category,
                                    "shots": k,
                                    "seed": seed,
                                    "task": task,
                                }
                            )
        document = plan_document(ablation, request, weights, configs, shots, opened, listed)
        documents[document["name"]] = document
    return StudyPlan(
        cells=cells,
        unavailable=unavailable,
        categories={name: data for name, (data, _) in opened.items()},
        documents=documents,
    )


def resolved(config: PromptADConfig, task: Task, backbone: str) -> PromptADConfig:
    """The config a cell runs: canonical for its task, the backbone's default memory layers spelled out."""
    reduced = canonical(config, task)
    if not reduced.vad or reduced.memory_layers is not None:
        return reduced
    return dataclasses.replace(reduced, memory_layers=default_memory_layers(parse_backbone(backbone)))


def _with_suffixes(config: PromptADConfig, category: str, request: StudyRequest) -> PromptADConfig:
    own = (request.suffixes or {}).get(category)
    return config if own is None else config.with_changes({"own_suffixes": own})


def _open(request: StudyRequest) -> dict[str, tuple[Category, str]]:
    opened: dict[str, tuple[Category, str]] = {}
    problems = []
    for name in chosen_categories(request.source, request.categories):
        try:
            opened[name] = request.source.checked(name, skip_bad=request.skip_bad)
        except DatasetError as error:
            problems.append(str(error))
    problems += [
        f"the suffix list names {name}, which is no category of this study"
        for name in request.suffixes or {}
        if name not in opened
    ]
    for name, support in (request.support or {}).items():
        if name not in opened:
            problems.append(f"the support list names {name}, which is no category of this study")
            continue
        try:
            named_support(opened[name][0], support)
        except DatasetError as error:
            problems.append(str(error))
    if problems:
        raise PlanError("\n".join(problems))
    return opened


def _check_shots(opened: Mapping[str, tuple[Category, str]], shots: tuple[int, ...], request: StudyRequest) -> None:
    problems = []
    for name, (category, _) in opened.items():
        named = (request.support or {}).get(name)
        for k in shots:
            if named is not None and len(named) != k:
                problems.append(f"the support list of {name} has {len(named)} images, but {k} shots are asked for")
            elif not 1 <= k <= len(category.train):
                problems.append(
                    f"shots must be between 1 and the {len(category.train)} normal images of {name}, but got {k}: "
                    "use --shots, leave the category out with --categories, or add images"
                )
    if problems:
        raise PlanError("\n".join(problems))


def _check_prompts(
    opened: Mapping[str, tuple[Category, str]],
    configs: Iterable[PromptADConfig],
    tasks: Iterable[Task],
    request: StudyRequest,
) -> None:
    tokenizer = load_tokenizer(parse_backbone(request.backbone))
    problems: dict[str, None] = {}
    for config, task, category in itertools.product(configs, tasks, opened):
        try:
            prompts_for(tokenizer, _with_suffixes(config, category, request), task, category)
        except PromptError as error:
            problems[str(error)] = None
    if problems:
        raise PlanError("\n".join(problems))


def _check_layers(request: StudyRequest, configs: Iterable[PromptADConfig]) -> None:
    name = parse_backbone(request.backbone)
    blocks = available_blocks(name)
    problems = set()
    for config in configs:
        if config.vad and config.memory_layers and max(config.memory_layers) > blocks:
            problems.add(
                f"memory_layers must be between 1 and {blocks} for {request.backbone}, but got {config.memory_layers}"
            )
        if config.transformation == "linear" and is_resnet(name):
            problems.add(f"transformation linear needs a transformer backbone, but {request.backbone} is a ResNet")
    if problems:
        raise PlanError("\n".join(sorted(problems)))
