"""What a cell that ran brings back."""

from __future__ import annotations

from dataclasses import dataclass

from reports.reading.kept import Arrays
from study.records.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished row and the maps of a few of its test images (pixel task only)."""

    row: Row
    examples: Arrays | None
