"""A hyperparameter's values along an axis from 0 to 1: by order, by size or by logarithm, as it was searched."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from reports.searches.search import Parameter, Search
from reports.tables.formats import MINUS

FEW = 8
"""Numeric parameters with at most so many different values are shown by value, others in ranges."""
RANGES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Where a parameter's values lie in [0, 1]. `levels` are all of them in order, empty if there are too many.

    `low` and `high` hold the searched range, every tried value and the default.
    """

    parameter: Parameter
    levels: tuple[Any, ...]
    low: float
    high: float

    def place(self, value: Any) -> float:
        """The position of a value."""
        if self.levels:
            return (self._level(value) + 0.5) / len(self.levels)
        low, high, at = (math.log(x) if self.parameter.log else x for x in (self.low, self.high, value))
        return 0.5 if high <= low else (at - low) / (high - low)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Positions with their texts."""
        if self.levels:
            return tuple((self.place(level), value_text(level)) for level in self.levels)
        if self.parameter.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            decades = [10.0**power for power in range(first, last + 1)]
            values = decades if len(decades) > 1 else [self.low, self.high]
        else:
            located = MaxNLocator(4).tick_values(self.low, self.high)
            values = [float(tick) for tick in located if self.low - 1e-12 <= tick <= self.high + 1e-12]
        return tuple((self.place(value), value_text(value)) for value in values)

    @property
    def groups(self) -> tuple[tuple[float, float, str], ...]:
        """Parts of the axis that means are taken over: (from, to, text), one per level or of equal width."""
        if self.levels:
            step = 1 / len(self.levels)
            return tuple((i * step, (i + 1) * step, value_text(level)) for i, level in enumerate(self.levels))
        edges = np.linspace(0, 1, RANGES + 1).tolist()
        return tuple(
            (low, high, f"{value_text(self._value(low))} to {value_text(self._value(high))}")
            for low, high in itertools.pairwise(edges)
        )

    def group(self, value: Any) -> int:
        """Which of `groups` a value falls into."""
        return min(int(self.place(value) * len(self.groups) + 1e-9), len(self.groups) - 1)

    def _level(self, value: Any) -> int:
        if self.parameter.numeric:
            return self.levels.index(float(value))
        return [value_text(level) for level in self.levels].index(value_text(value))

    def _value(self, position: float) -> float:
        if self.parameter.log:
            return math.exp(math.log(self.low) + position * (math.log(self.high) - math.log(self.low)))
        return self.low + position * (self.high - self.low)


def axis_of(search: Search, parameter: Parameter) -> Axis:
    """The axis of a parameter with all values that a search's trials gave it."""
    tried = [trial.params[parameter.name] for trial in search.trials if parameter.name in trial.params]
    default = [] if parameter.default is None else [parameter.default]
    if not parameter.numeric:
        known = list(parameter.values)
        known += [value for value in [*default, *tried] if value_text(value) not in map(value_text, known)]
        return Axis(parameter=parameter, levels=_distinct(known), low=0.0, high=1.0)
    values = [value for value in [*default, *tried] if not parameter.log or value > 0]
    levels = tuple(sorted({float(value) for value in values}))
    # A continuous parameter of few trials has few values, but hardly any twice.
    repeated = parameter.kind == "int" or len(tried) >= 2 * len(levels)
    return Axis(
        parameter=parameter,
        levels=levels if len(levels) <= FEW and repeated else (),
        low=min([parameter.low, *levels]),
        high=max([parameter.high, *levels]),
    )


def value_text(value: Any) -> str:
    """A value of a parameter as text: "0.002", "on", "3, 6, 9"."""
    if isinstance(value, tuple):
        return ", ".join(map(value_text, value)) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}".replace("-", MINUS) if isinstance(value, float) else str(value)


def _distinct(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple({value_text(value): value for value in values}.values())
