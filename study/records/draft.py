"""Rows that become a segment: new ones, or those of several segments that are put together."""

from __future__ import annotations

import array
import functools
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptad.configs.protocol import departures
from study.records.cell import CellFamily
from study.records.row import Row
from study.records.segment import CHUNK, LETTERS, POOLS, SCHEMA, RowState, Segment, state_of

LEVEL = 1
"""Of compression: the fastest."""


class _Pool:
    """Values that occur often, each once, by a key that is equal for equal values."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._places: dict[object, int] = {}

    def place(self, key: object, value: Callable[[], object]) -> int:
        """Where a value stands; it is taken in if its key is new."""
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = len(self.values)
            self.values.append(value())
        return found


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row as it is written: its line, and its image scores as bytes."""

    digest: str
    state: RowState
    line: str
    scores: bytes


class Draft:
    """Rows that will become a segment."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._stored: dict[str, _Stored] = {}
        self._pools = {name: _Pool() for name in POOLS}

    def add(self, row: Row) -> None:
        """Take in a row; it replaces an earlier one of the same cell.

        Raises:
            ValueError, TypeError: it holds what JSON does not.
        """
        stored = _stored(row, self._pools)
        self._stored.pop(stored.digest, None)
        self._stored[stored.digest] = stored
        self.rows.append(row)

    def encoded(self) -> bytes:
        """The segment, of at least one row."""
        return _archive(list(self._stored.values()), self._pools)


def merged(segments: Iterable[Segment]) -> bytes:
    """One segment with the rows of several, in their order; of rows of one cell the last counts.

    Raises:
        DocumentError: one of them is damaged.
    """
    pools = {name: _Pool() for name in POOLS}
    kept: dict[str, _Stored] = {}
    for segment in segments:
        places = {
            name: [pools[name].place(_key(value), functools.partial(_same, value)) for value in values]
            for name, values in segment.shared().items()
        }
        states = iter(segment.states())
        for part in range(segment.parts):
            for line, scores in segment.lines(part):
                for name in POOLS.keys() & line.keys():
                    line[name] = places[name][line[name]]
                digest = line["digest"]
                kept.pop(digest, None)
                kept[digest] = _Stored(digest, next(states), _compact(line), scores)
    return _archive(list(kept.values()), pools)


def _stored(row: Row, pools: Mapping[str, _Pool]) -> _Stored:
    cell = row.cell
    provenance = dict(row.provenance)
    line: dict[str, Any] = {
        "digest": cell.digest,
        "cell": pools["cell"].place(CellFamily.key(cell), lambda: _described(row)),
        "shots": cell.shots,
        "seed": cell.seed,
        "status": row.status,
        "seconds": dict(row.seconds),
        "support": pools["support"].place(row.support_images, lambda: list(row.support_images)),
    }
    if "finished" in provenance:
        line["finished"] = provenance.pop("finished")
    line["run"] = pools["run"].place(_key(provenance), lambda: provenance)
    for name, value in (("reason", row.reason), ("scores", row.scores), ("curve", row.curve), ("cost", row.cost)):
        if value is not None:
            line[name] = value if isinstance(value, str) else dict(value)
    if cell.support is not None:
        line["named"] = list(cell.support)
    if row.view is not None:
        line["view"] = pools["view"].place(_key(row.view), lambda: row.view)
    scores = b""
    if row.test_images is not None and not _scored(row.test_images):
        line["test_images"] = dict(row.test_images)
    elif row.test_images is not None:
        names = {name: values for name, values in row.test_images.items() if name != "score"}
        key = tuple((name, *values) for name, values in names.items())
        line["image"] = pools["image"].place(key, lambda: names)
        scores, line["scored"] = _bytes(row.test_images["score"]), len(row.test_images["score"])
    return _Stored(cell.digest, state_of(row), _compact(line), scores)


def _scored(images: Mapping[str, Sequence[object]]) -> bool:
    """Whether test images are told in the form of today: each list of plain values, and scores that are numbers."""
    return all(type(score) is float for score in images.get("score", (None,))) and all(
        isinstance(value, str | int) for name, values in images.items() if name != "score" for value in values
    )


def _same(value: object) -> object:
    return value


def _described(row: Row) -> dict[str, Any]:
    return {"cell": CellFamily(row.cell).as_dict(), "departures": list(departures(row.cell.config))}


def _archive(rows: Sequence[_Stored], pools: Mapping[str, _Pool]) -> bytes:
    index = {
        "schema": SCHEMA,
        "digests": "".join(row.digest for row in rows),
        "states": "".join(LETTERS[row.state.status] for row in rows),
        "finished": [row.state.finished for row in rows],
        "seconds": [row.state.seconds for row in rows],
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:

        def add(name: str, part: bytes) -> None:
            # Without the time, so that the same rows are the same bytes.
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED, LEVEL)

        add("index.json", _compact(index).encode())
        add("shared.json", _compact({POOLS[name]: pool.values for name, pool in pools.items()}).encode())
        for part, start in enumerate(range(0, len(rows), CHUNK)):
            chunk = rows[start : start + CHUNK]
            add(f"rows/{part}.jsonl", "".join(f"{row.line}\n" for row in chunk).encode())
            add(f"scores/{part}.f8", b"".join(row.scores for row in chunk))
    return content.getvalue()


def _key(value: object) -> str:
    """Equal for equal values; raises for what JSON does not hold before the value is shared with others."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _compact(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _bytes(values: Sequence[float]) -> bytes:
    packed = array.array("d", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
