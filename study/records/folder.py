"""Files of a study folder, on a local path or any fsspec URL: each appears whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from promptad.user_error import UserError

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci"})
"""fsspec's protocols of file systems without folders."""


FETCHED_WHOLE = 2**20
"""Bytes of a file that is far away up to which it is fetched as a whole."""


class LedgerError(UserError):
    """A study folder that cannot be read or written."""


class StudyFolder:
    """Files by name (``rows/ab.json``) below one place.

    Local files, also on NFS, appear by fsync and atomic rename; on other file systems by one put, which object stores
    make atomic. A name has plain parts only: it cannot leave the folder.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        if "::" in location:
            raise LedgerError(
                f"study folder {location} cannot be opened: a chain of protocols reads copies, and a study is written; "
                "name the folder itself, a path or one URL"
            )
        # fsspec takes a tenth of a second to load, which a command that opens no study need not wait for.
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        # Rows are small: s3fs would ask for each one's size first, to fetch large ones in parts.
        options = {"max_concurrency": 1} if location.startswith(("s3://", "s3a://")) else {}
        try:
            self._fs, self._root = fsspec.core.url_to_fs(location, **options)
        # Each fsspec back end has errors of its own, as below.
        except Exception as error:
            raise LedgerError(f"study folder {location} cannot be opened: {error}") from error
        self._is_local = isinstance(self._fs, LocalFileSystem)

    @property
    def local_root(self) -> Path | None:
        """The folder, if it is a local one."""
        return Path(self._root) if self._is_local else None

    def files(self, folder: str) -> dict[str, int]:
        """The files of ``folder`` and their bytes, by name."""
        path = self._path(folder)
        try:
            with self._reading():
                self._fs.invalidate_cache()
                found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        return {PurePosixPath(each["name"]).name: int(each["size"] or 0) for each in found if each["type"] == "file"}

    def names(self, folder: str, ending: str) -> list[str]:
        """Names of the files of ``folder`` that end with ``ending``, without it, sorted."""
        path = self._path(folder)
        try:
            with self._reading():
                self._fs.invalidate_cache()
                found = [PurePosixPath(name).name for name in self._fs.ls(path, detail=False)]
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(ending) for name in found if name.endswith(ending))

    def read(self, name: str) -> bytes | None:
        """Content of a file; None if there is none."""
        return self.read_all([name]).get(name)

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """Contents of those files that exist. On an object store they are fetched at the same time."""
        if not names:
            return {}
        paths = [self._path(name) for name in names]
        contents = {}
        with self._reading():
            self._fs.invalidate_cache()
            found = self._fs.cat_ranges(paths, None, None, on_error="return")
            for name, content in zip(names, found, strict=True):
                if isinstance(content, bytes):
                    contents[name] = content
                elif not isinstance(content, FileNotFoundError):
                    raise content
        return contents

    def open(self, name: str) -> IO[bytes]:
        """A file to read from, and to seek in: of one that is far away, only what is read is fetched.

        Raises:
            FileNotFoundError: there is none.
        """
        path = self._path(name)
        with self._reading():
            if self._is_local:
                return Path(path).open("rb")
            opened: IO[bytes] = self._fs.open(path, "rb", block_size=FETCHED_WHOLE)
            return opened

    def write(self, name: str, content: bytes) -> None:
        """Store a file, replacing an earlier one; a full disk leaves the earlier one as it was."""
        path = self._path(name)
        with self._writing(path):
            self._make_parent(path)
            if not self._is_local:
                self._fs.pipe_file(path, content)
                return
            partial = _partial(path)
            try:
                with partial.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            except OSError:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            _sync_folder(partial.parent)

    def create(self, name: str, content: bytes) -> bool:
        """Store a file unless it exists; returns whether it was stored. Atomic if the file system supports it.

        A local file (also on NFS) is linked to its name, which fails if the name is taken. fsspec's exclusive put is
        atomic on S3; other object stores check first and write afterwards.
        """
        path = self._path(name)
        with self._writing(path):
            self._make_parent(path)
            if not self._is_local:
                self._fs.invalidate_cache()
                if self._fs.exists(path):
                    return False
                try:
                    self._fs.pipe_file(path, content, mode="create")
                except FileExistsError:
                    return False
                return True
            partial = _partial(path)
            try:
                partial.write_bytes(content)
                os.link(partial, path)
            except FileExistsError:
                return False
            finally:
                partial.unlink(missing_ok=True)
            return True

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        path = self._path(name)
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:
            raise LedgerError(f"{path} cannot be removed: {error}; remove it by hand") from error

    def _make_parent(self, path: str) -> None:
        # In an object store there are no folders, and making one would make a mistyped bucket.
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        if not protocols & OBJECT_STORES:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        # Each fsspec back end has errors of its own (no credentials, no network) that share no base with OSError.
        except Exception as error:
            raise LedgerError(
                f"study folder {self.location} cannot be read: {error}; check its name, rights and network, or choose "
                "another --study"
            ) from error

    @contextlib.contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise LedgerError(
                f"{path} cannot be written: {error}; free the disk, check rights and network, or choose another --study"
            ) from error

    def _path(self, name: str) -> str:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise LedgerError(f"a file of a study must have a name of plain parts, but got {name!r}")
        return f"{self._root}/{name}"


def _partial(path: str) -> Path:
    """The temporary name under which a file is written: different for every writer."""
    return Path(f"{path}.{os.getpid()}-{threading.get_native_id()}.partial")


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; some network file systems do not support this, and do not need it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
