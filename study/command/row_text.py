"""One row as text: the cell, its result, and where it ran."""

from __future__ import annotations

import textwrap

from study.records.row import Row

WIDTH = len("image_auroc")
"""Characters of the longest usual name of a line."""


def row_text(row: Row) -> str:
    """Lines for a terminal, ending with a newline."""
    cell = row.cell
    defaults = type(cell.config)().as_dict()
    changed = {name: value for name, value in cell.config.as_dict().items() if value != defaults[name]}
    facts = [
        ("digest", cell.digest),
        ("status", row.status),
        ("reason", textwrap.indent(row.reason or "", " " * (WIDTH + 4)).strip()),
        *((name, f"{value:.4f}") for name, value in (row.scores or {}).items()),
        ("method", f"{cell.method} on {cell.backbone} (weights {cell.weights[:12]})"),
        ("data", f"{cell.dataset}, {cell.category} (digest {cell.data[:12]})"),
        ("pool", ", ".join(member.category for member in cell.pool)),
        ("support", _support(row)),
        ("config", ", ".join(f"{name}={value}" for name, value in changed.items()) or "the defaults"),
        ("seconds", ", ".join(f"{stage} {value:g}" for stage, value in row.seconds.items())),
        *((name, value) for name, value in row.provenance.items() if name != "versions"),
        ("versions", ", ".join(f"{name} {version}" for name, version in row.provenance.get("versions", {}).items())),
    ]
    lines = [f"  {name:<{WIDTH}}  {value}" for name, value in facts if value != ""]
    return "\n".join([f"{cell}", *lines]) + "\n"


def _support(row: Row) -> str:
    """The support images of the cell's category, and that its model saw others."""
    named = ", ".join(row.support_images) or "not drawn"
    return f"{named}; and those of the pool's other categories" if row.cell.pool else named
