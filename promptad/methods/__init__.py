"""Anomaly detection methods: a file here for each, and an entry in ``promptad.configs.method_table.METHODS``."""

from promptad.configs.method_table import METHODS
from promptad.methods.method import Fitted, Method, MethodSize, Scores, finite_scores


def method_named(name: str) -> Method:
    """The method that a cell names."""
    method: Method = METHODS[name].make()
    return method


__all__ = ["METHODS", "Fitted", "Method", "MethodSize", "Scores", "finite_scores", "method_named"]
