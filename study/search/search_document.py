"""A search request, and its stored document."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ablations.domains import Choice, FloatRange
from ablations.spaces import Parameter, Space
from promptad.backbones.backbone_names import parse_backbone
from promptad.configs.method_config import Task
from reports.reading.shapes import Document
from study.planning.arm_backbones import PlannedBackbone
from study.planning.data_source import Opened
from study.planning.plan_document import given_by_user, named_by
from study.planning.printed import data_title
from study.planning.request import StudyRequest
from study.records.cell import NUMERICS
from study.search.objectives import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A request for a search. ``study`` holds data, backbone, base config, categories, shots and seeds.

    ``prune``: p below which a trial is stopped, None: none is. ``fold`` of ``folds`` is held out, where the objective
    holds one out. ``tasks``: whose AUROCs count.
    """

    space: Space
    objective: str
    sampler: str
    trials: int
    study: StudyRequest
    seed: int = 0
    prune: float | None = None
    folds: int = 4
    fold: int = 1
    tasks: tuple[Task, ...] = ("image", "pixel")


def described_space(space: Space) -> list[Document]:
    """A space's parameters as JSON-compatible data."""
    return [_described(parameter) for parameter in space.parameters]


def _described(parameter: Parameter) -> Document:
    domain, when = parameter.domain, parameter.when
    reach = None if isinstance(domain, Choice) else domain
    return {
        "name": parameter.name,
        "label": parameter.label,
        "kind": "choice" if reach is None else "float" if isinstance(reach, FloatRange) else "int",
        "low": None if reach is None else reach.low,
        "high": None if reach is None else reach.high,
        "step": getattr(domain, "step", None),
        "log": None if reach is None else reach.log,
        "values": list(domain.values or ()) if reach is None else None,
        "fields": list(parameter.fields),
        "when": None if when is None else {"parent": when.parent, "values": list(when.values)},
        "paper": parameter.paper_value(),
    }


NO_IDENTITY = frozenset(
    {"trials", "title", "report", "fresh", "dataset_title", "given", "measures", "adaptive", "random_weights"}
)
"""Keys of a search's document that are no part of its ``id``."""


def search_document(
    request: SearchRequest,
    objective: Objective,
    tune: tuple[str, ...],
    held_out: tuple[str, ...],
    opened: Opened,
    backbones: Mapping[str, PlannedBackbone],
) -> Document:
    """What is stored of a search before its first trial; all but ``NO_IDENTITY`` makes its ``id``."""
    # Optuna takes long to load, and most commands need none.
    from study.search.samplers import named_sampler

    study, space = request.study, request.space
    words = {"tune": ", ".join(tune), "held_out": ", ".join(held_out)}
    document = {
        "schema": 1,
        "id": "",
        "name": space.name,
        "title": space.title,
        "space": described_space(space),
        "objective": {
            "name": objective.name,
            "label": objective.label,
            "tuned_on": objective.tuned_on.format(**words),
            "on_test": objective.on_test,
            "query": objective.query,
            "metrics": list(objective.metrics),
            "directions": list(objective.directions),
            "tune_categories": list(tune),
            "held_out": list(held_out),
        },
        "measures": [
            {"name": measure.name, "title": measure.title, "tasks": list(measure.tasks)}
            for measure in objective.measures
        ],
        "sampler": request.sampler,
        "adaptive": named_sampler(request.sampler).adaptive,
        "seed": request.seed,
        "prune": request.prune,
        "trials": request.trials,
        "base": study.base.as_dict(),
        "method": "promptad",
        "backbone": study.backbone,
        "random_weights": backbones[study.backbone].name.is_random,
        "weights": backbones[study.backbone].weights,
        "dataset": study.source.name,
        "dataset_title": data_title(study, opened),
        "given": given_by_user(study, opened).as_json(),
        "categories": list(opened),
        "shots": study.search_shots,
        "seeds": list(range(study.seeds)),
        "tasks": list(request.tasks),
        "report": None,
        "fresh": None,
    }
    levels = [
        [sorted((name, str(value)) for name, value in level.changes.items()) for level in parameter.domain.levels]
        for parameter in space.parameters
        if isinstance(parameter.domain, Choice)
    ]
    identity = {
        **{name: value for name, value in document.items() if name not in NO_IDENTITY},
        "base": named_by(study.base),
        "levels": levels,
        "weights": {text: backbone.weights for text, backbone in backbones.items()},
        "data": {name: category.digest for name, category in opened.items()},
        "support": study.support,
        "suffixes": study.suffixes,
        "numerics": NUMERICS,
    }
    digest = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=4).hexdigest()
    parts = [space.name, objective.name, request.sampler, parse_backbone(study.backbone).architecture]
    document["id"] = "-".join(re.sub(r"[^A-Za-z0-9.+]+", "_", part) for part in (*parts, study.source.name, digest))
    return document
