"""From a search request to cells; reports everything that is wrong with it before anything starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablations.domains import Choice
from ablations.spaces import Params, Space
from promptad.backbones.backbone_names import available_blocks, parse_backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Category
from promptad.user_error import UserError
from reports.reading.shapes import Document
from study.planning.arm_backbones import PlannedBackbone, planned_backbones, weights_here
from study.planning.cell_config import kinds_of, tower_facts, with_suffixes
from study.planning.data_source import Opened
from study.planning.plan import check_shots, open_categories
from study.planning.request import StudyRequest
from study.records.cell import Cell, Query
from study.records.group import Group
from study.search.objectives import Objective, ObjectiveError, fold_of, named_objective
from study.search.search_document import SearchRequest, search_document


class SearchError(UserError):
    """A search with errors in its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """A search that can run: ``document`` is its stored document, ``id`` its name there."""

    request: SearchRequest
    objective: Objective
    tune: tuple[str, ...]
    held_out: tuple[str, ...]
    opened: Opened
    backbones: Mapping[str, PlannedBackbone]
    id: str
    document: Document

    @property
    def categories(self) -> dict[str, Category]:
        """Categories by name."""
        return {name: category.data for name, category in self.opened.items()}

    def config(self, params: Params) -> tuple[PromptADConfig, PlannedBackbone, int]:
        """Config, backbone and shots of a trial.

        Raises:
            ConfigError: values that no config can have together.
        """
        study = self.request.study
        backbone_text = self.request.space.changes(params).get("backbone", study.backbone)
        backbone = self.backbones[backbone_text]
        changes = self.request.space.changes(params, blocks=available_blocks(backbone.name))
        changes.pop("backbone", None)
        shots = changes.pop("shots", study.search_shots)
        return study.base.with_changes(changes), backbone, shots

    def cells(self, params: Params) -> tuple[Cell, ...]:
        """A trial's cells in the order in which they are evaluated: seeds, in each its categories, in each both tasks.

        Raises:
            ConfigError: values that no config can have together.
        """
        opened = {name: self.opened[name] for name in self.tune}
        return self.cells_on(opened, params, seeds=range(self.request.study.seeds), query=self.objective.query)

    def cells_on(self, opened: Opened, params: Params, *, seeds: Sequence[int], query: Query) -> tuple[Cell, ...]:
        """Cells of a trial's config on other categories, seeds or queries, in the order of ``cells``.

        Raises:
            ConfigError: values that no config can have together.
        """
        study = self.request.study
        config, backbone, shots = self.config(params)
        tower = tower_facts(backbone.text, backbone.name)
        cells = []
        for seed, (category, found) in itertools.product(seeds, opened.items()):
            for task in self.request.tasks:
                if task == "pixel" and query == "test" and not found.data.has_masks:
                    continue
                cells.append(
                    Cell(
                        method="promptad",
                        config=with_suffixes(config, category, study).spelled_out(task, tower),
                        backbone=backbone.text,
                        architecture=backbone.name.architecture,
                        weights=backbone.weights,
                        activation=backbone.activation,
                        dataset=study.source.name,
                        category=category,
                        data=found.digest,
                        shots=shots,
                        seed=seed,
                        task=task,
                        support=(study.support or {}).get(category),
                        query=query,
                        kinds=kinds_of(query),
                    )
                )
        return tuple(cells)


def grouped(cells: Iterable[Cell], categories: Mapping[str, Category]) -> list[Group]:
    """Cells in groups of one category, backbone and precision, to compute what a machine needs for them."""
    found: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.category, cell.backbone, cell.config.precision), []).append(cell)
    return [Group(categories=(categories[category],), cells=tuple(some)) for (category, _, _), some in found.items()]


