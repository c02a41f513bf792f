"""Designs: which combinations of factor levels an ablation runs.

Each is a value with the same four things (``spec.Design``): a kind, arms, a baseline, and labels. Except in
``PaperTable``, the arms are made from factors, and the baseline is the combination of first levels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ablations.arms import Arm, PrintedRow
from promptad.configs.method_config import ConfigError, MethodConfig
from promptad.configs.method_table import METHODS, under_protocol
from promptad.configs.promptad_config import PromptADConfig
from promptad.user_error import UserError


class DesignError(UserError):
    """A design that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One value of a factor: its JSON-compatible ``value`` for tables, and its changes to the base."""

    value: object
    changes: Mapping[str, Any]
    label: str = ""

    @property
    def text(self) -> str:
        """The label, or the value as text."""
        return self.label or str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Something that an ablation varies. Every other level is compared with the first.

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
    def of(cls, config_field: str, *values: object, name: str | None = None, label: str | None = None) -> Factor:
        """A factor that is one config field; other values are compared with the first."""
        return cls(
            name=name or config_field,
            label=label or name or config_field,
            levels=tuple(Level(value=value, changes={config_field: value}) for value in values),
        )

    @classmethod
    def switch(cls, name: str, label: str, *, off: Mapping[str, object], on: Mapping[str, object]) -> Factor:
        """A part that is added: off first, then on."""
        return cls(name=name, label=label, levels=(Level(value=False, changes=off), Level(value=True, changes=on)))

    def idle(self, base: MethodConfig) -> list[str]:
        """A problem if more than one level equals ``base``."""
        known = [level for level in self.levels if set(level.changes) <= set(base.as_dict())]
        same = [level for level in known if all(getattr(base, name) == value for name, value in level.changes.items())]
        if len(same) < 2:
            return []
        texts = ", ".join(level.text for level in same)
        return [f"factor {self.name}: levels {texts} change nothing in the base, so they are the same experiment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """Arms written out one by one, as a table of the paper has them. ``factor_labels``: names for people.

    With ``exact``, changes state values independent of the base, and may repeat the base's.
    """

    kind: ClassVar[str] = "paper_table"
    rows: tuple[Arm, ...]
    baseline: str | None
    factor_labels: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The rows."""
        return self.rows

    @property
    def labels(self) -> Mapping[str, str]:
        """Factor names and their labels for people."""
        return self.factor_labels

    def idle(self, base: PromptADConfig) -> list[str]:
        """Every change of every arm that changes nothing: in a table written by hand it is a mistake."""
        found = [
            (arm.name, [name for name, value in arm.changes.items() if getattr(config, name, ...) == value])
            for arm in self.rows
            # An unknown method, or a base that it cannot have, is reported when the arm's config is made.
            if not self.exact
            for config in _if_possible(arm.runs, base)
        ]
        return [
            f"arm {name}: {', '.join(idle)} already has this value in the base, so the change changes nothing"
            for name, idle in found
            if idle
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorDesign:
    """What the designs below share. ``published`` maps names of arms to rows of the published numbers.

    ``of_method`` is the method whose config the factors vary.
    """

    kind: ClassVar[str]
    factors: tuple[Factor, ...]
    published: Mapping[str, PrintedRow] = field(default_factory=dict)
    of_method: str = "promptad"

    def __post_init__(self) -> None:
        """Check factors, before any arm is made."""
        names = [factor.name for factor in self.factors]
        if not names or len(set(names)) < len(names):
            raise DesignError(f"a design needs factors with different names, but got {names}")
        if self.of_method not in METHODS:
            raise DesignError(f"a design's method must be one of {', '.join(METHODS)}, but got {self.of_method!r}")
        arms = [arm.name for arm in self.arms]
        if unknown := [name for name in self.published if name not in arms]:
            raise DesignError(f"published rows must be of arms ({', '.join(arms)}), but got {', '.join(unknown)}")

    @property
    def arms(self) -> tuple[Arm, ...]:
        """One arm for each combination of levels."""
        return tuple(self._arm(combination) for combination in self.combinations())

    @property
    def baseline(self) -> str | None:
        """The combination of first levels."""
        return self._name([0] * len(self.factors))

    @property
    def labels(self) -> Mapping[str, str]:
        """Factor names and their labels for people."""
        return {factor.name: factor.label for factor in self.factors}

    def combinations(self) -> Iterator[Sequence[int]]:
        """The design's matrix: each arm's number of the level of each factor."""
        raise NotImplementedError

    def idle(self, base: PromptADConfig) -> list[str]:
        """Factors that change nothing in ``base``."""
        return [
            problem
            for config in _if_possible(self.of_method, base)
            for factor in self.factors
            for problem in factor.idle(config)
        ]

    def _levels(self, combination: Sequence[int]) -> list[tuple[Factor, Level]]:
        return [(factor, factor.levels[number]) for factor, number in zip(self.factors, combination, strict=True)]

    def _name(self, combination: Sequence[int]) -> str:
        parts = []
        for factor, level in self._levels(combination):
            if isinstance(level.value, bool):
                parts += [factor.name] if level.value else []
            else:
                parts.append(f"{factor.name}={level.text}")
        return " + ".join(parts) or "none"

    def _arm(self, combination: Sequence[int]) -> Arm:
        levels = self._levels(combination)
        changes: dict[str, object] = {}
        for factor, level in levels:
            if twice := sorted(set(changes) & set(level.changes)):
                raise DesignError(f"factors must change different fields, but {factor.name} too changes {twice}")
            changes |= level.changes
        name = self._name(combination)
        return Arm(
            name=name,
            label=name,
            changes=changes,
            factors={factor.name: level.value for factor, level in levels},
            method=METHODS[self.of_method].title,
            runs=self.of_method,
            published=self.published.get(name),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OneFactorAtATime(FactorDesign):
    """The first levels, and every other level of each factor alone."""

    kind: ClassVar[str] = "one_factor"

    def combinations(self) -> Iterator[Sequence[int]]:
        """First levels, then one factor at a time."""
        yield from _one_at_a_time([len(factor.levels) for factor in self.factors])


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut(FactorDesign):
    """Everything on, and each component off alone. Each factor's first level is on, its second off."""

    kind: ClassVar[str] = "leave_one_out"

    def combinations(self) -> Iterator[Sequence[int]]:
        """All parts, then all but one."""
        require_two_levels(self.factors, self.kind)
        yield from _one_at_a_time([2] * len(self.factors))

    def _name(self, combination: Sequence[int]) -> str:
        left_out = [factor.name for factor, number in zip(self.factors, combination, strict=True) if number]
        return f"without {', '.join(left_out)}" if left_out else "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cumulative(FactorDesign):
    """First levels, then one factor after the other moved to its last level for good."""

    kind: ClassVar[str] = "cumulative"

    def combinations(self) -> Iterator[Sequence[int]]:
        """A staircase."""
        last = [len(factor.levels) - 1 for factor in self.factors]
        for moved in range(len(last) + 1):
            yield [*last[:moved], *[0] * (len(last) - moved)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factorial(FactorDesign):
    """Every combination of levels except those in ``without``, the last factor varying fastest.

    ``without`` are combinations that make no sense, as values of factors by name.
    """

    kind: ClassVar[str] = "factorial"
    without: tuple[Mapping[str, object], ...] = ()

    def combinations(self) -> Iterator[Sequence[int]]:
        """The full grid."""
        for combination in itertools.product(*(range(len(factor.levels)) for factor in self.factors)):
            values = {factor.name: level.value for factor, level in self._levels(combination)}
            if not any(all(values[name] == value for name, value in some.items()) for some in self.without):
                yield combination


def _one_at_a_time(sizes: Sequence[int]) -> Iterator[Sequence[int]]:
    yield [0] * len(sizes)
    for position, size in enumerate(sizes):
        for level in range(1, size):
            yield [level if other == position else 0 for other in range(len(sizes))]


def require_two_levels(factors: Iterable[Factor], kind: str) -> None:
    """Raise ``DesignError`` that names the factors with another number of levels."""
    if wrong := [factor.name for factor in factors if len(factor.levels) != 2]:
        raise DesignError(f"a {kind} design needs factors of 2 levels, but {', '.join(wrong)} has another number")


def _if_possible(method: str, base: PromptADConfig) -> tuple[MethodConfig, ...]:
    """The method's config under the base; None if it cannot have the base's values."""
    try:
        return (under_protocol(method, base),)
    except ConfigError:
        return ()
