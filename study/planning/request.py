"""The request for a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablations.shots import Shots
from ablations.spec import Ablation
from promptad.configs.promptad_config import PromptADConfig
from reports.reading.shapes import Document
from study.planning.data_source import DataSource


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """A request for a study.

    ``arm_backbones``: weights for arms with a backbone of their own. ``shots`` None: each ablation's own. ``support``:
    fixed support images by category. ``suffixes``: the user's own manual anomaly suffixes by category, in place of
    the category's; ``support_file`` and ``suffixes_file`` are the absolute paths of their files.
    ``method``: the source of the base config, if a search promoted it.
    """

    ablations: tuple[Ablation, ...]
    backbone: str
    source: DataSource
    base: PromptADConfig
    seeds: int
    categories: tuple[str, ...] | None = None
    shots: tuple[Shots, ...] | None = None
    support: Mapping[str, tuple[str, ...]] | None = None
    suffixes: Mapping[str, tuple[str, ...]] | None = None
    skip_bad: bool = False
    arm_backbones: tuple[str, ...] = ()
    whole_catalogue: bool = False
    method: Document | None = None
    support_file: str | None = None
    suffixes_file: str | None = None

    @property
    def search_shots(self) -> int:
        """The one number of shots of a search: 1 where none is named. ``plan_search`` refuses several, and full."""
        first = (self.shots or (1,))[0]
        assert first != "full"
        return first
