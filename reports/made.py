"""What a report was made of, in ``made.json`` beside its page: what has not changed is not made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from reports.reading.shapes import (
    Document,
    DocumentError,
    by_name,
    check,
    each,
    flag,
    json_object,
    maybe,
    one_of,
    record,
    simple,
    text,
    whole,
)

NAME, PAGE = "made.json", "index.html"
SCHEMA = 1

Format: TypeAlias = Literal["svg", "png", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Formats of figures."""

_PAIRS = each(simple("a pair of texts", lambda value: isinstance(value, list) and list(map(type, value)) == [str, str]))
_PART = record(
    {
        "key": text,
        "files": by_name(text),
        "arrays": by_name(text),
        "page": record(
            {
                "id": text,
                "title": text,
                "complete": flag,
                "tally": text,
                "lead": text,
                "trust": _PAIRS,
                "html": text,
                "failed": each(record({"status": text, "reason": text, "count": whole})),
                "left_out": _PAIRS,
            }
        ),
    }
)
_MADE = record(
    {
        "schema": one_of(SCHEMA),
        "version": maybe(text),
        "stamp": maybe(text),
        "formats": each(one_of(*FORMATS)),
        "parts": by_name(_PART),
        "files": by_name(text),
        "said": record({"tables": by_name(text), "searches": each(text), "faults": by_name(text)}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePart:
    """One section of the page as HTML, and what the page says of it elsewhere.

    ``tally`` counts its cells or trials in words. ``trust`` are short marks with a tone each. ``failed`` are groups of
    cells that failed: status, reason, count. ``left_out`` are names of images, each with the reason.
    """

    id: str
    title: str
    complete: bool
    tally: str
    lead: str
    trust: tuple[tuple[str, str], ...]
    html: str
    failed: tuple[Mapping[str, Any], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the terminal says of a report: its tables by name in the page's order, its searches, files left out."""

    tables: Mapping[str, str]
    searches: tuple[str, ...]
    faults: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePart:
    """One section of a report. ``key`` names all that it was made of but for kept arrays.

    ``arrays`` has a mark of the arrays of each cell that were looked for, "" where there were none. ``files`` has the
    SHA-256 of each of its files.
    """

    key: str
    files: Mapping[str, str]
    arrays: Mapping[str, str]
    page: PagePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A report as it was written last. ``stamp`` names the whole study that it shows, ``version`` what wrote it.

    ``files`` has the SHA-256 of every file of the report but this one.
    """

    version: str | None
    stamp: str | None
    formats: tuple[str, ...]
    parts: Mapping[str, MadePart]
    files: Mapping[str, str]
    said: Said
    schema: int = field(default=SCHEMA)

    def to_json(self) -> str:
        """One JSON object, keys in order: equal reports give equal text."""
        return json.dumps(asdict(self), indent=0) + "\n"

    def shows(self, out: Path, stamp: str, version: str) -> bool:
        """Whether a folder holds this report whole, and it is of this study and version."""
        return self.stamp == stamp and self.version == version and intact(out, self.files)


def last_made(out: Path) -> Made | None:
    """What the report in a folder was made of; None where that is not known."""
    try:
        raw = json_object((out / NAME).read_bytes())
        check(raw, _MADE, "not the record of a report")
    except (OSError, DocumentError):
        return None
    return Made(
        version=raw["version"],
        stamp=raw["stamp"],
        formats=tuple(raw["formats"]),
        parts={name: _part(part) for name, part in raw["parts"].items()},
        files=raw["files"],
        said=Said(tables=raw["said"]["tables"], searches=tuple(raw["said"]["searches"]), faults=raw["said"]["faults"]),
    )


def _part(raw: Document) -> MadePart:
    page = dict(raw["page"])
    for name in ("trust", "left_out"):
        page[name] = tuple((first, second) for first, second in page[name])
    return MadePart(
        key=raw["key"],
        files=raw["files"],
        arrays=raw["arrays"],
        page=PagePart(**page | {"failed": tuple(page["failed"])}),
    )


def intact(out: Path, files: Mapping[str, str]) -> bool:
    """Whether a folder holds these files as they were written."""
    try:
        return all(sum_of((out / name).read_bytes()) == expected for name, expected in files.items())
    except OSError:
        return False


def sum_of(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def key_of(values: Iterable[Any]) -> str:
    """One text that stands for some values, which JSON can hold."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()
