"""A segment: rows that became durable together, in one file that is never changed.

The file is a zip archive, which keeps a checksum of every part, so that any zip tool and anything that reads JSON can
read it:

- ``index.json``: digests, states (a letter each), times and seconds of the rows, in their order;
- ``shared.json``: what many rows have in common, each once: cells without shots, seed and support list, names and
  labels of test images, support images, views, provenance;
- ``rows/N.jsonl``: a line per row, ``CHUNK`` to a part, which names what it shares by its place;
- ``scores/N.f8``: the image scores of these rows one after the other, 64-bit little-endian floats.
"""

from __future__ import annotations

import array
import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import IO, Any, NamedTuple, Self

from reports.reading.forms import ROW
from reports.reading.rows import CheckedRow
from reports.reading.shapes import (
    LARGEST,
    DocumentError,
    Shape,
    anything,
    by_name,
    check,
    each,
    json_object,
    moment,
    number,
    one_of,
    record,
    shown,
    text,
    whole,
)
from study.records.archives import sound_archive
from study.records.cell import Cell, CellFamily
from study.records.row import SCHEMA as ROW_SCHEMA
from study.records.row import Row, RowError, Status

SCHEMA = 1

CHUNK = 500
"""Most rows in one part: what is read to see one of them."""

DIGITS = 32
"""Of a digest."""

LETTERS: dict[Status, str] = {"ok": "o", "failed": "f", "pruned": "p", "unavailable": "u"}
"""A row's status in an index."""

_STATUSES: dict[str, Status] = {letter: status for status, letter in LETTERS.items()}

POOLS = {"cell": "cells", "image": "images", "support": "supports", "view": "views", "run": "runs"}
"""What a line names by its place, and the list in which it stands."""

_LINE = record(
    {
        "digest": text,
        **dict.fromkeys(("cell", "shots", "seed", "support", "run"), whole),
        "status": one_of(*LETTERS),
        "seconds": by_name(number),
    },
    {
        **dict.fromkeys(("image", "view", "scored"), whole),
        "named": each(text),
        "reason": text,
        "scores": by_name(number),
        "curve": by_name(each(number)),
        "finished": anything,
        "cost": by_name(number),
        "test_images": by_name(each(anything)),
    },
)
_SHARED = record(
    {
        "cells": each(record({"cell": by_name(anything), "departures": each(text)})),
        "images": each(by_name(each(anything))),
        "supports": each(each(text)),
        "views": each(by_name(anything)),
        "runs": each(by_name(anything)),
    }
)


class RowState(NamedTuple):
    """What is known of a row without reading it: when it ``finished`` (Unix time) and the ``seconds`` its cell took.

    A tuple, because there are as many as rows.
    """

    status: Status
    finished: float | None
    seconds: float | None


def state_of(row: Row) -> RowState:
    """What an index says of a row."""
    return RowState(row.status, _moment(row.provenance.get("finished")), row.seconds.get("total"))


