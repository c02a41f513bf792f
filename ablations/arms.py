"""Arms: the rows of an ablation's table, each a few named changes to one base."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ablations.shots import Shots

PAPER_ARCHITECTURE, PAPER_TAG = "ViT-B-16-plus-240", "laion400m_e32"
PAPER_BACKBONE = f"{PAPER_ARCHITECTURE}:{PAPER_TAG}"
"""ViT-B/16+ with the weights from LAION-400M (section 5): the backbone of all tables but Table 8."""


@dataclass(frozen=True, slots=True)
class Depths:
    """Memory layers of a backbone with ``of`` blocks; for other depths they are scaled and rounded up."""

    layers: tuple[int, ...]
    of: int

    def in_tower(self, blocks: int) -> tuple[int, ...]:
        """The layers of a tower with this many blocks, counted from 1."""
        return tuple(math.ceil(blocks * layer / self.of) for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the paper's numbers of a row were measured with, as far as it states this.

    ``weights``: "paper" is the ViT-B/16+ with LAION-400M's weights that section 5 names; "unnamed" is an architecture
    without the weights' name (ResNet101 and ViT-L/14 of Table 8); "imagenet" is a CNN trained on ImageNet, in another
    paper's runs. ``described``: whether the method is built here from its paper, from an abstract alone, or
    from an abstract, captions and the notes of others.
    ``unstated`` are metrics for which the paper does not state the method's way; ``prompts``: whether it prints the
    prompts of the number (Figure 1's are "about 1000", and as many for its baseline).
    """

    weights: Literal["paper", "unnamed", "imagenet"] = "paper"
    described: Literal["paper", "abstract", "excerpts"] = "paper"
    unstated: frozenset[str] = frozenset()
    prompts: Literal["printed", "unprinted"] = "printed"


PrintedLevel = bool | str | None
"""The level of a printed row's factor: on or off, a name, or None where the paper leaves its place empty."""


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """A row of a table of the paper: its method, and the factors that tell it from others of the method."""

    method: str
    factors: frozenset[tuple[str, PrintedLevel]] = frozenset()

    @classmethod
    def of(cls, method: str, **factors: PrintedLevel) -> PrintedRow:
        """The row of a method at some levels: ``PrintedRow.of("PromptAD", sc=True, eam=False)``."""
        return cls(method, frozenset(factors.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One row of an ablation's table.

    ``runs`` is the method of ``promptad.configs.method_table.METHODS`` that the arm runs, under the base's protocol.
    ``changes`` are config fields and their values (or ``Depths``), relative to the ablation's base. ``factors`` is
    the arm's level in each factor of the table, as JSON-compatible values. ``method`` is what the paper calls the
    row's method; ``backbone`` a backbone of the arm's own (None: the study's). ``published`` is the row in the
    published numbers, None where the paper has none; ``measured`` says what these were measured
    with. ``shots`` are the arm's own, in place of the ablation's. An arm with ``not_runnable`` (why) has no cells, only
    published numbers.
    """

    name: str
    label: str
    changes: Mapping[str, object] = field(default_factory=dict)
    factors: Mapping[str, object] = field(default_factory=dict)
    method: str = "PromptAD"
    runs: str = "promptad"
    backbone: str | None = None
    published: PrintedRow | None = None
    measured: Measured = field(default_factory=Measured)
    shots: Shots | None = None
    not_runnable: str | None = None
