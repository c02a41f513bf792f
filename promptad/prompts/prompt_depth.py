"""How many blocks of both towers have prompts of their own."""

from __future__ import annotations

from promptad.backbones.backbone_names import BackboneName, default_prompt_depth, prompt_blocks
from promptad.configs.method_config import ConfigError


def depth_in(name: BackboneName, asked: int | None) -> int:
    """The depth that is asked for, or the backbone's default.

    Raises:
        ConfigError: more blocks with prompts than one of the towers has.
    """
    deepest = prompt_blocks(name)
    depth = asked or default_prompt_depth(name)
    if depth > deepest:
        raise ConfigError(f"prompt_depth must be between 1 and {deepest} for {name}, but got {depth}")
    return depth