class Segment:
    """A segment that is read: the index at once, the rest when it is asked for.

    Raises:
        DocumentError: from every method, where it is damaged or of another version.
    """

    def __init__(self, file: IO[bytes]) -> None:
        with sound_archive():
            self._archive = zipfile.ZipFile(file)
            index = json_object(self._archive.read("index.json"))
            if (schema := index.get("schema")) != SCHEMA:
                raise DocumentError(f"the schema of a segment must be {SCHEMA}, but is {shown(schema)}")
            digests, self._states = index["digests"], index["states"]
            self._finished, self._seconds = index["finished"], index["seconds"]
            self.digests = [digests[start : start + DIGITS] for start in range(0, len(digests), DIGITS)]
            sizes = [len(each) for each in (self.digests, self._states, self._finished, self._seconds)]
            if len(set(sizes)) > 1 or set(self._states) - set(_STATUSES):
                raise DocumentError(f"an index must have a state, a time and seconds for every digest, but has {sizes}")
        self._pools: dict[str, list[Any]] | None = None
        self._families: dict[int, CellFamily] = {}
        self._checked: set[tuple[int, int | None, int]] = set()

    def __enter__(self) -> Self:
        """The open segment."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its file."""
        self._archive.close()
        if (file := self._archive.fp) is not None:
            file.close()

    @property
    def parts(self) -> int:
        """In how many parts its rows lie."""
        return -(-len(self.digests) // CHUNK)

    def states(self) -> list[RowState]:
        """What the index says of each row, in their order."""
        statuses = map(_STATUSES.__getitem__, self._states)
        return list(map(RowState, statuses, self._finished, self._seconds))

    def _state(self, number: int) -> RowState:
        return RowState(_STATUSES[self._states[number]], self._finished[number], self._seconds[number])

    def shared(self) -> dict[str, list[Any]]:
        """What rows share, by the name that lines have for it."""
        if self._pools is None:
            with sound_archive():
                pools = json_object(self._archive.read("shared.json"))
            _check(pools, _SHARED)
            self._pools = {name: pools[plural] for name, plural in POOLS.items()}
        return self._pools

    def lines(self, part: int, *, scores: bool = True) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Each row of a part without what it shares, and its image scores as bytes (none unless ``scores``)."""
        with sound_archive():
            lines = self._archive.read(f"rows/{part}.jsonl").splitlines()
            values = self._archive.read(f"scores/{part}.f8") if scores else b""
        if len(lines) != (expected := len(self.digests[part * CHUNK : (part + 1) * CHUNK])):
            raise DocumentError(f"part {part} must have a line for each of {expected} rows, but has {len(lines)}")
        start = 0
        for place, text_of in enumerate(lines):
            line = json_object(text_of)
            if not _plainly_fits(line):
                _check(line, _LINE)
            if line["digest"] != self.digests[part * CHUNK + place]:
                raise DocumentError(f"line {place} of part {part} must be of the cell that the index names")
            end = start + 8 * line.get("scored", 0) if scores else start
            yield line, values[start:end]
            start = end

    def rows(self, part: int) -> Iterator[tuple[str, Row | str]]:
        """Each row of a part by its digest; of one that cannot be used, what is wrong with it."""
        for line, scores in self.lines(part):
            try:
                yield line["digest"], self._row(line, scores)
            except RowError as error:
                yield line["digest"], str(error)

    def sound_states(self, part: int) -> Iterator[tuple[str, RowState | str]]:
        """What the index says of each row of a part, all of it read but image scores; of a bad row, what is wrong."""
        for place, (line, _) in enumerate(self.lines(part, scores=False), start=part * CHUNK):
            try:
                self._row(line, None)
                yield line["digest"], self._state(place)
            except RowError as error:
                yield line["digest"], str(error)

    def documents(self, part: int) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """Each row of a part as JSON has it, but for the test images; of one that cannot be used, what is wrong.

        Values that rows share are the same objects.
        """
        for line, _ in self.lines(part, scores=False):
            try:
                yield line["digest"], self._document(line)
            except RowError as error:
                yield line["digest"], str(error)

    def _document(self, line: dict[str, Any]) -> CheckedRow:
        self._cell(line)
        described = self._shared("cell", line)
        cell = {**described["cell"], "shots": line["shots"], "seed": line["seed"], "support": line.get("named")}
        document: dict[str, Any] = {
            "schema": ROW_SCHEMA,
            "digest": line["digest"],
            "cell": cell,
            "status": line["status"],
            **{name: line.get(name) for name in ("reason", "scores", "curve")},
            "departures": described["departures"],
            "support_images": self._shared("support", line),
            "test_images": None,
            "view": self._shared("view", line) if "view" in line else None,
            "seconds": line["seconds"],
            "provenance": self._provenance(line),
        }
        if "cost" in line:
            document["cost"] = line["cost"]
        # Lines were checked one by one; what they share, once for all that share it.
        shared = (line["cell"], line.get("view"), line["run"])
        if shared not in self._checked or not moment.fits(line.get("finished", _EPOCH)):
            try:
                check(document, ROW, "of another form")
            except DocumentError as error:
                raise RowError(f"not a row: {error}") from error
            self._checked.add(shared)
        return CheckedRow(document)

    def _cell(self, line: dict[str, Any]) -> Cell:
        """The cell of a row, checked against the row's digest."""
        place = line["cell"]
        if place not in self._families:
            self._families[place] = _family(self._shared("cell", line)["cell"])
        named = line.get("named")
        cell = self._families[place].member(
            shots=line["shots"], seed=line["seed"], support=None if named is None else tuple(named)
        )
        if cell.digest != line["digest"]:
            raise RowError(f"row {line['digest']} holds the cell {cell.digest}")
        return cell

    def _row(self, line: dict[str, Any], scores: bytes | None) -> Row:
        """A row; without image scores where none are given."""
        images = line.get("test_images")
        if "image" in line:
            named = self._shared("image", line)
            images = None if scores is None else {**named, "score": _numbers(scores)}
        return Row(
            cell=self._cell(line),
            status=line["status"],
            reason=line.get("reason"),
            scores=line.get("scores"),
            curve=line.get("curve"),
            support_images=tuple(self._shared("support", line)),
            test_images=images,
            view=self._shared("view", line) if "view" in line else None,
            seconds=line["seconds"],
            provenance=self._provenance(line),
            cost=line.get("cost"),
        )

    def _shared(self, name: str, line: Mapping[str, Any]) -> Any:
        values = self.shared()[name]
        if line[name] >= len(values):
            raise DocumentError(f"there are {len(values)} {POOLS[name]}, but a line names number {line[name]}")
        return values[line[name]]

    def _provenance(self, line: Mapping[str, Any]) -> dict[str, Any]:
        first: dict[str, Any] = {"finished": line["finished"]} if "finished" in line else {}
        return {**first, **self._shared("run", line)}


def _family(values: Mapping[str, Any]) -> CellFamily:
    try:
        return CellFamily.from_dict(values)
    # A cell is checked by the methods' configs, which raise what they raise.
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RowError(f"not a row: {error!r}") from error


def _numbers(content: bytes) -> list[float]:
    packed = array.array("d", content)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()


def _moment(finished: object) -> float | None:
    try:
        return None if finished is None else datetime.fromisoformat(str(finished)).timestamp()
    except ValueError:
        return None


_EPOCH = "1970-01-01T00:00:00+00:00"


def _plainly_fits(line: Mapping[str, Any]) -> bool:
    """Whether an ordinary line is one at a glance: ``_LINE`` says it of every line, and takes much longer."""
    try:
        return (
            line.keys() <= _USUAL
            and type(line["digest"]) is str
            and line["status"] in LETTERS
            and all(type(line[name]) is int and 0 <= line[name] < LARGEST for name in _PLACES & line.keys())
            and all(type(value) is float and isfinite(value) for value in line["seconds"].values())
            and all(type(value) is float and isfinite(value) for value in line.get("scores", {}).values())
            and line.keys() >= _ALWAYS
        )
    except (KeyError, TypeError, AttributeError):
        return False


_PLACES = frozenset({"cell", "shots", "seed", "support", "run", "image", "view", "scored"})
_ALWAYS = frozenset({"cell", "shots", "seed", "support", "run", "digest", "status", "seconds"})
_USUAL = _PLACES | {"digest", "status", "seconds", "scores", "finished"}


def _check(value: object, shape: Shape) -> None:
    check(value, shape, "of another form")
