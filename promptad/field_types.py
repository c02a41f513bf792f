"""Whether a value is of a config field's annotated type, and how messages and digests spell it."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

_NUMBERS = (float, float | None)


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
    """A value of a field of that type as configs hold it: 4 and 4.0 are one number, but two texts in a digest."""
    return float(value) if value is not None and hint in _NUMBERS else value


def spelled(hint: Any) -> str:
    """A field's type as messages name it."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(str(option) for option in typing.get_args(hint))
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
