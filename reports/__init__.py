"""Reports of a study: rows and plans in, tables, figures and one HTML page out. Never imports torch or ray.

The public names are imported when first used, so that reading documents alone does not load matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.report import write_report
    from reports.tables.table import Table, build_table

__all__ = ["Table", "build_table", "write_report"]

_HOMES = {"Table": "reports.tables.table", "build_table": "reports.tables.table", "write_report": "reports.report"}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module reports has no attribute {name!r}; it has {', '.join(__all__)}")
