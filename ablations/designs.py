"""Designs: which combinations of factor levels an ablation runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ablations.arms import Arm
from promptad.config import PromptADConfig, field_names


class DesignError(ValueError):
    """A design that cannot be made as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One value of a factor: what stands in tables (``value`` JSON-compatible), and its changes to the base."""

    value: Any
    changes: Mapping[str, Any]
    label: str = ""

    @property
    def text(self) -> str:
        """The label, or the value as text."""
        return self.label or str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Something that an ablation varies. The first level is the one that every other is compared with.

    ``name`` is short (it makes the arms' names), ``label`` for people.
    """

    name: str
    label: str
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        """Check that there is something to compare."""
        values = [level.value for level in self.levels]
        if len(values) < 2 or any(value in values[:index] for index, value in enumerate(values)):
            raise DesignError(f"factor {self.name} needs at least 2 different levels, but got {values}")

    @classmethod
    def of(cls, config_field: str, *values: Any, name: str | None = None, label: str | None = None) -> Factor:
        """A factor that is one config field; the first value is the one that others are compared with."""
        return cls(
            name=name or config_field,
            label=label or name or config_field,
            levels=tuple(Level(value=value, changes={config_field: value}) for value in values),
        )

    @classmethod
    def switch(cls, name: str, label: str, *, off: Mapping[str, Any], on: Mapping[str, Any]) -> Factor:
        """A part that is added: off first, then on."""
        return cls(name=name, label=label, levels=(Level(value=False, changes=off), Level(value=True, changes=on)))

    def idle(self, base: PromptADConfig) -> list[str]:
        """A problem if no level, or more than one, is what ``base`` has already."""
        known = [level for level in self.levels if set(level.changes) <= set(field_names())]
        same = [level for level in known if all(getattr(base, name) == value for name, value in level.changes.items())]
        if len(same) < 2:
            return []
        texts = ", ".join(level.text for level in same)
        return [f"factor {self.name}: levels {texts} change nothing in the base, so they are the same experiment"]


Combination = tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """Arms written out one by one, as a table of the paper has them. ``factor_labels``: names for people."""

    kind: ClassVar[str] = "paper_table"
    rows: tuple[Arm, ...]
    baseline: str | None
    factor_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The rows."""
        return self.rows

    @property
    def labels(self) -> Mapping[str, str]:
        """Factor names and what people call them."""
        return self.factor_labels

    def idle(self, base: PromptADConfig) -> list[str]:
        """Every change of every arm that changes nothing: written out by hand, it is a mistake."""
        found = [
            (arm.name, [name for name, value in arm.changes.items() if getattr(base, name, ...) == value])
            for arm in self.rows
        ]
        return [
            f"arm {name}: {', '.join(idle)} already has this value in the base, so the change changes nothing"
            for name, idle in found
            if idle
        ]
