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
from promptad.protocol import protocol_name
from study.request import StudyRequest


def document_name(
    ablation: Ablation,
    request: StudyRequest,
    weights: str,
    configs: Mapping[str, PromptADConfig],
    shots: tuple[int, ...],
    opened: Mapping[str, tuple[Category, str]],
) -> str:
    """A file name that differs whenever weights, data, categories, shots, config, supports or suffixes do.

    The number of seeds is no part of it: more seeds make the same table better.
    """
    name = parse_backbone(request.backbone)
    protocol = protocol_name(request.base)
    parts = [ablation.name, name.architecture, *([] if name.is_tiny else [name.label]), request.source.name]
    parts += [] if protocol == "paper" else [protocol.partition(" ")[0]]
    identity = [
        weights,
        {category: digest for category, (_, digest) in opened.items()},
        list(shots),
        {arm: config.as_dict() for arm, config in configs.items()},
        request.support,
        request.suffixes,
    ]
    text = json.dumps(identity, sort_keys=True)
    parts.append(hashlib.blake2b(text.encode(), digest_size=3).hexdigest())
    return "-".join(re.sub(r"[^A-Za-z0-9.+]+", "_", part) for part in parts)


def plan_document(
    ablation: Ablation,
    request: StudyRequest,
    weights: str,
    configs: Mapping[str, PromptADConfig],
    shots: tuple[int, ...],
    opened: Mapping[str, tuple[Category, str]],
    listed: list[dict[str, Any]],
) -> dict[str, Any]:
    """What a report needs to know of a planned ablation, as JSON-compatible data."""
    name = parse_backbone(request.backbone)
    comparable, reason = _comparability(request, opened)
    numbers = published(ablation.published) if ablation.published else ()
    return {
        "schema": 1,
        "name": document_name(ablation, request, weights, configs, shots, opened),
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


def _comparability(request: StudyRequest, opened: Mapping[str, tuple[Category, str]]) -> tuple[bool, str | None]:
    """Whether the paper's numbers were measured on the same weights, data and settings, and if not, what differs.

    The released code's departures do not make a number incomparable: the protocol's name tells them.
    """
    differences = []
    if request.backbone != "ViT-B-16-plus-240:laion400m_e32":
        differences.append(f"weights ({parse_backbone(request.backbone).label}; the paper's are laion400m_e32)")
    images = sum(len(category.test) for category, _ in opened.values())
    full = _FULL_SETS.get(request.source.name)
    if full is None:
        differences.append(f"data ({request.source.title})")
    elif (len(opened), images) != full:
        differences.append(
            f"only {len(opened)} of {full[0]} categories and {images} of {full[1]} test images of "
            f"{request.source.title}"
        )
    if settings := protocol_name(request.base).partition(" with ")[2]:
        differences.append(f"settings ({settings})")
    if request.support:
        differences.append("support images named by the user")
    if request.suffixes:
        differences.append("suffixes of the user's")
    return (False, "other than the paper's: " + "; ".join(differences)) if differences else (True, None)
