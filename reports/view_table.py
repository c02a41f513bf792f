"""Every view by name: its function and its needs. Reading the table loads no matplotlib.

A new view is a function and an entry here: tables may then name it in ``shown_as``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptad.configs.parts import part_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEntry:
    """One view.

    ``builder`` (``module:function``) is loaded on first use: from a ``Table`` and a ``Loader`` of kept arrays to a
    ``reports.views.views.View``. ``averages``: it shows means of scores, not single images, features or texts.
    ``intervals``: it draws or prints intervals, so its caption states what they do not cover. ``compares``: it compares
    with a baseline, and is left out of a table that has none.
    """

    builder: str
    averages: bool = True
    intervals: bool = True
    compares: bool = False

    def build(self, name: str, table: Any, loader: Any) -> Any:
        """The ``View`` that the builder makes of a table; ``name`` is the entry's.

        Raises:
            MissingPartError: there is no such function.
        """
        return part_at(self.builder, f"the builder of view {name}")(table, loader)


VIEWS: Mapping[str, ViewEntry] = {
    "arms": ViewEntry(builder="reports.views.views:arms_view", intervals=False),
    "effects": ViewEntry(builder="reports.views.views:effects_view", compares=True),
    "delta_map": ViewEntry(builder="reports.views.views:delta_map_view", compares=True),
    "per_category": ViewEntry(builder="reports.views.views:per_category_view"),
    "slice": ViewEntry(builder="reports.views.views:slice_view"),
    "grid": ViewEntry(builder="reports.views.views:grid_view"),
    "main_effects": ViewEntry(builder="reports.views.views:main_effects_view"),
    "dots": ViewEntry(builder="reports.views.views:dots_view"),
    "curves": ViewEntry(builder="reports.views.views:curves_view"),
    "examples": ViewEntry(builder="reports.views.views:examples_view", averages=False, intervals=False),
    "compared": ViewEntry(builder="reports.views.views:compared_view", averages=False, intervals=False),
    "prompts": ViewEntry(builder="reports.views.views:prompts_view", averages=False, intervals=False),
    "embedding": ViewEntry(builder="reports.views.views:embedding_view", averages=False),
    "attention": ViewEntry(builder="reports.views.views:attention_view", averages=False, intervals=False),
    "transfer": ViewEntry(builder="reports.views.views:transfer_view"),
    "cost": ViewEntry(builder="reports.views.views:cost_view"),
}
"""Every view that an ablation can name; ``docs/ablations.md`` describes each."""


def view_problems(names: Iterable[str]) -> list[str]:
    """A sentence for each name that no view has."""
    return [f"view must be one of {', '.join(VIEWS)}, but got {name!r}" for name in names if name not in VIEWS]
