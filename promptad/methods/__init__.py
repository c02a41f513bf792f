"""Anomaly detection methods by name; a new one is a file here and an entry in ``METHODS``."""

from promptad.methods.method import Fitted, Method, Scores
from promptad.methods.promptad import PromptAD

METHODS: dict[str, Method] = {"promptad": PromptAD()}
"""Every method that a cell can name."""

__all__ = ["METHODS", "Fitted", "Method", "PromptAD", "Scores"]
