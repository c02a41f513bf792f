"""Arms: the rows of an ablation's table, each a few named changes to one base."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Depths:
    """Memory layers of a backbone with ``of`` blocks, to be scaled with the depth of others (rounded up)."""

    layers: tuple[int, ...]
    of: int

    def in_tower(self, blocks: int) -> tuple[int, ...]:
        """The layers of a tower with this many blocks, counted from 1."""
        return tuple(math.ceil(blocks * layer / self.of) for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One row of an ablation's table.

    ``runs`` is the method of ``promptad.method_table.METHODS`` that the arm runs, under the base's protocol.
    ``changes`` are config fields and their values (or ``Depths``), relative to the ablation's base. ``factors`` is
    the arm's level in each factor of the table, as JSON-compatible values. ``method`` is what the paper calls the
    row's method; ``backbone`` a backbone of the arm's own (None: the study's). ``published`` is the row in the
    published numbers (``PublishedCell.row``), None where the paper has none. An arm with ``not_runnable`` (why) has
    no cells, only published numbers.
    """

    name: str
    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, Any] = field(default_factory=dict)
    method: str = "PromptAD"
    runs: str = "promptad"
    backbone: str | None = None
    published: str | None = None
    not_runnable: str | None = None
