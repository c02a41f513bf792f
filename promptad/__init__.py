"""PromptAD: few-shot industrial anomaly detection with learned CLIP prompts.

``Detector`` and ``load_backbone`` are what an application needs; they are imported when first used, so that packages
that only read configs or metrics do not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptad.backbones.backbone import load_backbone
    from promptad.configs.promptad_config import PromptADConfig
    from promptad.detector import Detector

__all__ = ["Detector", "PromptADConfig", "load_backbone"]

_HOMES = {
    "Detector": "promptad.detector",
    "PromptADConfig": "promptad.configs.promptad_config",
    "load_backbone": "promptad.backbones.backbone",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module promptad has no attribute {name!r}; it has {', '.join(__all__)}")
