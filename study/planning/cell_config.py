"""The config of a cell: an arm's, with the fields that it leaves open resolved."""

from __future__ import annotations

import functools
from typing import TypeVar

from promptad.backbones.backbone_names import (
    BackboneName,
    available_blocks,
    default_memory_layers,
    default_prompt_depth,
    is_transformer,
    kind_of,
    patch_grid,
    prompt_blocks,
)
from promptad.configs.method_config import MethodConfig, TowerFacts
from promptad.images.pseudo_anomalies import DEFECTS
from study.planning.request import StudyRequest
from study.records.cell import FIRST_KINDS, Query

_Config = TypeVar("_Config", bound=MethodConfig)


@functools.cache
def tower_facts(text: str, name: BackboneName) -> TowerFacts:
    """What configs must know about the backbone named ``text``: computed from its name, before weights are read."""
    transformer = is_transformer(name)
    return TowerFacts(
        text=text,
        kind=kind_of(name),
        transformer=transformer,
        blocks=available_blocks(name),
        grid=patch_grid(name) if transformer else None,
        prompt_blocks=prompt_blocks(name) if transformer else None,
        default_memory_layers=default_memory_layers(name),
        default_prompt_depth=default_prompt_depth(name) if transformer else None,
    )


def with_suffixes(config: _Config, category: str, request: StudyRequest) -> _Config:
    """``config`` with the user's suffixes of the category, if there are any."""
    own = (request.suffixes or {}).get(category)
    return config if own is None else config.with_suffixes(own)


def kinds_of(query: Query) -> tuple[str, ...]:
    """The pseudo-anomalies that a cell scores; for a cell on test images the default."""
    return tuple(DEFECTS) if query == "synthetic" else FIRST_KINDS
