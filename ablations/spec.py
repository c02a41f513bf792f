"""An ablation as a value: a question, and a design that makes arms, which are named changes to one base config."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from ablations.arms import Arm, Depths
from ablations.published import published_tables
from ablations.shots import Setting, Shots, is_shots
from promptad.configs.method_config import ConfigError, MethodConfig, Task
from promptad.configs.method_table import under_protocol
from promptad.configs.promptad_config import PromptADConfig
from promptad.scoring.metric_table import METRICS
from promptad.user_error import UserError

Artefact = Literal["embedding", "attention", "compared", "cost"]
"""What a cell keeps for a figure or table. Arrays beside its examples: the model's inside (``promptad/inside.py``) or
its maps of the images that every method keeps (``study/bench/example_maps.py``). In its row: its cost
(``study/bench/costs.py``)."""

Query = Literal["test", "synthetic"]
"""The images that cells score: test images, or pseudo-anomalies on normal ones."""


class AblationError(UserError):
    """An ablation with errors: a change without effect, two equal arms, a missing baseline."""


class Design(Protocol):
    """How the arms of an ablation are made; see ``designs.py``.

    ``kind`` is the design's name in plan documents, ``baseline`` the arm that effects are measured against (None:
    none), ``labels`` the names of factors for people.
    """

    @property
    def kind(self) -> str:
        """The design's name."""
        ...

    @property
    def baseline(self) -> str | None:
        """Name of the arm that effects are measured against."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Factor names and what people call them."""
        ...

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms in order."""
        ...

    def idle(self, base: PromptADConfig, /) -> Sequence[str]:
        """Problems: changes that change nothing in ``base``."""
        ...


def _has_arms(design: object) -> bool:
    """Whether it has arms, without computing them: those of a Sobol set load scipy, and most commands need none."""
    arms = inspect.getattr_static(design, "arms", None)
    return isinstance(arms, tuple) or (hasattr(type(arms), "__get__") and not inspect.isfunction(arms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """A question that a table or figure answers.

    ``shown_as`` are the views of the report in order: names of ``reports.view_table.VIEWS``, which planning checks.
    ``data_sets`` are those that the paper shows it for, ``published`` the table's name in ``published.csv``, ``note``
    a sentence for readers. A figure that needs more than a cell's examples, or a table of costs, names ``artefacts``;
    a figure of single images may ask for ``most_seeds``, and for ``preferred`` categories alone (where the data has
    none of them: its first). With ``queries`` synthetic besides test, each cell has a twin that scores
    pseudo-anomalies.
    """

    name: str
    title: str
    question: str
    design: Design
    note: str = ""
    metrics: tuple[str, ...] = ("image_auroc", "pixel_auroc")
    shots: tuple[Shots, ...] = (1,)
    shown_as: tuple[str, ...] = ("arms", "effects", "delta_map")
    data_sets: tuple[str, ...] = ("mvtec", "visa")
    published: str | None = None
    artefacts: tuple[Artefact, ...] = ()
    most_seeds: int | None = None
    preferred: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ("test",)

    def __post_init__(self) -> None:
        """Check what the type checker cannot see in a user's file."""
        problems = [
            f"{what} must be text, but is {getattr(self, what)!r}"
            for what in ("name", "title", "question", "note")
            if not isinstance(getattr(self, what), str)
        ]
        problems += [
            f"{what} must be a tuple, like (1, 2), but is {getattr(self, what)!r}"
            for what in ("metrics", "shots", "shown_as", "data_sets", "artefacts", "preferred", "queries")
            if not isinstance(getattr(self, what), tuple)
        ]
        if not _has_arms(self.design):
            problems.append(f"design must be a design with arms (docs/ablations.md), but is {self.design!r}")
        if self.published is not None and self.published not in published_tables():
            problems.append(f"published must be one of {', '.join(published_tables())}, but is {self.published!r}")
        if problems:
            raise AblationError(f"ablation {self.name}: {'; '.join(problems)}", problems)
        problems = [
            f"{what} must be some of {', '.join(known)}, but got {value!r}"
            for what, values, known in (
                ("metrics", self.metrics, tuple(METRICS)),
                ("artefacts", self.artefacts, get_args(Artefact)),
                ("queries", self.queries, get_args(Query)),
            )
            for value in values
            if value not in known
        ]
        problems += [] if "test" in self.queries else ["queries must have test among them"]
        problems += [] if self.shots else ["shots must name at least one number of images"]
        problems += [
            f"shots must be whole numbers from 0 or full, but got {value!r}"
            for value in self.shots
            if not is_shots(value)
        ]
        if len(set(self.shots)) < len(self.shots):
            problems.append(f"shots must differ, but got {', '.join(map(str, self.shots))}")
        if problems:
            raise AblationError(f"ablation {self.name}: {'; '.join(problems)}", problems)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The design's arms in order."""
        return self.design.arms

    @property
    def baseline(self) -> str | None:
        """The arm that effects are measured against."""
        return self.design.baseline

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The trainings that the metrics need."""
        return tuple(dict.fromkeys(METRICS[metric].task for metric in self.metrics))

    def settings(self, asked: Sequence[Shots] | None = None) -> tuple[Setting, ...]:
        """The columns of the table: the shots ``asked`` for (None: the ablation's), and ``own`` if arms have theirs."""
        own = [arm.shots is not None for arm in self.arms]
        return (*(() if all(own) else asked or self.shots), *(("own",) if any(own) else ()))

    def factors(self) -> dict[str, list[object]]:
        """Levels of each factor in the order of the arms."""
        levels: dict[str, list[object]] = {}
        for arm in self.arms:
            for name, level in arm.factors.items():
                found = levels.setdefault(name, [])
                if level is not None and level not in found:
                    found.append(level)
        return levels

    def categories(self, present: Iterable[str]) -> tuple[str, ...]:
        """The data's categories on which the ablation runs."""
        present = tuple(present)
        if not self.preferred:
            return present
        return tuple(name for name in present if name in self.preferred) or present[:1]

    def configs(self, base: PromptADConfig, *, blocks: int = 12) -> dict[str, MethodConfig]:
        """Full config by name of each arm that can run, ``base`` being the protocol with the user's overrides.

        ``blocks`` is the depth of the study's image tower, to which ``Depths`` are scaled.

        Raises:
            AblationError: names every arm whose changes name an unknown field, hold a bad value or change nothing,
                arms that are the same experiment, and a baseline that is no arm.
        """
        problems: list[str] = []
        configs: dict[str, MethodConfig] = {}
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            problems.append("arms must have different names")
        if self.baseline is not None and self.baseline not in names:
            problems.append(f"baseline {self.baseline!r} is no arm")
        problems += [
            f"arm {arm.name}: shots must be a whole number from 0 or full, but got {arm.shots!r}"
            for arm in self.arms
            if arm.shots is not None and not is_shots(arm.shots)
        ]
        problems += self.design.idle(base)
        for arm in self.arms:
            if arm.not_runnable:
                continue
            try:
                configs[arm.name] = under_protocol(arm.runs, base).with_changes(in_tower(arm.changes, blocks))
            except ConfigError as error:
                problems.append(f"arm {arm.name}: {error}")
        problems += self._repeated(configs)
        if problems:
            raise AblationError(f"ablation {self.name}: {'; '.join(problems)}", problems)
        return configs

    def _repeated(self, configs: Mapping[str, MethodConfig]) -> list[str]:
        seen: dict[tuple[object, ...], str] = {}
        places = {arm.name: (arm.backbone, arm.shots) for arm in self.arms}
        problems = []
        for name, config in configs.items():
            identity = (*places[name], tuple(config.canonical(task) for task in self.tasks))
            if identity in seen:
                problems.append(f"arms {seen[identity]} and {name} are the same experiment")
            seen[identity] = name
        return problems


def in_tower(changes: Mapping[str, object], blocks: int) -> dict[str, object]:
    """Changes with ``Depths`` turned into layers of a tower with this many blocks."""
    return {name: value.in_tower(blocks) if isinstance(value, Depths) else value for name, value in changes.items()}
