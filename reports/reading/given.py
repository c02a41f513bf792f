"""What a user gave a study of their own: a folder of images and files with texts, each with digests of its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.reading.shapes import Document, by_name, record, text

_FILE = record({"path": text, "digest": text})
GIVEN = record({}, {"data": record({"path": text, "digests": by_name(text)}), "suffixes": _FILE, "support": _FILE})
"""The form of it in a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFolder:
    """A folder of images; ``digests`` are those of its categories."""

    path: str
    digests: Mapping[str, str]

    @classmethod
    def from_json(cls, raw: Document) -> OwnFolder:
        """From what ``as_json`` gave."""
        return cls(path=raw["path"], digests=dict(raw["digests"]))

    def as_json(self) -> dict[str, object]:
        """As documents hold it."""
        return {"path": self.path, "digests": dict(self.digests)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFile:
    """A file with texts by category."""

    path: str
    digest: str

    @classmethod
    def from_json(cls, raw: Document) -> OwnFile:
        """From what ``as_json`` gave."""
        return cls(path=raw["path"], digest=raw["digest"])

    def as_json(self) -> dict[str, object]:
        """As documents hold it."""
        return {"path": self.path, "digest": self.digest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a plan or a search was given; None where it took the project's own, or an old document is silent."""

    data: OwnFolder | None = None
    suffixes: OwnFile | None = None
    support: OwnFile | None = None

    @classmethod
    def from_json(cls, raw: Document | None) -> Given:
        """From the part of a document that has the form ``GIVEN``; None: of an old one, which lacks it."""
        data, suffixes, support = ((raw or {}).get(kind) for kind in ("data", "suffixes", "support"))
        return cls(
            data=None if data is None else OwnFolder.from_json(data),
            suffixes=None if suffixes is None else OwnFile.from_json(suffixes),
            support=None if support is None else OwnFile.from_json(support),
        )

    def as_json(self) -> dict[str, object]:
        """As documents hold it: what was not given is absent."""
        parts = {"data": self.data, "suffixes": self.suffixes, "support": self.support}
        return {kind: part.as_json() for kind, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataName:
    """What a document calls its data, and what it was given: headings tell documents apart by both."""

    title: str
    given: Given
