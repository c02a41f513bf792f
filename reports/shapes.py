"""What a JSON document must look like: small rules that are put together, and say of every fault where it is."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

DEEPEST = 20
"""Levels of lists and objects that a value may have in which anything is allowed."""
LARGEST = 2**63
"""No count, seed or number of a study is as large; larger ones overflow what computes with them."""
MOST_FAULTS = 4
"""Faults that a message spells out."""

Faults = Iterator[str]
Shape = Callable[[Any, str], Faults]
"""A rule: a value and its place in the document to what is wrong with it."""


class DocumentError(ValueError):
    """A file that does not hold what it should: not JSON, of another version, or with values of other types."""


def json_object(content: bytes | str) -> dict[str, Any]:
    """A JSON object from the bytes of a file.

    Raises:
        DocumentError: the bytes are not UTF-8, not JSON, nested too deeply, or hold something else than an object.
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


def check(value: Any, shape: Shape, what: str) -> None:
    """Raise ``DocumentError`` that names the first faults of a document; ``what`` is how it is called."""
    faults = list(dict.fromkeys(shape(value, "")))
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise DocumentError(f"{what}: {'; '.join(faults[:MOST_FAULTS])}{more}")


def shown(value: Any) -> str:
    """A value as messages show it: short."""
    try:
        text = repr(value)
    # A whole number of thousands of digits, or lists in lists in lists.
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = text.encode("ascii", "backslashreplace").decode() if _unprintable(text) else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unprintable(text: str) -> bool:
    """True if it has half of a character that JSON wrote as two, which no file and no terminal takes."""
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def text(value: Any, place: str) -> Faults:
    """Text."""
    if not isinstance(value, str) or _unprintable(value):
        yield f"{place} must be text, but is {shown(value)}"


def whole(value: Any, place: str) -> Faults:
    """A whole number from 0."""
    if type(value) is not int or not 0 <= value < LARGEST:
        yield f"{place} must be a whole number from 0, but is {shown(value)}"


def number(value: Any, place: str) -> Faults:
    """A finite number."""
    if not is_number(value):
        yield f"{place} must be a finite number, but is {shown(value)}"


def is_number(value: Any) -> bool:
    """True for a finite number that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST if isinstance(value, int) else math.isfinite(value)


def flag(value: Any, place: str) -> Faults:
    """True or false."""
    if not isinstance(value, bool):
        yield f"{place} must be true or false, but is {shown(value)}"


def moment(value: Any, place: str) -> Faults:
    """An ISO time with its zone."""
    try:
        good = isinstance(value, str) and datetime.fromisoformat(value).utcoffset() is not None
    except ValueError:
        good = False
    if not good:
        yield f"{place} must be an ISO time with a zone, but is {shown(value)}"


def anything(value: Any, place: str) -> Faults:
    """Any JSON that can be printed: not nested too deeply, with no number that is too large."""
    yield from _anything(value, place, DEEPEST)


def _anything(value: Any, place: str, levels: int) -> Faults:
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


def one_of(*values: Any) -> Shape:
    """One of some values."""

    def shape(value: Any, place: str) -> Faults:
        if not any(value == known and type(value) is type(known) for known in values):
            yield f"{place} must be one of {', '.join(map(str, values))}, but is {shown(value)}"

    return shape


def either(*shapes: Shape) -> Shape:
    """What fits at least one of some rules; the faults are those of the last."""

    def shape(value: Any, place: str) -> Faults:
        found = [list(each(value, place)) for each in shapes]
        if all(found):
            yield from found[-1]

    return shape


def maybe(inner: Shape) -> Shape:
    """None, or what fits a rule."""

    def shape(value: Any, place: str) -> Faults:
        if value is not None:
            yield from inner(value, place)

    return shape


def each(inner: Shape) -> Shape:
    """A list whose items fit a rule."""

    def shape(value: Any, place: str) -> Faults:
        # Documents that did not come from a file hold tuples.
        if not isinstance(value, list | tuple):
            yield f"{place} must be a list, but is {shown(value)}"
            return
        for index, item in enumerate(value):
            yield from inner(item, f"{place}[{index}]")

    return shape


def by_name(inner: Shape) -> Shape:
    """An object whose values fit a rule, whatever their names."""

    def shape(value: Any, place: str) -> Faults:
        if not isinstance(value, Mapping):
            yield f"{place} must be an object, but is {shown(value)}"
            return
        for name, item in value.items():
            yield from text(name, f"a key of {place}")
            yield from inner(item, f"{place}.{shown(name)}")

    return shape


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with some keys, and perhaps others; keys that neither names may hold anything.

    An optional key may be absent or null.
    """
    known = {**required, **{name: maybe(inner) for name, inner in (optional or {}).items()}}

    def shape(value: Any, place: str) -> Faults:
        if not isinstance(value, Mapping):
            yield f"{place or 'it'} must be an object, but is {shown(value)}"
            return
        absent = [name for name in required if name not in value]
        if absent:
            yield f"{place or 'it'} lacks: {', '.join(absent)}"
        for name, item in value.items():
            yield from text(name, f"a key of {place or 'it'}")
            yield from known.get(name, anything)(item, f"{place}.{name}" if place else str(name))

    return shape
