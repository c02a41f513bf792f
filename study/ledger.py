"""The study folder: one file per row, written whole, on a local path or any fsspec URL.

``rows/<digest>.json``, ``examples/<digest>.npz`` (maps of a few test images), ``plans/<name>.json``, ``report/``.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from study.row import Row, RowError


class LedgerError(ValueError):
    """A study folder that cannot be read or written."""


class Ledger:
    """Rows, examples and plans of one study.

    Local files appear by fsync and atomic rename; on other file systems by one put, which object stores make
    atomic. A damaged row, or one of another version of the project, counts as missing and is left where it is.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        try:
            self._fs, self._root = fsspec.core.url_to_fs(location)
        except (ImportError, ValueError) as error:
            raise LedgerError(f"study folder {location} cannot be opened: {error}") from error

    @property
    def local_root(self) -> Path | None:
        """The folder, if it is a local one."""
        return Path(self._root) if isinstance(self._fs, LocalFileSystem) else None

    def write_row(self, row: Row) -> None:
        """Store a row, replacing an earlier one of the same cell."""
        self._write(f"rows/{row.cell.digest}.json", row.to_json().encode())

    def row(self, digest: str) -> Row | None:
        """One row, or None if it is absent or damaged."""
        return self._row_at(f"{self._root}/rows/{digest}.json")

    def rows(self, digests: Iterable[str] | None = None) -> dict[str, Row]:
        """Rows by digest: those asked for, as far as they exist, or all."""
        present = {Path(name).stem: name for name in self._list("rows") if name.endswith(".json")}
        wanted = present if digests is None else {digest: present[digest] for digest in digests if digest in present}
        found = {digest: self._row_at(path) for digest, path in wanted.items()}
        return {digest: row for digest, row in found.items() if row is not None}

    def write_examples(self, digest: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store the example maps of a cell."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
        self._write(f"examples/{digest}.npz", buffer.getvalue())

    def examples(self, digest: str) -> dict[str, NDArray[Any]] | None:
        """The example maps of a cell, or None if it has none or they are damaged."""
        path = f"{self._root}/examples/{digest}.npz"
        try:
            with np.load(io.BytesIO(self._fs.cat_file(path)), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    def write_plan(self, name: str, plan: Mapping[str, Any]) -> None:
        """Store what was asked for, for reports and ``status``."""
        self._write(f"plans/{name}.json", (json.dumps(plan, indent=1) + "\n").encode())

    def plans(self) -> list[dict[str, Any]]:
        """Every stored plan, by name."""
        plans = []
        for name in sorted(self._list("plans")):
            if name.endswith(".json"):
                try:
                    plans.append(json.loads(self._fs.cat_file(name)))
                except ValueError as error:
                    raise LedgerError(
                        f"plan {name} must be JSON, but is not ({error}): remove it and run again"
                    ) from error
        return plans

    def _row_at(self, path: str) -> Row | None:
        try:
            return Row.from_json(self._fs.cat_file(path).decode())
        except FileNotFoundError:
            return None
        except (RowError, UnicodeDecodeError):
            return None

    def _list(self, folder: str) -> list[str]:
        try:
            self._fs.invalidate_cache()
            return [str(name) for name in self._fs.ls(f"{self._root}/{folder}", detail=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LedgerError(
                f"study folder {self.location} cannot be read: {error}; choose another --study"
            ) from error

    def _write(self, name: str, content: bytes) -> None:
        path = f"{self._root}/{name}"
        try:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if not isinstance(self._fs, LocalFileSystem):
                self._fs.pipe_file(path, content)
                return
            partial = Path(f"{path}.{os.getpid()}.partial")
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise LedgerError(f"{path} cannot be written: {error}; free the disk or choose another --study") from error
