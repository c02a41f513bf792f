"""Plan documents: what was asked for, as JSON that reports and ``status`` read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from ablations.published import published
from ablations.spec import Ablation
from promptad.backbones import parse_backbone
from promptad.config import PromptADConfig
from promptad.datasets import Category
from promptad.protocol import PROTOCOLS, protocol_name
from study.request import StudyRequest
from study.sources import chosen_categories


def document_name(ablation: Ablation, request: StudyRequest) -> str:
    """A file name that is the same for the same question, backbone, data and protocol, and else different."""
    name = parse_backbone(request.backbone)
    parts = [ablation.name, str(name.architecture), *([] if name.is_tiny else [name.label]), request.source.name]
    protocol = protocol_name(request.base)
    parts += [] if protocol == "paper" else [protocol.partition(" ")[0]]
    alterations = [request.base.as_dict(), request.support, request.suffixes]
    if protocol not in PROTOCOLS or request.support or request.suffixes:
        text = json.dumps(alterations, sort_keys=True)
        parts.append(hashlib.blake2b(text.encode(), digest_size=3).hexdigest())
    return "-".join(re.sub(r"[^A-Za-z0-9.+]+", "_", part) for part in parts)


def plan_document(
    ablation: Ablation,
    request: StudyRequest,
    configs: Mapping[str, PromptADConfig],
    shots: tuple[int, ...],
    opened: Mapping[str, tuple[Category, str]],
    listed: list[dict[str, Any]],
) -> dict[str, Any]:
    """What a report needs to know of a planned ablation, as JSON-compatible data."""
    name = parse_backbone(request.backbone)
    comparable, reason = _comparability(request)
    numbers = published(ablation.published) if ablation.published else ()
    return {
        "schema": 1,
        "name": document_name(ablation, request),
        "ablation": ablation.name,
        "title": ablation.title,
        "question": ablation.question,
        "method_note": " ".join([ablation.note, *_user_notes(request)]).strip(),
        "baseline": ablation.baseline,
        "backbone": request.backbone,
        "weights_label": name.label,
        "comparable": comparable,
        "comparable_reason": reason,
        "protocol": protocol_name(request.base),
        "selection": request.base.selection,
        "dataset": request.source.name,
        "dataset_title": request.source.title,
        "published_dataset": request.source.name if request.source.name in ("mvtec", "visa") else "mvtec",
        "categories": list(opened),
        "shots": list(shots),
        "seeds": list(range(request.seeds)),
        "tasks": list(ablation.tasks),
        "arms": [
            {
                "name": arm.name,
                "label": arm.label,
                "marks": dict(arm.marks),
                "published": arm.published,
                "changes": dict(arm.changes),
                "config": configs[arm.name].as_dict(),
            }
            for arm in ablation.arms
        ],
        "published": [
            {
                "dataset": cell.dataset,
                "metric": cell.metric,
                "shots": cell.shots,
                "factors": cell.factors,
                "value": cell.value,
                "std": cell.std,
            }
            for cell in numbers
        ],
        "cells": listed,
        "left_out": [
            {"image": f"{category}/{image}", "reason": why}
            for category, (data, _) in opened.items()
            for image, why in data.left_out
        ],
    }


def _user_notes(request: StudyRequest) -> list[str]:
    """What the user set by category, in sentences for the report."""
    notes = []
    if request.suffixes:
        notes.append(f"The user's own anomaly suffixes are used for {', '.join(sorted(request.suffixes))}.")
    if request.support:
        notes.append(f"The user named the support images of {', '.join(sorted(request.support))}.")
    return notes


_FULL_SETS = {"mvtec": (15, 1725), "visa": (12, 2162)}
"""Categories and test images of the complete sets, without which a number is not the published one's."""


def _comparability(request: StudyRequest) -> tuple[bool, str | None]:
    """Whether the paper's numbers were measured on the same weights and data, and if not, what differs."""
    differences = []
    if request.backbone != "ViT-B-16-plus-240:laion400m_e32":
        differences.append(f"weights ({parse_backbone(request.backbone).label}; the paper's are laion400m_e32)")
    if request.source.name not in _FULL_SETS:
        differences.append(f"data ({request.source.title})")
    else:
        categories, _ = _FULL_SETS[request.source.name]
        if len(chosen_categories(request.source, request.categories)) < categories:
            differences.append(f"only some of the {categories} categories of {request.source.title}")
    if differences:
        return False, "other than the paper's: " + "; ".join(differences)
    return True, None
