"""An ablation as a value: a question, one base config, and arms that are named changes to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptad.config import ConfigError, PromptADConfig, Task, canonical


class AblationError(ValueError):
    """An ablation that does not say what it means: a change without effect, two equal arms, a missing baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One row of an ablation's table.

    ``changes`` are config fields and their values, relative to the ablation's base. ``marks`` are the columns of
    ticks and crosses that a table prints before the numbers; ``published`` is the arm's ``factors`` text in
    ``published.csv``, None where the paper has no such row.
    """

    name: str
    label: str
    changes: Mapping[str, Any]
    marks: Mapping[str, bool] = field(default_factory=dict)
    published: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """A question that a table answers. ``baseline`` names the arm that effects are measured against.

    ``published`` is the table's name in ``published.csv``, ``note`` what a reader of the table must know.
    """

    name: str
    title: str
    question: str
    arms: tuple[Arm, ...]
    baseline: str
    note: str
    tasks: tuple[Task, ...] = ("image", "pixel")
    shots: tuple[int, ...] = (1,)
    published: str | None = None

    def configs(self, base: PromptADConfig) -> dict[str, PromptADConfig]:
        """Full config of each arm by name, ``base`` being the protocol with the user's overrides.

        Raises:
            AblationError: names every arm whose changes name an unknown field, hold a bad value or change nothing,
                arms that are the same experiment, and a baseline that is no arm.
        """
        problems: list[str] = []
        configs: dict[str, PromptADConfig] = {}
        if len({arm.name for arm in self.arms}) < len(self.arms):
            problems.append("arms must have different names")
        if self.baseline not in [arm.name for arm in self.arms]:
            problems.append(f"baseline {self.baseline!r} is no arm")
        for arm in self.arms:
            try:
                config = base.with_changes(arm.changes)
            except ConfigError as error:
                problems.append(f"arm {arm.name}: {error}")
                continue
            idle = [name for name, value in arm.changes.items() if getattr(base, name) == value]
            if idle:
                problems.append(
                    f"arm {arm.name}: {', '.join(idle)} already has this value in the base, so the change "
                    "changes nothing"
                )
            configs[arm.name] = config
        problems += self._repeated(configs)
        if problems:
            raise AblationError(f"ablation {self.name}: {'; '.join(problems)}")
        return configs

    def _repeated(self, configs: Mapping[str, PromptADConfig]) -> list[str]:
        seen: dict[tuple[PromptADConfig, ...], str] = {}
        problems = []
        for name, config in configs.items():
            identity = tuple(canonical(config, task) for task in self.tasks)
            if identity in seen:
                problems.append(f"arms {seen[identity]} and {name} are the same experiment")
            seen[identity] = name
        return problems
