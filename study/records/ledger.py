"""The study folder: rows, arrays for figures, and plans, on a local path or any fsspec URL.

``rows/`` and ``examples/`` hold segments, each a group of rows (or of archives of arrays) that became durable together;
``plans/<name>.json``, ``report/``; ``driver.json`` and ``driver.lock`` belong to `study.command.driver`. A folder of an
older version has a file for each row and archive: it is read as it is, and ``convert`` turns it into segments.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Self, TypeVar

from reports.reading.plan_document import Plan
from reports.reading.shapes import Document, DocumentError, json_object
from study.records import arrays
from study.records.draft import Draft, merged
from study.records.folder import StudyFolder
from study.records.row import Row, RowError
from study.records.segment import CHUNK, RowState, Segment, state_of
from study.records.segment_folder import SegmentFolder, SegmentName

if TYPE_CHECKING:
    from reports.reading.kept import Arrays

ROWS, EXAMPLES = "rows", "examples"

AT_ONCE = 2000
"""Rows, or archives, of an older folder that become one segment."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiles:
    """What a study folder holds: rows by digest, plans by name, and what is wrong with each file that is damaged.

    ``rows`` are documents: see ``Ledger.documents``.
    """

    rows: Mapping[str, Document]
    plans: tuple[Plan, ...]
    damaged: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is known of a study folder without reading its rows."""

    states: Mapping[str, RowState]
    plans: tuple[Plan, ...]
    damaged: Mapping[str, str]


class Ledger:
    """Rows, arrays and plans of one study.

    A damaged row, or one of another version of the project, counts as missing and is left where it is; ``damaged``
    names such files. Processes and threads may append and read at the same time.

    Raises:
        LedgerError: from every method, where the folder cannot be read or written.
    """

    def __init__(self, location: str) -> None:
        self.folder = StudyFolder(location)
        self._rows = SegmentFolder(self.folder, ROWS, index=_row_index, merge=_merged_rows)
        self._archives = SegmentFolder(self.folder, EXAMPLES, index=arrays.index, merge=arrays.merged)
        self._lock = threading.RLock()
        self._unusable: dict[tuple[SegmentName, int], str] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Another process looks at the folder itself."""
        return type(self), (self.location,)

    @property
    def location(self) -> str:
        """The folder as the user named it."""
        return self.folder.location

    @property
    def local_root(self) -> Path | None:
        """The folder, if it is a local one."""
        return self.folder.local_root

    def append(self, rows: Iterable[Row], examples: Mapping[str, Arrays] | None = None) -> None:
        """Store rows and the arrays of their cells (by digest); they are durable when this returns.

        A row replaces an earlier one of the same cell.
        """
        draft = Draft()
        for row in rows:
            draft.add(row)
        self.append_draft(draft, examples or {})

    def append_draft(self, draft: Draft, examples: Mapping[str, Arrays]) -> None:
        """Store the rows of a draft, as ``append`` does."""
        # Arrays come first, so that no row lacks its own.
        if examples:
            content = arrays.encoded({digest: arrays.archive(values) for digest, values in examples.items()})
            self._archives.append(content)
        if draft.rows:
            self._rows.append(draft.encoded())

    def compact(self) -> None:
        """Put small segments together, so that a study has few files; others may read and append meanwhile."""
        for segments in (self._rows, self._archives):
            while segments.compact():
                pass

    def states(self) -> dict[str, RowState]:
        """What is known of every row without reading it, by digest."""
        return self._states(self._old_rows(None))

    def _states(self, old: Mapping[str, Row | str]) -> dict[str, RowState]:
        found = {digest: state_of(row) for digest, row in old.items() if isinstance(row, Row)}
        with self._lock:
            entries = self._rows.entries()
            return found | {
                digest: entry.known
                for digest, entry in entries.items()
                if (entry.segment, entry.number) not in self._unusable
            }

    def sound_states(self, digests: Iterable[str]) -> dict[str, RowState]:
        """``states`` of the rows of these digests that can be read; every one of them is."""
        wanted = set(digests)
        old = {digest: state_of(row) for digest, row in self._old_rows(wanted).items() if isinstance(row, Row)}
        return old | dict(self._from_segments(wanted, Segment.sound_states))

    def row(self, digest: str) -> Row | None:
        """One row, or None if it is absent or damaged."""
        return self.rows([digest]).get(digest)

    def rows(self, digests: Iterable[str] | None = None) -> dict[str, Row]:
        """Rows by digest: those asked for, as far as they exist, or all."""
        return dict(self._each_row(None if digests is None else set(digests)))

    def documents(self, digests: Iterable[str] | None = None) -> dict[str, Document]:
        """Rows as JSON has them but for image scores, by digest: those asked for, as far as they exist, or all.

        Values that many rows have in common are the same objects: documents are read, never changed.
        """
        wanted = None if digests is None else set(digests)
        return self._documents(wanted, self._old_rows(wanted))

    def _documents(self, wanted: set[str] | None, old: Mapping[str, Row | str]) -> dict[str, Document]:
        found: dict[str, Document] = {
            digest: {**row.plain(), "test_images": None} for digest, row in old.items() if isinstance(row, Row)
        }
        return found | dict(self._from_segments(wanted, Segment.documents))

    def damaged(self) -> Mapping[str, str]:
        """Files of the folder that cannot be used, by name, and why: half written, altered, or of another version."""
        return self.everything().damaged

    def everything(self) -> StudyFiles:
        """All that the folder holds but arrays and image scores, from one look at it."""
        old, plans = self._old_rows(None), self._plans()
        rows = self._documents(None, old)
        return StudyFiles(rows=rows, plans=_readable(plans), damaged=self._damaged(old, plans))

    def overview(self) -> Overview:
        """What there is to know without reading a row, from one look at the folder."""
        old, plans = self._old_rows(None), self._plans()
        states = self._states(old)
        return Overview(states=states, plans=_readable(plans), damaged=self._damaged(old, plans))

    def _damaged(self, old: Mapping[str, Row | str], plans: Mapping[str, Plan | str]) -> dict[str, str]:
        damaged = {f"{ROWS}/{name}.json": row for name, row in old.items() if isinstance(row, str)}
        damaged |= self._rows.faults
        for (name, _), reason in self._unusable.items():
            damaged.setdefault(self._rows.path(name), reason)
        return damaged | {f"plans/{name}.json": plan for name, plan in plans.items() if isinstance(plan, str)}

    def examples(self, digest: str) -> Arrays | None:
        """The arrays kept for figures of a cell, or None if it has none or they are damaged."""
        try:
            return self.kept(digest)
        except DocumentError:
            return None

    def kept(self, digest: str) -> Arrays | None:
        """The arrays kept for figures of a cell, or None if there are none.

        Raises:
            DocumentError: they are damaged.
        """
        while True:
            with self._lock:
                entry = self._archives.entry(digest)
            if entry is None:
                content = self.folder.read(f"{EXAMPLES}/{digest}.npz") if _plain(digest) else None
                return None if content is None else arrays.from_archive(content)
            try:
                with self._archives.opened(entry.segment) as file:
                    return arrays.from_archive(arrays.read(file, digest))
            except FileNotFoundError:
                # It was put together with others: a look at the folder says where it is now.
                with self._lock:
                    self._archives.entries()

    def archive_marks(self) -> dict[str, str]:
        """Which cells have arrays, from one look: a mark of each one's archive, "" where it must be read to tell."""
        with self._lock:
            entries = self._archives.entries()
            old = (name.removesuffix(arrays.ENDING) for name in self._archives.others if name.endswith(arrays.ENDING))
            return dict.fromkeys(filter(_plain, old), "") | {digest: entry.known for digest, entry in entries.items()}

    def stamp(self) -> str:
        """One text that stands for all that reports show of this folder; unlike it only if something changed."""
        seen = self.overview()
        states = sorted((digest, *state) for digest, state in seen.states.items())
        marks = sorted(self.archive_marks().items())
        plans = [[plan.name, plan.as_json()] for plan in seen.plans]
        content = json.dumps([states, plans, sorted(seen.damaged.items()), marks], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def convert(self) -> int:
        """Turn the files of an older version into segments; how many rows there were.

        Each row is in a segment before its file goes, so that nothing is lost whenever this ends. A damaged file stays.
        """
        old = {digest: row for digest, row in self._old_rows(None).items() if isinstance(row, Row)}
        with self._lock:
            known = self._rows.entries()
            newer = {digest for digest in old if digest in known and known[digest].known.status != "failed"}
        for names in _portions(list(old)):
            self.append([old[digest] for digest in names if digest not in newer])
            for digest in names:
                self.folder.remove(f"{ROWS}/{digest}.json")
        for names in _portions([name for name in self.folder.names(EXAMPLES, arrays.ENDING) if _plain(name)]):
            found = self.folder.read_all([f"{EXAMPLES}/{name}{arrays.ENDING}" for name in names])
            self._archives.append(arrays.encoded({PurePosixPath(path).stem: each for path, each in found.items()}))
            for path in found:
                self.folder.remove(path)
        return len(old)

    def write_plan(self, plan: Plan) -> None:
        """Store what was asked for, for reports and ``status``."""
        self.folder.write(f"plans/{plan.name}.json", (json.dumps(plan.as_json(), indent=1) + "\n").encode())

    def plans(self) -> list[Plan]:
        """Every stored plan that can be read, by name."""
        return list(_readable(self._plans()))

    def _each_row(self, wanted: set[str] | None) -> Iterator[tuple[str, Row]]:
        for digest, old in self._old_rows(wanted).items():
            if isinstance(old, Row):
                yield digest, old
        yield from self._from_segments(wanted, Segment.rows)

    def _from_segments(
        self, wanted: set[str] | None, read: Callable[[Segment, int], Iterable[tuple[str, Read | str]]]
    ) -> Iterator[tuple[str, Read]]:
        """What ``read`` makes of each row of a part, for the wanted rows; the damaged ones are left out."""
        done: set[str] = set()
        while True:
            with self._lock:
                entries = self._rows.entries()
                keys = entries.keys() if wanted is None else wanted & entries.keys()
                places: dict[SegmentName, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
                for digest in keys:
                    entry = entries[digest]
                    if digest not in done:
                        places[entry.segment][entry.number // CHUNK].add(entry.number)
            if not places:
                return
            try:
                for name, parts in sorted(places.items()):
                    for digest, value in self._of_segment(name, parts, read):
                        done.add(digest)
                        yield digest, value
            except FileNotFoundError:
                # It was put together with others: the rest is looked for again.
                continue
            return

    def _of_segment(
        self,
        name: SegmentName,
        parts: Mapping[int, set[int]],
        read: Callable[[Segment, int], Iterable[tuple[str, Read | str]]],
    ) -> Iterator[tuple[str, Read]]:
        try:
            with self._rows.opened(name) as file, Segment(file) as opened:
                for part, numbers in sorted(parts.items()):
                    for number, (digest, value) in enumerate(read(opened, part), start=part * CHUNK):
                        if number not in numbers:
                            continue
                        if isinstance(value, str):
                            self._unusable[name, number] = value
                        else:
                            yield digest, value
        except DocumentError:
            # The folder remembers it among its faults.
            return

    def _old_rows(self, wanted: set[str] | None) -> dict[str, Row | str]:
        """Rows of an older version by digest, a file each; of a damaged one, what is wrong with it."""
        with self._lock:
            self._rows.entries()
            names = [name.removesuffix(".json") for name in self._rows.others if name.endswith(".json")]
        names = [name for name in names if wanted is None or name in wanted]
        contents = self.folder.read_all([f"{ROWS}/{name}.json" for name in names])
        found: dict[str, Row | str] = {}
        for name, content in contents.items():
            digest = PurePosixPath(name).stem
            try:
                row = Row.from_json(content)
            except RowError as error:
                found[digest] = str(error)
                continue
            found[digest] = row if row.cell.digest == digest else f"holds the row of another cell, {row.cell.digest}"
        return found

    def _plans(self) -> dict[str, Plan | str]:
        contents = self.folder.read_all([f"plans/{name}.json" for name in self.folder.names("plans", ".json")])
        found: dict[str, Plan | str] = {}
        for name, content in contents.items():
            stem = PurePosixPath(name).stem
            try:
                found[stem] = _usable_plan(content, stem)
            except DocumentError as error:
                found[stem] = str(error)
        return found


def _row_index(file: IO[bytes]) -> Iterator[tuple[str, RowState]]:
    with Segment(file) as opened:
        yield from zip(opened.digests, opened.states(), strict=True)


def _merged_rows(files: Sequence[IO[bytes]]) -> bytes:
    return merged(map(Segment, files))


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


def _readable(plans: Mapping[str, Plan | str]) -> tuple[Plan, ...]:
    return tuple(plan for _, plan in sorted(plans.items()) if isinstance(plan, Plan))


def _usable_plan(content: bytes, name: str) -> Plan:
    """A stored plan that every reader can use.

    Raises:
        DocumentError: it is damaged, of another version, or another plan's.
    """
    plan = Plan.from_json(json_object(content))
    if plan.name != name:
        raise DocumentError(f"holds the plan of another name, {plan.name}: remove the copy")
    return plan


def _plain(digest: str) -> bool:
    """Whether a digest can be a file's name: one from a plan that somebody altered may be anything."""
    return digest.isascii() and digest.isalnum() and len(digest) < 200
