"""From questions to cells; reports everything that is wrong before any work starts."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablations.shots import Shots
from ablations.spec import Ablation, AblationError
from promptad.backbones.backbone_names import available_blocks, parse_backbone
from promptad.configs.method_table import method_of
from promptad.datasets import Category, DatasetError, named_support, normal_digest
from promptad.user_error import UserError
from reports.reading.plan_document import Plan
from reports.reading.planned_cells import PlannedBlock
from reports.view_table import view_problems
from study.planning.arm_backbones import PlannedBackbone, arm_backbones, planned_backbones, weights_here
from study.planning.capabilities import impossible_requests, tasks_of, unfit_backbones
from study.planning.category_pools import pool_of, pool_problems, pooled_arms
from study.planning.cell_config import kinds_of, tower_facts, with_suffixes
from study.planning.cell_groups import cell_groups
from study.planning.data_source import Opened, OpenedCategory, chosen_categories
from study.planning.plan_document import plan_document
from study.planning.plan_problems import layer_problems, prompt_problems
from study.planning.printed import PlannedAblation, one_support_set
from study.planning.request import StudyRequest
from study.planning.shots import settings_of, shots_of, support_images
from study.records.cell import Cell, CellFamily, Query
from study.records.group import Group


class PlanError(UserError):
    """A study with errors in its request; the message lists all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """Every cell of a request by digest, which of them the data cannot answer and why, and the plan documents by name.

    ``left_out`` are ablations of the whole catalogue that cannot be planned, and what is wrong with each.
    """

    cells: Mapping[str, Cell]
    unavailable: Mapping[str, str]
    categories: Mapping[str, Category]
    documents: Mapping[str, Plan]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def groups(self, digests: Iterable[str]) -> list[Group]:
        """The named cells in groups, in a fixed order (``cell_groups``)."""
        return cell_groups((self.cells[digest] for digest in digests), self.categories)


def plan_study(request: StudyRequest) -> StudyPlan:
    """Check the request against backbone and data, and make its cells.

    Weights that are not on this machine are downloaded once the data are known to be correct.

    Raises:
        PlanError, AblationError, BackboneError, DatasetError: every problem, reported together.
    """
    if request.seeds < 1:
        raise PlanError(f"--seeds must be at least 1, but got {request.seeds}")
    _refuse(
        f"ablation {ablation.name}: {problem}"
        for ablation in request.ablations
        for problem in view_problems(ablation.shown_as)
    )
    texts = (request.backbone, *request.arm_backbones)
    planned_backbones(weights_here(texts))
    opened = open_categories(request)
    _check_shots_of_ablations(request, opened)
    named = planned_backbones(texts)
    study = named[parse_backbone(request.backbone).architecture]
    cells: dict[str, Cell] = {}
    documents: dict[str, Plan] = {}
    left_out: dict[str, tuple[str, ...]] = {}
    for ablation in request.ablations:
        try:
            planned = _planned(ablation, request, study, named, opened)
        except (AblationError, PlanError) as error:
            if not request.whole_catalogue:
                raise
            left_out[ablation.name] = error.problems
            continue
        listed: dict[Query, list[PlannedBlock]] = {"test": [], "synthetic": []}
        for query, block, made in _blocks(planned, request, opened):
            cells.update(zip(block.digests, made, strict=True))
            listed[query].append(block)
        chosen = {name: opened[name] for name in planned.categories}
        alike = one_support_set(planned, request, opened)
        document = plan_document(planned, request, chosen, listed["test"], listed["synthetic"], alike=alike)
        documents[document.name] = document
    return StudyPlan(
        cells=cells,
        unavailable={
            digest: f"{cell.category} has no ground-truth masks"
            for digest, cell in cells.items()
            if cell.task == "pixel" and cell.query == "test" and not opened[cell.category].data.has_masks
        },
        categories={name: category.data for name, category in opened.items()},
        documents=documents,
        left_out=left_out,
    )


def _check_shots_of_ablations(request: StudyRequest, opened: Opened) -> None:
    """Raise ``PlanError`` where a category has too few images; of the whole catalogue ablations are left out later."""
    for ablation in () if request.whole_catalogue else request.ablations:
        chosen = {name: opened[name] for name in ablation.categories(opened)}
        check_shots(chosen, [column for column in ablation.settings(request.shots) if column != "own"], request)


