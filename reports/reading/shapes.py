"""Rules for the form of JSON documents: small rules are combined, and each fault names its place."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from promptad.user_error import UserError

Document = Mapping[str, Any]
"""A JSON object from a file. Whoever reads it has checked its form: ``check`` says of what it must be made."""

DEEPEST = 20
"""Largest depth of lists and objects in a value where anything is allowed."""
LARGEST = 2**63
"""Upper bound of every count, seed and number of a study; larger ones overflow computations."""
MOST_FAULTS = 4
"""Upper bound on the faults that a message lists."""

Faults = Iterator[str]
Find = Callable[[object, str], Faults]
"""Lists what is wrong with a value; the text is its place in the document."""
Fits = Callable[[object], bool]


def _nothing(_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rule: a function from a value and its place in the document to what is wrong with it.

    ``rule`` completes the sentence "the value must be ...". ``holds`` is true for a list or an object whose parts the
    rule checks: its faults then name the part. ``quick`` is true for the same values as an empty ``find``.
    """

    rule: str
    find: Find
    holds: Callable[[object], bool] = _nothing
    quick: Fits | None = None

    def fits(self, value: object) -> bool:
        """Whether there is nothing wrong with a value, without working out where it stands: several times faster."""
        return not any(self.find(value, "")) if self.quick is None else self.quick(value)

    def __call__(self, value: object, place: str) -> Faults:
        """What is wrong with a value at a place of the document, in sentences."""
        return self.find(value, place)


def simple(rule: str, fits: Callable[[object], bool]) -> Shape:
    """A rule about a value without parts."""

    def find(value: object, place: str) -> Faults:
        if not fits(value):
            yield _must_be(rule, value, place)

    return Shape(rule=rule, find=find, quick=fits)


def _must_be(rule: str, value: object, place: str) -> str:
    return f"{place or 'it'} must be {rule}, but is {shown(value)}"


class DocumentError(UserError):
    """A file with wrong content: not JSON, of another version, or with values of other types."""


def json_object(content: bytes | str) -> dict[str, Any]:
    """A JSON object from the bytes of a file.

    Raises:
        DocumentError: the bytes are not UTF-8, not JSON, nested too deeply, or not an object.
    """
    try:
        value = json.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8: {error}") from error
    except RecursionError as error:
        raise DocumentError("not JSON that can be read: nested too deeply") from error
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DocumentError(f"must be a JSON object, but is {shown(value)}")
    return value


def check(value: object, shape: Shape, what: str) -> None:
    """Raise ``DocumentError`` with the first faults of a document; ``what`` is its name in the message."""
    if shape.fits(value):
        return
    faults = list(dict.fromkeys(shape(value, "")))
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise DocumentError(f"{what}: {'; '.join(faults[:MOST_FAULTS])}{more}")


def shown(value: object) -> str:
    """A value as short text for messages."""
    try:
        text = repr(value)
    # A whole number of thousands of digits, or deeply nested lists.
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = text.encode("ascii", "backslashreplace").decode() if _unprintable(text) else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unprintable(text: str) -> bool:
    """True if the text has a lone surrogate, which no file and no terminal accepts."""
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)


text = simple("text", lambda value: isinstance(value, str) and not _unprintable(value))
whole = simple("a whole number from 0", lambda value: type(value) is int and 0 <= value < LARGEST)


