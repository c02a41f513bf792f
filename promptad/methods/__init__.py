"""Anomaly detection methods: a file here for each, and an entry in ``promptad.configs.method_table.METHODS``."""

from promptad.configs.method_table import METHODS
from promptad.methods.method import (
    FitResult,
    FitsPools,
    Fitted,
    Fitting,
    Method,
    MethodSize,
    PooledFit,
    Scores,
    finite_scores,
    fit_all,
)


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
    "FitsPools",
    "PooledFit",
    "finite_scores",
    "fit_all",
    "method_named",
]
