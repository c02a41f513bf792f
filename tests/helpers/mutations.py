"""Random damage to JSON documents, archives of arrays and their bytes, the same for the same seed."""

import copy
import io
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = tuple[Any, ...]
"""Keys and indices on the way to a value inside a document."""


def nested(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**53 + 1, 10**400, -(10**30)),
    *("", "x", "x" * 5000, "../../x", "a/b", "\ud800", "\x00\x1b[31m", "名", "<script>", "full", "own", "2026-01-01"),
    *([], {}, [None], [1, "a"], [[]], {"": None}, {"name": 1}, nested(30), nested(400)),
)
BYTES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"3",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"schema": 9' + b"9" * 9_000 + b"}",
)


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """The path of everything inside a JSON value."""
    items: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutated(document: Any, dice: random.Random) -> bytes:
    """Bytes of a JSON document with one to three things in it changed, or of what is no longer JSON."""
    if dice.random() < 0.1:
        return dice.choice(BYTES)
    changed = copy.deepcopy(document)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        found = list(places(changed))
        # The few keys at the top are as likely as all the many items below them.
        path = dice.choice([place for place in found if len(place) == 1] if dice.random() < 0.4 else found)
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        change(holder, path[-1], dice)
        if not changed:
            break
    content = json.dumps(changed, indent=1).encode("utf-8", "surrogatepass")
    return damaged(content, dice) if dice.random() < 0.1 else content


def change(holder: Any, key: Any, dice: random.Random) -> None:
    """Delete, replace, repeat, rename or wrap what a list or an object has in one place."""
    what = dice.choice(("delete", "replace", "replace", "replace", "repeat", "rename", "wrap", "retype"))
    value = holder[key]
    if what == "delete":
        del holder[key]
    elif what == "repeat":
        if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(value))
        elif isinstance(value, list):
            holder[key] = value * 2
    elif what == "rename" and isinstance(holder, dict):
        holder[dice.choice(("", "x", "schema", f"{key}2"))] = holder.pop(key)
    elif what == "wrap":
        holder[key] = [value] if dice.random() < 0.5 else {"value": value}
    elif what == "retype":
        holder[key] = str(value) if not isinstance(value, str) else len(value)
    else:
        holder[key] = copy.deepcopy(dice.choice(VALUES))


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Bytes with a part cut off or changed."""
    place = dice.randrange(len(content))
    what = dice.choice(("cut", "flip", "double", "head"))
    if what == "cut":
        return content[:place]
    if what == "flip":
        return content[:place] + bytes([dice.randrange(256)]) + content[place + 1 :]
    return content + content if what == "double" else content[place:]


def mutated_arrays(arrays: Mapping[str, NDArray[Any]], dice: random.Random) -> bytes:
    """Bytes of an archive of arrays with one or two of them changed, or damaged as a whole."""
    made = dict(arrays)
    for _ in range(dice.choice((1, 1, 2))):
        name = dice.choice(sorted(made))
        value = made[name]
        made[name] = dice.choice(
            (
                value[:-1],
                value[..., :0],
                np.array(3),
                np.zeros((0,)),
                value.astype("U"),
                np.zeros(value.shape, np.complex64),
                value[..., None],
                np.full(value.shape, np.nan),
                np.full(value.shape, np.inf, np.float32),
                np.array(["x", "\x00"]),
            )
        )
        if dice.random() < 0.2:
            del made[name]
        if not made:
            break
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **made)
    content = buffer.getvalue()
    return damaged(content, dice) if dice.random() < 0.3 else content


def dice_of(number: int) -> random.Random:
    """A generator of random numbers."""
    return random.Random(number)
