"""Types of config fields: whether a value fits its annotation, and its spelling in messages and digests."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

_NUMBERS = (float, float | None)

LEAST, MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""The smallest and the largest normal positive number of single precision."""
MOST_COUNT = 2**31 - 1
"""No number of things, pixels or steps may be larger."""


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a field's annotated type; an int is a float, a bool is no int."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, option) for option in typing.get_args(hint))
    if origin is Literal:
        return any(value is option or (isinstance(option, str) and value == option) for option in typing.get_args(hint))
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return isinstance(value, tuple) and all(fits(part, item) for part in value)
    if hint is float:
        return type(value) in (float, int)
    return type(value) is hint


def as_stored(value: Any, hint: Any) -> Any:
    """A field's value in the form that configs store: 4 and 4.0 are one number, but two texts in a digest."""
    return float(value) if value is not None and hint in _NUMBERS else value


def number_problems(values: Mapping[str, object]) -> list[str]:
    """A sentence for each number that torch would round to infinity or zero, or that overflows a counter.

    Fields are used in single precision, with positive numbers from ``LEAST`` to ``MOST``, and counted in 32 bits.
    Whether infinity, NaN, or a number within these bounds makes sense is the field's own question.
    """
    problems = []
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, int | float) or number in (math.inf, -math.inf):
                continue
            if isinstance(number, int) and abs(number) > MOST_COUNT:
                # A number of thousands of digits cannot even be printed.
                got = f"one of {number.bit_length()} bits" if abs(number) > MOST else f"{number}"
                problems.append(f"{name} must be a number of at most {MOST_COUNT}, but got {got}")
            elif 0 < abs(number) < LEAST or abs(number) > MOST:
                problems.append(
                    f"{name} must be 0 or between {LEAST:.2g} and {MOST:.2g}, as single precision holds, but got "
                    f"{number}"
                )
    return problems


def spelled(hint: Any) -> str:
    """A field's type, spelled for messages."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(str(option) for option in typing.get_args(hint))
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
