"""A search as files of the study folder: its document, a record per trial, a proposal per trial that has not ended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, Self

from reports.reading.forms import SEARCH, TRIAL
from reports.reading.shapes import Document, DocumentError, anything, by_name, check, each, json_object, record, text
from study.records.folder import StudyFolder
from study.search.objectives import Step

State = Literal["complete", "pruned", "failed"]

_STORED = record(
    {"distributions": by_name(text), "steps": each(record({"cell": text})), "cells": each(text)},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """How a trial ended. ``distributions`` are Optuna's JSON texts; ``values`` are there only when it is complete.

    ``steps`` are in the order in which they count, ``cells`` the digests of what was evaluated, ``seconds`` theirs.
    """

    number: int
    params: Document
    distributions: Mapping[str, str]
    state: State
    values: tuple[float, ...] | None
    steps: tuple[Step, ...]
    cells: tuple[str, ...]
    reason: str | None
    seconds: float

    def to_json(self) -> bytes:
        """One JSON object."""
        return (json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self | None:
        """A record from its JSON form; None if it is damaged, so that the trial is run again."""
        try:
            raw = json_object(content)
            check(raw, TRIAL, "not a trial")
            check(raw, _STORED, "not a trial")
        except DocumentError:
            return None
        values = raw["values"]
        if (raw["state"] == "complete") != (values is not None):
            return None
        return cls(
            number=raw["number"],
            params=raw["params"],
            distributions=raw["distributions"],
            state=raw["state"],
            values=None if values is None else tuple(map(float, values)),
            steps=tuple(Step(**{name: step[name] for name in Step.__dataclass_fields__}) for step in raw["steps"]),
            cells=tuple(raw["cells"]),
            reason=raw.get("reason"),
            seconds=raw.get("seconds") or 0.0,
        )


class SearchLog:
    """The files of one search."""

    def __init__(self, folder: StudyFolder, search: str) -> None:
        self.folder = folder
        self._place = f"searches/{search}"

    def document(self) -> Document | None:
        """What was asked for; None before the first time, or where it is damaged."""
        content = self.folder.read(f"{self._place}.json")
        if content is None:
            return None
        try:
            document = json_object(content)
            check(document, SEARCH, "not a search")
        except DocumentError:
            return None
        return document

    def write_document(self, document: Document) -> None:
        """Store what was asked for."""
        self.folder.write(f"{self._place}.json", (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())

    def records(self) -> dict[int, TrialRecord]:
        """Records by number; a damaged one counts as missing."""
        found = {number: TrialRecord.from_json(content) for number, content in self._contents(self._place).items()}
        return {number: record for number, record in found.items() if record is not None and record.number == number}

    def proposals(self) -> dict[int, Document]:
        """Values of the trials that were proposed and have no record."""
        found: dict[int, Document] = {}
        for number, content in self._contents(f"{self._place}/proposed").items():
            try:
                values = json_object(content)
                check(values, by_name(anything), "not a proposal")
            except DocumentError:
                continue
            found[number] = values
        return found

    def propose(self, number: int, params: Document) -> None:
        """Remember a trial's values until it ends, so that whoever goes on runs the same."""
        self.folder.write(f"{self._place}/proposed/{number:05}.json", json.dumps(dict(params)).encode())

    def finish(self, record: TrialRecord) -> None:
        """Store how a trial ended."""
        self.folder.write(f"{self._place}/{record.number:05}.json", record.to_json())
        self.folder.remove(f"{self._place}/proposed/{record.number:05}.json")

    def write_journal(self, content: bytes) -> None:
        """Store the search as an Optuna journal."""
        self.folder.write(f"{self._place}.journal", content)

    def _contents(self, place: str) -> dict[int, bytes]:
        names: Sequence[str] = [name for name in self.folder.names(place, ".json") if name.isdigit()]
        contents = self.folder.read_all([f"{place}/{name}.json" for name in names])
        return {int(PurePosixPath(name).stem): content for name, content in contents.items()}