def _planned(
    ablation: Ablation,
    request: StudyRequest,
    study: PlannedBackbone,
    named: Mapping[str, PlannedBackbone],
    opened: Opened,
) -> PlannedAblation:
    """An ablation checked against the request."""
    configs = ablation.configs(request.base, blocks=available_blocks(study.name))
    backbones, not_runnable = arm_backbones(ablation, study, named)
    columns = ablation.settings(request.shots)
    printed, unfit = unfit_backbones(ablation, configs, backbones)
    without_pool = pool_problems(ablation, {arm: configs[arm] for arm in backbones}, columns, opened, request)
    for arm in ablation.arms:
        if arm.name in without_pool:
            (printed if arm.published else unfit)[arm.name] = without_pool[arm.name]
    if set(backbones) == set(printed):
        unfit |= printed
    chosen = {name: opened[name] for name in ablation.categories(opened)}
    pooled = pooled_arms(ablation, {arm: configs[arm] for arm in set(backbones) - set(printed)})
    # A model of all categories sees images of each, whichever are scored.
    looked_at = opened if pooled else chosen
    for arm in ablation.arms:
        # A printed row keeps its numbers if the data have too few images for it, as it does on another backbone.
        if arm.name in backbones and arm.shots is not None and (few := shots_problems(looked_at, [arm.shots], request)):
            (printed if arm.published else unfit)[arm.name] = "; ".join(few)
    problems = [f"arm {arm}: {reason}" for arm, reason in unfit.items()]
    problems += impossible_requests(ablation, set(backbones) - set(printed), columns)
    if problems:
        raise PlanError("\n".join(problems), problems)
    backbones = {arm: backbone for arm, backbone in backbones.items() if arm not in printed}
    not_runnable |= printed
    planned = PlannedAblation(
        ablation=ablation,
        configs={arm: configs[arm] for arm in backbones},
        backbones=backbones,
        not_runnable=not_runnable,
        shots=columns,
        seeds=min(request.seeds, ablation.most_seeds or request.seeds),
        categories=tuple(chosen),
        pool=pool_of(opened) if pooled else (),
    )
    _refuse(layer_problems(planned))
    check_shots(looked_at, [column for column in columns if column != "own"], request)
    _refuse(prompt_problems(looked_at, planned, request))
    return planned


def _blocks(
    planned: PlannedAblation, request: StudyRequest, opened: Opened
) -> Iterator[tuple[Query, PlannedBlock, list[Cell]]]:
    """The cells of an ablation with their place in it, all seeds of a place together."""
    data: dict[str, dict[Query, str]] = {name: {"test": category.digest} for name, category in opened.items()}
    if "synthetic" in planned.ablation.queries:
        for name in planned.categories:
            data[name]["synthetic"] = normal_digest(opened[name].data)
    arms = [arm for arm in planned.ablation.arms if arm.name in planned.configs]
    seeds = tuple(range(planned.seeds))
    # Categories have most configs in common.
    spelled_out = functools.cache(lambda config, task, tower: config.spelled_out(task, tower))
    places = (
        (arm, category, task)
        for arm, category in itertools.product(arms, planned.categories)
        for task in tasks_of(arm, planned.ablation)
    )
    for arm, category, task in places:
        backbone = planned.backbones[arm.name]
        asked = with_suffixes(planned.configs[arm.name], category, request)
        config = spelled_out(asked, task, tower_facts(backbone.text, backbone.name))
        support = (request.support or {}).get(category)
        for query in planned.ablation.queries:
            family = CellFamily(
                Cell(
                    method=method_of(config),
                    config=config,
                    backbone=backbone.text,
                    architecture=backbone.name.architecture,
                    weights=backbone.weights,
                    activation=backbone.activation,
                    dataset=request.source.name,
                    category=category,
                    data=data[category][query],
                    shots=0,
                    seed=0,
                    task=task,
                    support=support,
                    artefacts=planned.ablation.artefacts,
                    query=query,
                    kinds=kinds_of(query),
                    pool=planned.pool if config.pools_categories else (),
                )
            )
            for column in settings_of(arm, planned.shots):
                shots = support_images(shots_of(arm, column), opened[category].data)
                made = [family.member(shots=shots, seed=seed, support=support) for seed in seeds]
                block = PlannedBlock(
                    arm=arm.name,
                    category=category,
                    shots=column,
                    images=shots,
                    task=task,
                    seeds=seeds,
                    digests=tuple(cell.digest for cell in made),
                )
                yield query, block, made


def open_categories(request: StudyRequest, *, normal_only: bool = False) -> dict[str, OpenedCategory]:
    """The request's categories; ``normal_only``: without their test images.

    Raises:
        PlanError: with every problem of the data, and of lists that name other categories or images.
    """
    opened: dict[str, OpenedCategory] = {}
    problems = []
    for name in chosen_categories(request.source, request.categories):
        try:
            opened[name] = request.source.checked(name, skip_bad=request.skip_bad, normal_only=normal_only)
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
            named_support(opened[name].data, support)
        except DatasetError as error:
            problems.append(str(error))
    if problems:
        raise PlanError("\n".join(problems), problems)
    return opened


def check_shots(opened: Opened, asked: Sequence[Shots], request: StudyRequest) -> None:
    """Raise ``PlanError`` where a category cannot give as many support images."""
    _refuse(shots_problems(opened, asked, request))


def shots_problems(opened: Opened, asked: Sequence[Shots], request: StudyRequest) -> list[str]:
    """A sentence for each category that cannot give as many support images."""
    problems = []
    for name, category in opened.items():
        named = (request.support or {}).get(name)
        for shots in asked:
            k = support_images(shots, category.data)
            if named is not None and len(named) != k:
                problems.append(f"the support list of {name} has {len(named)} images, but {k} shots are asked for")
            elif k > len(category.data.train):
                problems.append(
                    f"shots must be at most the {len(category.data.train)} normal images of {name}, but got {k}: "
                    "use --shots, leave the category out with --categories, or add images"
                )
    return problems


def _refuse(problems: Iterable[str]) -> None:
    if found := list(problems):
        raise PlanError("\n".join(found), found)
