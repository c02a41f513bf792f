"""Anomaly detection methods by name; a new one is a file here and an entry in ``METHODS``."""

from promptad.methods.method import Fitted, Method, Scores
from promptad.methods.padim import PaDiM
from promptad.methods.patchcore import PatchCore
from promptad.methods.promptad import PromptAD
from promptad.methods.spade import SPADE

METHODS: dict[str, Method] = {
    "promptad": PromptAD(),
    "patchcore": PatchCore(),
    "spade": SPADE(),
    "padim": PaDiM(),
}
"""Every method that a cell can name; ``promptad.method_configs.CONFIGS`` has their configs."""

__all__ = ["METHODS", "Fitted", "Method", "PaDiM", "PatchCore", "PromptAD", "SPADE", "Scores"]
