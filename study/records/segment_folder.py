"""The segments of one kind in a study folder: appended, indexed, and put together in the background.

A segment's name is ``<number>-<tier>-<token>``: numbers grow, and of two segments that hold the same entry the one with
the larger number counts, of equal numbers the higher tier. A segment of tier 1 holds what some of tier 0 held, has the
number of the last of them, and they are removed when it is durable: a reader sees an entry twice meanwhile, never not
at all.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Generic, TypeVar

from reports.reading.shapes import DocumentError
from study.records.folder import FETCHED_WHOLE, LedgerError, StudyFolder

FAN_IN = 32
"""Segments of one tier that are put together."""

ENDING = ".zip"

MOST_KEPT = 64 * 2**20
"""Bytes of fetched segments that are kept in memory."""

Known = TypeVar("Known")


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """Where a segment stands among the others; sorted as they count."""

    number: int
    tier: int
    token: str

    @classmethod
    def parse(cls, stem: str) -> SegmentName | None:
        """The name of a file without its ending; None if it is no segment's."""
        parts = stem.split("-")
        if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
            return None
        return cls(int(parts[0]), int(parts[1]), parts[2])

    def __str__(self) -> str:
        """As a file is called, without its ending."""
        return f"{self.number:012d}-{self.tier}-{self.token}"


# Not frozen: there are as many as rows, and a frozen one takes twice as long to make.
@dataclass(slots=True)
class Entry(Generic[Known]):
    """Where something stands: its segment, its number there, and what the segment's index says of it."""

    segment: SegmentName
    number: int
    known: Known