def plan_search(request: SearchRequest) -> SearchPlan:
    """Check a search against its space, objective, data and backbone; weights are downloaded last.

    Raises:
        SearchError, SpaceError, ObjectiveError, PlanError, BackboneError: what is wrong.
    """
    objective, study, space = named_objective(request.objective), request.study, request.space
    problems = []
    if request.trials < 1:
        problems.append(f"--trials must be at least 1, but got {request.trials}")
    if study.seeds < 1:
        problems.append(f"--seeds must be at least 1, but got {study.seeds}")
    if len(study.shots or (1,)) > 1:
        problems.append(f"a search has one number of --shots, but got {study.shots}: vary shots in the space instead")
    if "full" in (study.shots or ()):
        problems.append("a search needs a number of --shots, but got full: name one that every category has")
    if request.prune is not None and not 0 < request.prune < 1:
        problems.append(f"--prune must be 0 (off) or between 0 and 1, but got {request.prune}")
    size = space.size()
    if size is not None and request.trials > size:
        problems.append(f"space {space.name} holds {size} settings, but {request.trials} trials are asked for")
    if study.base.selection == "best_on_test" and not objective.on_test:
        problems.append(
            f"objective {objective.name} looks at no test label, but selection=best_on_test does: leave it out of the "
            "base (--protocol paper, or --set selection=last)"
        )
    if study.base.pools_categories or "setting" in _varied(space):
        problems.append(
            "setting must be one_class in a search, which judges each trial category by category: leave it out of the "
            "base and of the space"
        )
    if not objective.single and set(request.tasks) != {"image", "pixel"}:
        problems.append(f"objective {objective.name} needs both tasks, but --tasks are {', '.join(request.tasks)}")
    if problems:
        raise SearchError("; ".join(problems))
    names = {text: parse_backbone(text) for text in _backbone_texts(space, study.backbone)}
    if silent := [text for text, name in names.items() if name.is_cnn]:
        raise SearchError(f"a search is for PromptAD, which needs a text tower, but {silent[0]} is a CNN without one")
    for name in names.values():
        space.check(study.base, blocks=available_blocks(name))
    planned_backbones(weights_here(list(names)))
    opened = open_categories(study, normal_only=objective.query == "synthetic")
    tune: tuple[str, ...] = tuple(opened)
    held_out: tuple[str, ...] = ()
    if objective.folds:
        tune, held_out = fold_of(tune, folds=request.folds, fold=request.fold)
    check_shots(opened, tuple(sorted(_shots(space, study))), study)
    without = [name for name, category in opened.items() if not category.data.has_masks]
    if request.tasks == ("pixel",) and objective.query == "test" and without:
        raise ObjectiveError(f"the pixel task needs masks, but there are none of {', '.join(without)}")
    backbones = planned_by_text(space, study.backbone)
    document = search_document(request, objective, tune, held_out, opened, backbones)
    return SearchPlan(
        request=request,
        objective=objective,
        tune=tune,
        held_out=held_out,
        opened=opened,
        backbones=backbones,
        id=document["id"],
        document=document,
    )


def _varied(space: Space) -> set[str]:
    """Names of the config fields that a space varies."""
    levels = [
        level
        for parameter in space.parameters
        if isinstance(parameter.domain, Choice)
        for level in parameter.domain.levels
    ]
    return {name for level in levels for name in level.changes} | {
        name for parameter in space.parameters for name in parameter.fields
    }


def planned_by_text(space: Space, own: str) -> dict[str, PlannedBackbone]:
    """The study's backbone and those that the space names, by their text there."""
    return {text: next(iter(planned_backbones([text]).values())) for text in _backbone_texts(space, own)}


def _backbone_texts(space: Space, own: str) -> list[str]:
    varied = {
        level.changes["backbone"]: None
        for parameter in space.parameters
        if isinstance(parameter.domain, Choice)
        for level in parameter.domain.levels
        if "backbone" in level.changes
    }
    return [own, *varied]


def _shots(space: Space, study: StudyRequest) -> set[int]:
    varied = {
        level.changes["shots"]
        for parameter in space.parameters
        if isinstance(parameter.domain, Choice)
        for level in parameter.domain.levels
        if "shots" in level.changes
    }
    return varied or {study.search_shots}
