"""Domains of a search's parameters: ranges of numbers, and choices between levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ablations.designs import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRange:
    """Numbers from ``low`` to ``high``, both included; ``log``: uniform in the logarithm."""

    low: float
    high: float
    log: bool = False

    def problems(self) -> list[str]:
        """Problems of this domain, one sentence each."""
        found = [] if self.low < self.high else [f"its range must not be empty, but is {self.low} to {self.high}"]
        return found + (["a log range must begin above 0"] if self.log and self.low <= 0 else [])

    @property
    def values(self) -> tuple[object, ...] | None:
        """None: it is continuous."""
        return None

    def holds(self, value: object) -> bool:
        """Whether a value is in it."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def at(self, unit: float) -> float:
        """The value at a place in [0, 1)."""
        if not self.log:
            return self.low + unit * (self.high - self.low)
        low, high = math.log(self.low), math.log(self.high)
        return min(self.high, max(self.low, math.exp(low + unit * (high - low))))

    @property
    def ends(self) -> tuple[object, object]:
        """Two different values."""
        return self.low, self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class IntRange:
    """Whole numbers ``low``, ``low + step``, ... up to ``high``; ``log`` needs a step of 1."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def problems(self) -> list[str]:
        """Problems of this domain, one sentence each."""
        found = [] if self.low < self.high else [f"its range must not be empty, but is {self.low} to {self.high}"]
        if self.step < 1 or (self.high - self.low) % max(1, self.step):
            found.append(f"its step must divide {self.high - self.low}, but is {self.step}")
        if self.log and (self.low < 1 or self.step != 1):
            found.append("a log range must begin at 1 or above, with a step of 1")
        return found

    @property
    def values(self) -> tuple[object, ...] | None:
        """Every value in order."""
        return tuple(range(self.low, self.high + 1, self.step))

    def holds(self, value: object) -> bool:
        """Whether a value is in it."""
        return type(value) is int and value in range(self.low, self.high + 1, self.step)

    def at(self, unit: float) -> int:
        """The value at a place in [0, 1): all equally likely, or with ``log`` uniform in the logarithm."""
        if not self.log:
            return self.low + self.step * int(unit * ((self.high - self.low) // self.step + 1))
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(self.high, max(self.low, round(math.exp(low + unit * (high - low)))))

    @property
    def ends(self) -> tuple[object, object]:
        """Two different values."""
        return self.low, self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several levels, each with the changes to the config that it stands for."""

    levels: tuple[Level, ...]

    @classmethod
    def of(cls, config_field: str, *values: object) -> Choice:
        """Values of one config field."""
        return cls(levels=tuple(Level(value=value, changes={config_field: value}) for value in values))

    def problems(self) -> list[str]:
        """Problems of this domain, one sentence each."""
        values = [level.value for level in self.levels]
        found = [] if len(values) > 1 else [f"it must have at least 2 values, but has {values}"]
        if any(value in values[:index] for index, value in enumerate(values)):
            found.append(f"its values must be different, but are {values}")
        if bad := [value for value in values if not isinstance(value, str | int | float | bool)]:
            found.append(f"values must be texts, numbers or truth values (give such a level a name), but got {bad}")
        return found

    @property
    def values(self) -> tuple[object, ...] | None:
        """Every value in order."""
        return tuple(level.value for level in self.levels)

    def holds(self, value: object) -> bool:
        """Whether a value is in it."""
        return any(value == level.value and type(value) is type(level.value) for level in self.levels)

    def at(self, unit: float) -> object:
        """The value at a place in [0, 1), all equally likely."""
        return self.levels[int(unit * len(self.levels))].value

    @property
    def ends(self) -> tuple[object, object]:
        """Two different values."""
        return self.levels[0].value, self.levels[-1].value