class SegmentFolder(Generic[Known]):
    """Segments in the folder ``name`` of a study; ``others`` are the folder's other files.

    ``index`` reads the key of each entry of an open segment, in their order, and what is known of it; ``merge`` makes
    one segment of several, in their order. Both raise ``DocumentError`` where a segment is damaged.

    Raises:
        LedgerError: from every method, where the folder cannot be read or written.
    """

    def __init__(
        self,
        folder: StudyFolder,
        name: str,
        *,
        index: Callable[[IO[bytes]], Iterable[tuple[str, Known]]],
        merge: Callable[[Sequence[IO[bytes]]], bytes],
    ) -> None:
        self._folder, self._name, self._index, self._merge = folder, name, index, merge
        self._next = 0
        self._read: set[SegmentName] = set()
        self._entries: dict[str, Entry[Known]] = {}
        self._faults: dict[SegmentName, str] = {}
        self._fetched: dict[SegmentName, bytes] = {}
        self.others: tuple[str, ...] = ()

    @property
    def faults(self) -> Mapping[str, str]:
        """Files that are damaged, with the reasons, as far as they were looked at."""
        return {self.path(name): reason for name, reason in sorted(self._faults.items())}

    def path(self, name: SegmentName) -> str:
        """The file of a segment, as the folder and messages call it."""
        return f"{self._name}/{name}{ENDING}"

    def append(self, content: bytes) -> None:
        """Store a segment; it is durable when this returns."""
        # Another process may have written since: what comes later must have the larger number.
        self._next = max(self._next, *(name.number + 1 for name in self._names()), 1)
        self._folder.write(self.path(SegmentName(self._next, 0, secrets.token_hex(4))), content)
        self._next += 1

    def entries(self) -> Mapping[str, Entry[Known]]:
        """Every entry by its key, from a look at the folder; only segments that are new are read."""
        while not self._look():
            pass
        return self._entries

    def entry(self, key: str) -> Entry[Known] | None:
        """One entry; the folder is looked at only where it is not known yet."""
        return self._entries.get(key) or self.entries().get(key)

    @contextmanager
    def opened(self, name: SegmentName) -> Iterator[IO[bytes]]:
        """The file of a segment.

        Raises:
            FileNotFoundError: it was put together with others meanwhile: ``entries`` says where its content is now.
        """
        file = self._open(name)
        try:
            yield file
        except DocumentError as error:
            self.refuse(name, str(error))
            raise
        except OSError as error:
            raise self._unreadable(name, error) from error
        finally:
            file.close()

    def refuse(self, name: SegmentName, reason: str) -> None:
        """Note that a segment is damaged: its entries count as missing from now on."""
        self._faults[name] = reason
        self._entries = {key: entry for key, entry in self._entries.items() if entry.segment != name}

    def compact(self, *, fan_in: int = FAN_IN) -> bool:
        """Put the segments of one tier together if there are ``fan_in`` that can be read; whether there were."""
        names = [name for name in self._names() if name not in self._faults]
        for tier in sorted({name.tier for name in names}):
            same = [name for name in names if name.tier == tier]
            if len(same) >= fan_in:
                return self._put_together(same, tier + 1)
        return False

    def _put_together(self, names: Sequence[SegmentName], tier: int) -> bool:
        files: list[IO[bytes]] = []
        try:
            files += [self._open(name) for name in names]
            content = self._merge(files)
        except FileNotFoundError:
            # Another process puts the same ones together.
            return False
        except DocumentError:
            # The damaged ones are named, and stay where they are.
            for name in names:
                self._sound(name)
            return bool(self._faults.keys() & set(names))
        finally:
            for file in files:
                file.close()
        self._folder.write(self.path(SegmentName(names[-1].number, tier, secrets.token_hex(4))), content)
        for name in names:
            self._folder.remove(self.path(name))
        return True

    def _sound(self, name: SegmentName) -> None:
        try:
            with self._open(name) as file:
                self._merge([file])
        except FileNotFoundError:
            return
        except DocumentError as error:
            self.refuse(name, str(error))

    def _unreadable(self, name: SegmentName, error: OSError) -> LedgerError:
        where = f"{self.path(name)} of {self._folder.location}"
        return LedgerError(f"{where} cannot be read: {error}; check the disk and the network")

    def _open(self, name: SegmentName) -> IO[bytes]:
        fetched = self._fetched.get(name)
        return self._folder.open(self.path(name)) if fetched is None else io.BytesIO(fetched)

    def _fetch(self, names: Iterable[SegmentName], sizes: Mapping[SegmentName, int]) -> None:
        """Fetch new small segments that are far away at the same time, and keep them: each is read more than once."""
        if self._folder.local_root is not None:
            return
        paths = {self.path(name): name for name in names if sizes[name] <= FETCHED_WHOLE}
        found = {paths[path]: content for path, content in self._folder.read_all(list(paths)).items()}
        if sum(map(len, (*self._fetched.values(), *found.values()))) > MOST_KEPT:
            self._fetched = {}
        self._fetched |= found

    def _names(self) -> list[SegmentName]:
        """The segments that are there, in the order in which they count."""
        return sorted(self._sizes())

    def _sizes(self) -> dict[SegmentName, int]:
        """The bytes of each segment that is there; other files are noted in ``others``."""
        sizes, others = {}, []
        for file, size in self._folder.files(self._name).items():
            name = SegmentName.parse(file.removesuffix(ENDING)) if file.endswith(ENDING) else None
            if name is None:
                others.append(file)
            else:
                sizes[name] = size
        self.others = tuple(sorted(others))
        return sizes

    def _look(self) -> bool:
        """Take in new segments and forget those that are gone; False if the folder changed meanwhile."""
        sizes = self._sizes()
        new = [name for name in sorted(sizes) if name not in self._read and name not in self._faults]
        self._fetch(new, sizes)
        for name in new:
            try:
                file = self._open(name)
            except FileNotFoundError:
                return False
            try:
                with file:
                    for number, (key, known) in enumerate(self._index(file)):
                        earlier = self._entries.get(key)
                        if earlier is None or earlier.segment <= name:
                            self._entries[key] = Entry(name, number, known)
            except DocumentError as error:
                self.refuse(name, str(error))
                continue
            except OSError as error:
                raise self._unreadable(name, error) from error
            self._read.add(name)
        gone = (self._read | self._faults.keys()) - sizes.keys()
        if gone:
            self._read -= gone
            for name in gone:
                self._faults.pop(name, None)
                self._fetched.pop(name, None)
            self._entries = {key: entry for key, entry in self._entries.items() if entry.segment not in gone}
        return True
