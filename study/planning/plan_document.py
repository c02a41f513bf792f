"""The plan of an ablation as it is stored: what was asked for, for reports and ``status``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from ablations.arms import Arm
from ablations.shots import Setting
from promptad.backbones.backbone_names import parse_backbone
from promptad.configs.method_config import MethodConfig
from promptad.configs.protocol import is_paper, nearest_protocol, protocol_name
from promptad.texts.suffixes import CATEGORY_SUFFIXES, manual_suffixes
from reports.reading.given import Given, OwnFile, OwnFolder
from reports.reading.plan_document import Plan, Suffixes
from reports.reading.plan_parts import Arm as PlannedArm
from reports.reading.plan_parts import Factor
from reports.reading.planned_cells import PlannedBlock, PlannedCells
from study.planning.arm_backbones import PlannedBackbone
from study.planning.data_source import Opened
from study.planning.printed import (
    PlannedAblation,
    data_title,
    is_own_data,
    printed_firsts,
    printed_numbers,
    printed_set,
)
from study.planning.request import StudyRequest

CAME_LATER = frozenset({"setting", "activations", "image_score", "patch_pooling", "pooled_width"})
"""Config fields that came after plans and searches had their names: those that do not use them keep what they had."""


def plan_document(
    planned: PlannedAblation,
    request: StudyRequest,
    opened: Opened,
    listed: Iterable[PlannedBlock],
    proxies: Iterable[PlannedBlock],
    *,
    alike: Mapping[tuple[str, Setting], tuple[str, ...]],
) -> Plan:
    """What is stored of a planned ablation, and all that a report needs to know of it.

    ``listed`` are its cells, ``proxies`` those that are asked about pseudo-anomalies. ``alike`` are the arms and
    columns in which the seeds of some categories all see the same support images (``printed.one_support_set``).
    """
    ablation = planned.ablation
    digest = _digest(planned, request, opened)
    return Plan(
        name=_name(planned, request, digest),
        digest=digest,
        ablation=ablation.name,
        title=ablation.title,
        question=ablation.question,
        method_note=" ".join([ablation.note, *_user_notes(request)]).strip(),
        design=ablation.design.kind,
        factors=tuple(
            Factor(name=factor, label=ablation.design.labels.get(factor, factor), levels=tuple(levels))
            for factor, levels in ablation.factors().items()
        ),
        baseline=ablation.baseline,
        backbone=request.backbone,
        weights_label=parse_backbone(request.backbone).label,
        protocol=protocol_name(request.base),
        selection=request.base.selection,
        dataset=request.source.name,
        dataset_title=data_title(request, opened),
        given=given_by_user(request, opened),
        data_sets=ablation.data_sets,
        categories=tuple(opened),
        shots=planned.shots,
        seeds=tuple(range(planned.seeds)),
        tasks=ablation.tasks,
        metrics=ablation.metrics,
        shown_as=ablation.shown_as,
        arms=tuple(_described(arm, planned) for arm in ablation.arms),
        printed=printed_numbers(planned, request, opened),
        printed_firsts=_firsts(planned, request, opened),
        one_support_set=alike,
        prompts=_suffixes(request, opened) if "prompts" in ablation.shown_as else None,
        cells=PlannedCells(listed),
        proxies=PlannedCells(proxies),
        method=request.method,
        data_cautions=tuple(f"{name}: {caution}" for name, each in opened.items() for caution in each.data.cautions),
        left_out=tuple(
            (f"{category}/{image}", why) for category, each in opened.items() for image, why in each.data.left_out
        ),
    )


def _firsts(
    planned: PlannedAblation, request: StudyRequest, opened: Opened
) -> dict[tuple[str, str, Setting | None], bool]:
    """Where the paper's baseline is first.

    Nothing beside rows of one model for all categories, which it does not have.
    """
    ablation = planned.ablation
    return printed_firsts(ablation) if printed_set(ablation, request, opened) and not planned.pool else {}


def _name(planned: PlannedAblation, request: StudyRequest, digest: str) -> str:
    """A file name that ends with the plan's digest."""
    backbone = parse_backbone(request.backbone)
    label = [] if backbone.is_tiny else [backbone.label]
    parts = [planned.ablation.name, backbone.architecture, *label, request.source.name]
    parts += [] if is_paper(request.base) else [nearest_protocol(request.base)]
    return "-".join(re.sub(r"[^A-Za-z0-9.+]+", "_", part) for part in (*parts, digest))


