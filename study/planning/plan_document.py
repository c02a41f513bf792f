"""Plan documents: what was asked for, as JSON that reports and ``status`` read."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ablations.arms import Arm
from promptad.backbones.backbone_names import parse_backbone
from promptad.configs.protocol import is_paper, nearest_protocol, protocol_name
from promptad.texts.suffixes import CATEGORY_SUFFIXES, manual_suffixes
from study.planning.arm_backbones import PlannedBackbone
from study.planning.data_source import Opened
from study.planning.printed import (
    PlannedAblation,
    data_title,
    is_own_data,
    one_support_set,
    printed_firsts,
    printed_numbers,
    printed_set,
)
from study.planning.request import StudyRequest


def document_name(planned: PlannedAblation, request: StudyRequest, opened: Opened) -> str:
    """A file name that differs whenever weights, data, categories, shots, config, supports or suffixes do.

    The number of seeds is no part of it: more seeds make the same table better.
    """
    backbone = parse_backbone(request.backbone)
    label = [] if backbone.is_tiny else [backbone.label]
    parts = [planned.ablation.name, backbone.architecture, *label, request.source.name]
    parts += [] if is_paper(request.base) else [nearest_protocol(request.base)]
    identity = [
        {arm: _weights(backbone) for arm, backbone in planned.backbones.items()},
        {name: category.digest for name, category in opened.items()},
        list(planned.shots),
        {arm: config.as_dict() for arm, config in planned.configs.items()},
        request.support,
        request.suffixes,
    ]
    text = json.dumps(identity, sort_keys=True)
    parts.append(hashlib.blake2b(text.encode(), digest_size=3).hexdigest())
    return "-".join(re.sub(r"[^A-Za-z0-9.+]+", "_", part) for part in parts)


def _weights(backbone: PlannedBackbone) -> str:
    """What tells weights apart: their digest, and of a file the activation that the user says they have."""
    return f"{backbone.weights} {backbone.activation}" if backbone.name.is_file else backbone.weights


def plan_document(
    planned: PlannedAblation,
    request: StudyRequest,
    opened: Opened,
    listed: list[dict[str, Any]],
    proxies: list[dict[str, Any]],
) -> dict[str, Any]:
    """What a report needs to know of a planned ablation, as JSON-compatible data.

    ``listed`` are its cells, ``proxies`` those that are asked about pseudo-anomalies.
    """
    ablation = planned.ablation
    source = request.source.name
    return {
        "schema": 1,
        "name": document_name(planned, request, opened),
        "ablation": ablation.name,
        "title": ablation.title,
        "question": ablation.question,
        "method_note": " ".join([ablation.note, *_user_notes(request)]).strip(),
        "design": ablation.design.kind,
        "factors": [
            {"name": factor, "label": ablation.design.labels.get(factor, factor), "levels": levels}
            for factor, levels in ablation.factors().items()
        ],
        "baseline": ablation.baseline,
        "backbone": request.backbone,
        "weights_label": parse_backbone(request.backbone).label,
        "protocol": protocol_name(request.base),
        "selection": request.base.selection,
        "dataset": source,
        "dataset_title": data_title(request, opened),
        "given": given_by_user(request, opened),
        "data_sets": list(ablation.data_sets),
        "categories": list(opened),
        "shots": list(planned.shots),
        "seeds": list(range(planned.seeds)),
        "tasks": list(ablation.tasks),
        "metrics": list(ablation.metrics),
        "shown_as": list(ablation.shown_as),
        "arms": [_described(arm, planned) for arm in ablation.arms],
        "printed": printed_numbers(planned, request, opened),
        "printed_firsts": printed_firsts(ablation) if printed_set(ablation, request, opened) else [],
        "one_support_set": one_support_set(planned, request, opened),
        "prompts": _suffixes(request, opened) if "prompts" in ablation.shown_as else None,
        "cells": listed,
        "proxies": proxies,
        "method": request.method,
        "data_cautions": [f"{name}: {caution}" for name, each in opened.items() for caution in each.data.cautions],
        "left_out": [
            {"image": f"{category}/{image}", "reason": why}
            for category, each in opened.items()
            for image, why in each.data.left_out
        ],
    }


def given_by_user(request: StudyRequest, opened: Opened) -> dict[str, Any]:
    """Folders and files of the user's own, each with digests of its content: reports tell plans apart by them."""
    given: dict[str, Any] = {}
    if is_own_data(request, opened):
        digests = {name: category.digest for name, category in opened.items()}
        given["data"] = {"path": request.source.root, "digests": digests}
    lists = {
        "suffixes": (request.suffixes_file, request.suffixes),
        "support": (request.support_file, request.support),
    }
    for kind, (path, texts) in lists.items():
        if path is not None and texts is not None:
            content = json.dumps(dict(texts), sort_keys=True).encode()
            given[kind] = {"path": path, "digest": hashlib.blake2b(content, digest_size=16).hexdigest()}
    return given


def _suffixes(request: StudyRequest, opened: Opened) -> dict[str, Any]:
    """The manual anomaly suffixes: generic ones, and each category's own."""
    base = request.base
    generic = manual_suffixes("", base.generic_suffixes)
    own = {category: (request.suffixes or {}).get(category, CATEGORY_SUFFIXES.get(category, ())) for category in opened}
    return {"generic": list(generic), "own": {category: list(texts) for category, texts in own.items()}}


def _described(arm: Arm, planned: PlannedAblation) -> dict[str, Any]:
    config = planned.configs.get(arm.name)
    backbone = planned.backbones.get(arm.name)
    return {
        "name": arm.name,
        "label": arm.label,
        "method": arm.method,
        "runs": arm.runs,
        "factors": dict(arm.factors),
        "marks": {factor: level for factor, level in arm.factors.items() if isinstance(level, bool)},
        "runnable": backbone is not None,
        "not_runnable_reason": planned.not_runnable.get(arm.name),
        "backbone": arm.backbone if backbone is None else backbone.text,
        "random_weights": backbone is not None and backbone.name.is_random,
        # As the config has them: a change may be scaled to the backbone's depth.
        "changes": {} if config is None else {name: config.as_dict()[name] for name in arm.changes},
        "config": None if config is None else config.as_dict(),
    }


def _user_notes(request: StudyRequest) -> list[str]:
    """What the user set by category, and where the base config comes from, in sentences for the report."""
    notes = []
    if request.method is not None:
        method = request.method
        notes.append(
            f"The base is method {method['name']}, trial {method['trial']} of search {method['search']} "
            f"({method['label']}; tuned on {method['tuned_on'].removeprefix('TUNED ON TEST: ')})."
        )
        if method["on_test"]:
            notes.append("TUNED ON TEST: the base was chosen by test labels of these categories, so numbers flatter.")
    if request.suffixes:
        notes.append(f"The user's own anomaly suffixes are used for {', '.join(sorted(request.suffixes))}.")
    if request.support:
        notes.append(f"The user named the support images of {', '.join(sorted(request.support))}.")
    return notes
