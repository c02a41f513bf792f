"""Whether a category's files are still those that were planned: none changed, none gone, none new."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from promptad.datasets.catalogue import layout_named
from promptad.datasets.content import REMEDY, ChangedDataError, digest_of_file
from promptad.datasets.layouts.layout import printable
from promptad.datasets.sample import Category, Sample

MOST_NAMED = 5

SETTLED_NS = 2_000_000_000
"""Nanoseconds without a change after which a file's time can show a later change: file systems' clocks are coarse."""


class _Signature(NamedTuple):
    """Properties that differ after a file is written again: size in bytes, times in nanoseconds, and inode."""

    size: int
    modified: int
    changed: int
    inode: int


class DataWatch:
    """Remembers hashed files of this process: a file is hashed again only when it looks changed.

    A file looks changed when its size, its time of change, or its inode differs, or when it was hashed so soon after a
    change that a second change could have the same time. ``threads`` read at once.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._seen: dict[Path, tuple[_Signature, str]] = {}

    def check(self, category: Category, *, normal_only: bool = False) -> None:
        """Check every file of ``category``; ``normal_only``: without its test images.

        A category that was opened without contents is not compared, one without origin not listed again.

        Raises:
            ChangedDataError: names the files that changed, are gone or unreadable, or are new.
        """
        planned = [*category.train, *(() if normal_only else category.test)]
        new, gone, other = self._listed(category, planned, normal_only)
        files = {path: digest for sample in planned for path, digest in _files(sample)}
        found = self._digests(files)
        gone |= {_name(category, path) for path, digest in found.items() if digest is None}
        changed = {
            _name(category, path)
            for path, digest in found.items()
            if digest is not None and files[path] is not None and digest != files[path]
        }
        parts = [
            f"{len(names)} {what} ({_named(names)})"
            for what, names in (
                ("changed", changed),
                ("gone or unreadable", gone),
                ("new", new),
                ("listed otherwise", other),
            )
            if names
        ]
        if parts:
            text = f"data must stay as they were planned, but of {category.name} are {', '.join(parts)}: {REMEDY}"
            raise ChangedDataError(printable(text))

    def _listed(
        self, category: Category, planned: list[Sample], normal_only: bool
    ) -> tuple[set[str], set[str], set[str]]:
        """Names of images that are new, that are gone, and whose split, label or masks differ."""
        if category.origin is None:
            return set(), set(), set()
        try:
            scan = layout_named(category.origin.layout).scan(category.origin.root, category.name)
        except OSError as error:
            raise ChangedDataError(
                f"data must stay as they were planned, but {category.name} cannot be listed ({error}): {REMEDY}"
            ) from error
        test = () if normal_only or category.origin.normal_only else scan.test
        before = dict(_entries(planned, category.train))
        now = dict(_entries((*scan.train, *test), scan.train))
        left_out = {name for name, _ in category.left_out}
        other = {name for name in before.keys() & now.keys() if before[name] != now[name]}
        return now.keys() - before.keys() - left_out, before.keys() - now.keys(), other

    def _digests(self, paths: Iterable[Path]) -> dict[Path, str | None]:
        """The digest of every file, None where it is not there or cannot be read."""
        known = {path: self._known(path) for path in paths}
        unknown = [path for path, digest in known.items() if digest is None]
        if not unknown:
            return known
        with ThreadPoolExecutor(max_workers=self._threads) as pool:
            return known | dict(zip(unknown, pool.map(self._read, unknown), strict=True))

    def _known(self, path: Path) -> str | None:
        """The digest of a file that does not look changed since it was hashed, else None."""
        seen = self._seen.get(path)
        if seen is None:
            return None
        try:
            return seen[1] if seen[0] == _signature(path.stat()) else None
        except OSError:
            return None

    def _read(self, path: Path) -> str | None:
        try:
            signature = _signature(path.stat())
            # Time and signature are those from before the reading: what is written meanwhile looks changed next time.
            settled = time.time_ns() - max(signature.modified, signature.changed) > SETTLED_NS
            digest = digest_of_file(path)
        except OSError:
            return None
        if settled:
            self._seen[path] = (signature, digest)
        return digest


def _signature(stat: os.stat_result) -> _Signature:
    return _Signature(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def _files(sample: Sample) -> Iterator[tuple[Path, str | None]]:
    yield sample.path, sample.content
    yield from zip(sample.masks, sample.mask_contents or (None,) * len(sample.masks), strict=True)


def _entries(samples: Iterable[Sample], train: Iterable[Sample]) -> Iterator[tuple[str, tuple[bool, Sample]]]:
    """A layout's facts about each image, by its name."""
    normal = {sample.name for sample in train}
    for sample in samples:
        yield sample.name, (sample.name in normal, replace(sample, content=None, mask_contents=()))


def _name(category: Category, path: Path) -> str:
    """A file's name in messages: relative to the category's folder, if that is known."""
    folder = None if category.origin is None else category.origin.root / category.name
    return path.relative_to(folder).as_posix() if folder is not None and path.is_relative_to(folder) else str(path)


def _named(names: set[str]) -> str:
    listed = sorted(names)[:MOST_NAMED]
    return ", ".join(listed) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
