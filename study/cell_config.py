"""The config that a cell runs: everything that is left open in an arm's spelled out."""

from __future__ import annotations

from typing import TypeVar

from promptad.backbone_names import BackboneName, default_memory_layers, default_prompt_depth
from promptad.config import PromptADConfig, Task
from promptad.method_configs import MaPLeConfig
from promptad.method_table import canonical_config, uses_memory_layers
from promptad.shared_config import MemoryConfig, MethodConfig
from study.request import StudyRequest

_Config = TypeVar("_Config", bound=MethodConfig)


def resolved(config: MethodConfig, task: Task, backbone: BackboneName) -> MethodConfig:
    """The config a cell runs: canonical for its task, the backbone's default layers spelled out."""
    reduced = canonical_config(config, task)
    if isinstance(reduced, MaPLeConfig) and reduced.prompt_depth is None:
        return reduced.with_changes({"prompt_depth": default_prompt_depth(backbone)})
    if not uses_memory_layers(reduced, task) or memory_layers(reduced) is not None:
        return reduced
    return reduced.with_changes({"memory_layers": default_memory_layers(backbone)})


def memory_layers(config: MethodConfig) -> tuple[int, ...] | None:
    """The memory layers that a config names; None where it has or names none."""
    return config.memory_layers if isinstance(config, PromptADConfig | MemoryConfig) else None


def with_suffixes(config: _Config, category: str, request: StudyRequest) -> _Config:
    """``config`` with the user's suffixes of the category, if there are any."""
    own = (request.suffixes or {}).get(category)
    if own is None or not isinstance(config, PromptADConfig):
        return config
    return config.with_changes({"own_suffixes": own})
