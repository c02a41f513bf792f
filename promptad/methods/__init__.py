"""Anomaly detection methods: a file here for each, and an entry in ``promptad.configs.method_table.METHODS``."""

from promptad.configs.method_table import METHODS
from promptad.methods.method import FitResult, Fitted, Fitting, Method, MethodSize, Scores, finite_scores, fit_all


def method_named(name: str) -> Method:
    """The method that a cell names."""
    method: Method = METHODS[name].make()
    return method


__all__ = [
    "METHODS",
    "Fitted",
    "Fitting",
    "Method",
    "MethodSize",
    "Scores",
    "FitResult",
    "finite_scores",
    "fit_all",
    "method_named",
]
