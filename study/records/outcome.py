"""The result of a cell that ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.records.row import Row

if TYPE_CHECKING:
    from reports.reading.kept import Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished row and the maps of a few of its test images (pixel task only)."""

    row: Row
    examples: Arrays | None