def is_number(value: object) -> bool:
    """True for a finite number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST if isinstance(value, int) else math.isfinite(value)


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).utcoffset() is not None
    except ValueError:
        return False


number = simple("a finite number", is_number)
flag = simple("true or false", lambda value: isinstance(value, bool))
moment = simple("an ISO time with a zone", _is_moment)


def _find_in_anything(value: object, place: str) -> Faults:
    yield from _anything(value, place, DEEPEST)


def _anything(value: object, place: str, levels: int) -> Faults:
    if levels == 0:
        yield f"{place} is nested too deeply"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from text(name, f"a key of {place}")
            yield from _anything(inner, f"{place}.{shown(name)}", levels - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _anything(inner, f"an item of {place}", levels - 1)
    elif isinstance(value, str):
        yield from text(value, place)
    elif isinstance(value, int) and abs(value) >= LARGEST:
        yield f"{place} must be a number that can be computed with, but is {shown(value)}"


def _anything_fits(value: object, levels: int = DEEPEST) -> bool:
    if levels == 0:
        return False
    if isinstance(value, str):
        return not _unprintable(value)
    if isinstance(value, dict):
        return all(text.fits(name) and _anything_fits(inner, levels - 1) for name, inner in value.items())
    if isinstance(value, list):
        return all(_anything_fits(inner, levels - 1) for inner in value)
    return not isinstance(value, int) or abs(value) < LARGEST


anything = Shape(
    rule="JSON that can be printed, without too many levels or too large numbers",
    find=_find_in_anything,
    quick=_anything_fits,
)


def one_of(*values: object) -> Shape:
    """One of some values."""
    rule = f"one of {', '.join(map(str, values))}" if len(values) > 1 else str(values[0])
    return simple(rule, lambda value: any(value == known and type(value) is type(known) for known in values))


def either(*shapes: Shape) -> Shape:
    """A value that fits at least one of some rules.

    The fault names all rules. But if the value is a list or an object whose parts exactly one rule checks, the faults
    are those of its parts.
    """
    rule = " or ".join(shape.rule for shape in shapes)

    def find(value: object, place: str) -> Faults:
        if not all(any(shape(value, place)) for shape in shapes):
            return
        looked_into = [shape for shape in shapes if shape.holds(value)]
        if len(looked_into) == 1:
            yield from looked_into[0](value, place)
        else:
            yield _must_be(rule, value, place)

    return Shape(
        rule=rule,
        find=find,
        holds=lambda value: any(shape.holds(value) for shape in shapes),
        quick=lambda value: any(shape.fits(value) for shape in shapes),
    )


def maybe(inner: Shape) -> Shape:
    """None, or what fits a rule."""

    def find(value: object, place: str) -> Faults:
        if value is not None:
            yield from inner(value, place)

    return Shape(
        rule=f"{inner.rule}, or null",
        find=find,
        holds=inner.holds,
        quick=lambda value: value is None or inner.fits(value),
    )


# Documents that were not read from a file hold tuples.
def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _is_object(value: object) -> TypeGuard[Mapping[Any, object]]:
    return isinstance(value, Mapping)


def each(inner: Shape) -> Shape:
    """A list whose items fit a rule."""

    def find(value: object, place: str) -> Faults:
        if not _is_list(value):
            yield _must_be("a list", value, place)
            return
        for index, item in enumerate(value):
            yield from inner(item, f"{place}[{index}]")

    return Shape(
        rule="a list",
        find=find,
        holds=_is_list,
        quick=lambda value: _is_list(value) and all(map(inner.fits, value)),
    )


def by_name(inner: Shape) -> Shape:
    """An object whose values fit a rule, whatever their names."""

    def find(value: object, place: str) -> Faults:
        if not _is_object(value):
            yield _must_be("an object", value, place)
            return
        for name, item in value.items():
            yield from text(name, f"a key of {place}")
            yield from inner(item, f"{place}.{shown(name)}")

    return Shape(
        rule="an object",
        find=find,
        holds=_is_object,
        quick=lambda value: (
            _is_object(value) and all(text.fits(name) and inner.fits(item) for name, item in value.items())
        ),
    )


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with some keys, and perhaps others; keys that neither names may hold anything.

    An optional key may be absent or null.
    """
    known = {**required, **{name: maybe(inner) for name, inner in (optional or {}).items()}}

    def find(value: object, place: str) -> Faults:
        if not _is_object(value):
            yield _must_be("an object", value, place)
            return
        absent = [name for name in required if name not in value]
        if absent:
            yield f"{place or 'it'} lacks: {', '.join(absent)}"
        for name, item in value.items():
            yield from text(name, f"a key of {place or 'it'}")
            yield from known.get(name, anything)(item, f"{place}.{name}" if place else str(name))

    def quick(value: object) -> bool:
        return (
            _is_object(value)
            and all(name in value for name in required)
            and all(text.fits(name) and known.get(name, anything).fits(item) for name, item in value.items())
        )

    return Shape(rule="an object", find=find, holds=_is_object, quick=quick)