def _digest(planned: PlannedAblation, request: StudyRequest, opened: Opened) -> str:
    """Differs whenever weights, data, categories, shots, config, supports or suffixes do.

    The number of seeds is no part of it: more seeds make the same table better.
    """
    identity = [
        {arm: _weights(backbone) for arm, backbone in planned.backbones.items()},
        {name: category.digest for name, category in opened.items()},
        list(planned.shots),
        {arm: named_by(config) for arm, config in planned.configs.items()},
        request.support,
        request.suffixes,
        # Nothing where there is no pool, so that plans from before there were pools keep their names.
        *([[member.as_dict() for member in planned.pool]] if planned.pool else []),
    ]
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=3).hexdigest()


def named_by(config: MethodConfig) -> dict[str, object]:
    """What a config has of the names of plans and searches: its fields, later ones where they are not the default."""
    defaults = type(config)().as_dict()
    return {
        name: value for name, value in config.as_dict().items() if name not in CAME_LATER or value != defaults[name]
    }


def _weights(backbone: PlannedBackbone) -> str:
    """What tells weights apart: their digest, and of a file the activation that the user says they have."""
    return f"{backbone.weights} {backbone.activation}" if backbone.name.is_file else backbone.weights


def given_by_user(request: StudyRequest, opened: Opened) -> Given:
    """Folders and files of the user's own, each with digests of its content: reports tell plans apart by them."""
    root, digests = request.source.root, {name: category.digest for name, category in opened.items()}
    return Given(
        data=OwnFolder(path=str(root), digests=digests) if is_own_data(request, opened) else None,
        suffixes=_own_file(request.suffixes_file, request.suffixes),
        support=_own_file(request.support_file, request.support),
    )


def _own_file(path: str | None, texts: Mapping[str, tuple[str, ...]] | None) -> OwnFile | None:
    if path is None or texts is None:
        return None
    content = json.dumps(dict(texts), sort_keys=True).encode()
    return OwnFile(path=path, digest=hashlib.blake2b(content, digest_size=16).hexdigest())


def _suffixes(request: StudyRequest, opened: Opened) -> Suffixes:
    """The manual anomaly suffixes: generic ones, and each category's own."""
    own = {category: (request.suffixes or {}).get(category, CATEGORY_SUFFIXES.get(category, ())) for category in opened}
    return Suffixes(
        generic=tuple(manual_suffixes("", request.base.generic_suffixes)),
        own={category: tuple(texts) for category, texts in own.items()},
    )


def _described(arm: Arm, planned: PlannedAblation) -> PlannedArm:
    config = planned.configs.get(arm.name)
    backbone = planned.backbones.get(arm.name)
    pool = planned.pool_of(arm.name)
    return PlannedArm(
        name=arm.name,
        label=f"{arm.label}, one model for {len(pool)} categories" if pool else arm.label,
        method=arm.method,
        runs=arm.runs,
        factors=dict(arm.factors),
        marks={factor: level for factor, level in arm.factors.items() if isinstance(level, bool)},
        not_runnable=None if backbone is not None else planned.not_runnable[arm.name],
        backbone=arm.backbone if backbone is None else backbone.text,
        random_weights=backbone is not None and backbone.name.is_random,
        # As the config has them: a change may be scaled to the backbone's depth.
        changes={} if config is None else {name: config.as_dict()[name] for name in arm.changes},
        config=None if config is None else config.as_dict(),
        pool=pool,
    )


def _user_notes(request: StudyRequest) -> list[str]:
    """What the user set by category, and where the base config comes from, in sentences for the report."""
    notes = []
    if request.method is not None:
        method = request.method
        # What is tuned on test says so itself.
        tuned_on = method["tuned_on"] if method["on_test"] else f"tuned on {method['tuned_on']}"
        notes.append(
            f"The base is method {method['name']}, trial {method['trial']} of search {method['search']} "
            f"({method['label']}; {tuned_on})."
        )
        if method["on_test"]:
            notes.append("TUNED ON TEST: the base was chosen by test labels of these categories, so numbers flatter.")
    if request.suffixes:
        notes.append(f"The user's own anomaly suffixes are used for {', '.join(sorted(request.suffixes))}.")
    if request.support:
        notes.append(f"The user named the support images of {', '.join(sorted(request.support))}.")
    return notes
