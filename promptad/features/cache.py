"""A node's feature cache: content-addressed safetensors files, memory-mapped, shared by all worker processes.

One file holds one view of one image. Files appear by atomic rename; a truncated or altered one is recognised by its
checksum, dropped and computed again. Above its cap, the cache removes the least recently used files first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from promptad.features.cache_folder import DEFAULT_CAP
from promptad.user_error import UserError

FEATURE_VERSION = 1
"""Raised by hand whenever the code that makes features changes their values."""


MAPPED = 1024
"""Files that a process keeps mapped beside those in use: the views of many support images."""


class CacheError(UserError):
    """A cache folder without write permission for this user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """Size of a cache: files and bytes on disk."""

    root: Path
    files: int
    size: int
    cap: int


def feature_key(
    *, image: str, weights: str, activation: str | None, precision: str, preprocessing: str, view: str
) -> str:
    """Cache key (hex) of one view of one image; every argument can change the feature."""
    parts = (f"v{FEATURE_VERSION}", image, weights, activation or "none", precision, preprocessing, view)
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=20).hexdigest()


class FeatureCache:
    """Tensors by key in a folder. Any number of processes may read and write the same folder."""

    def __init__(self, root: Path, *, cap: int = DEFAULT_CAP) -> None:
        self._root = root / "features"
        self._cap = cap
        self._written = 0
        self._checked: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, key: str) -> Tensor | None:
        """The tensor under ``key``, memory-mapped, or None if absent or damaged (a damaged file is removed).

        A process opens and checks a file once while it is among the last ``MAPPED`` that it read. Whoever receives the
        tensor does not change it.
        """
        if (known := self._checked.get(key)) is not None:
            self._checked.move_to_end(key)
            return known
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:
                tensor: Tensor = file.get_tensor("feature")
                intact = (file.metadata() or {}).get("crc32") == str(_checksum(tensor))
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError):
            intact = False
        if not intact:
            _discard(path)
            return None
        # Another process may have evicted the file meanwhile; the mapping stays valid.
        with contextlib.suppress(OSError):
            os.utime(path)
        self._checked[key] = tensor
        if len(self._checked) > MAPPED:
            self._checked.popitem(last=False)
        return tensor

    def put(self, key: str, tensor: Tensor) -> None:
        """Store ``tensor`` (on the CPU) under ``key``; then evict if the cache has outgrown its cap.

        A full disk or a folder that cannot be written is no error: the feature is used without being kept.
        """
        self._checked.pop(key, None)
        tensor = tensor.detach().contiguous()
        content = save({"feature": tensor}, metadata={"crc32": str(_checksum(tensor))})
        path = self._path(key)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:
            _discard(partial)
            return
        self._written += len(content)
        # Looking at every file is slow, so it is done once per 1/64 of the cap.
        if self._written > self._cap // 64:
            self._written = 0
            self.evict()

    def keep(self, key: str, tensor: Tensor) -> Tensor:
        """Store ``tensor`` and return it mapped from the file, or as it is where the file could not be written."""
        self.put(key, tensor)
        mapped = self.get(key)
        return tensor if mapped is None else mapped

    def evict(self) -> int:
        """Remove least recently used files until the cache fits its cap; returns the bytes removed."""
        files = list(_files(self._root))
        excess = sum(size for _, _, size in files) - self._cap
        removed = 0
        for _, path, size in sorted(files) if excess > 0 else ():
            if removed >= excess:
                break
            # Nothing can be removed in another user's folder: the cache then keeps its size.
            with contextlib.suppress(OSError):
                Path(path).unlink(missing_ok=True)
                removed += size
        return removed

    def info(self) -> CacheInfo:
        """How much the cache holds."""
        sizes = [size for _, _, size in _files(self._root)]
        return CacheInfo(root=self._root, files=len(sizes), size=sum(sizes), cap=self._cap)

    def clear(self) -> CacheInfo:
        """Remove every file; returns the size before. Raises CacheError if some cannot be removed."""
        before = self.info()
        kept: list[OSError] = []
        self._checked.clear()
        for _, path, _ in _files(self._root):
            try:
                Path(path).unlink(missing_ok=True)
            except OSError as error:
                kept.append(error)
        if kept:
            raise CacheError(
                f"{len(kept)} of {before.files} files of the cache {self._root} cannot be removed "
                f"({kept[0].strerror}): remove them as their owner, or set PROMPTAD_CACHE to a folder of your own"
            )
        return before

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.safetensors"


def _discard(path: Path) -> None:
    # In a folder that cannot be written (a file in its place, another user's) nothing can be removed either.
    with contextlib.suppress(OSError):
        path.unlink()


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def _files(root: Path) -> Iterator[tuple[int, str, int]]:
    """When each file was used last (ns), its path, and its bytes."""
    for folder in _entries(str(root)):
        for entry in _entries(folder.path):
            # One that is gone was evicted by another process between listing and looking.
            with contextlib.suppress(OSError):
                stat = entry.stat()
                yield stat.st_mtime_ns, entry.path, stat.st_size


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds: nothing if it is none, or may not be entered."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
