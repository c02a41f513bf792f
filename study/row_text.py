"""One row as people read it: what was asked for, what came of it, and where it ran."""

from __future__ import annotations

import textwrap

from promptad.config import PromptADConfig
from study.row import Row


def row_text(row: Row) -> str:
    """Lines for a terminal, ending with a newline."""
    cell = row.cell
    defaults = PromptADConfig().as_dict()
    changed = {name: value for name, value in cell.config.as_dict().items() if value != defaults[name]}
    lines = [
        f"{cell}",
        f"  digest     {cell.digest}",
        f"  status     {row.status}",
        *([f"  reason     {textwrap.indent(row.reason, ' ' * 13).strip()}"] if row.reason else []),
        *(f"  {name:<10} {value:.4f}" for name, value in (row.scores or {}).items()),
        f"  method     {cell.method} on {cell.backbone} (weights {cell.weights[:12]})",
        f"  data       {cell.dataset}, {cell.category} (digest {cell.data[:12]})",
        f"  support    {', '.join(row.support_images) or 'not drawn'}",
        "  config     " + (", ".join(f"{name}={value}" for name, value in changed.items()) or "the defaults"),
        *(
            [f"  seconds    {', '.join(f'{stage} {value:g}' for stage, value in row.seconds.items())}"]
            * bool(row.seconds)
        ),
        *(f"  {name:<10} {value}" for name, value in row.provenance.items() if name != "versions"),
    ]
    versions = row.provenance.get("versions", {})
    if versions:
        lines.append("  versions   " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    return "\n".join(lines) + "\n"
