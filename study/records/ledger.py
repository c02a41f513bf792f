"""The study folder: rows, examples and plans, each a file written whole, on a local path or any fsspec URL.

``rows/<digest>.json``, ``examples/<digest>.npz`` (maps of a few test images), ``plans/<name>.json``, ``report/``;
``driver.json`` and ``driver.lock`` belong to `study.command.driver`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reports.reading.plan_document import Plan
from reports.reading.shapes import DocumentError, json_object
from study.records.folder import StudyFolder
from study.records.row import Row, RowError

if TYPE_CHECKING:
    from reports.reading.kept import Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiles:
    """Content of a study folder: rows by digest, plans by name, and what is wrong with each damaged file."""

    rows: Mapping[str, Row]
    plans: tuple[Plan, ...]
    damaged: Mapping[str, str]


class Ledger:
    """Rows, examples and plans of one study.

    A damaged row, or one of another version of the project, counts as missing and is left where it is; ``damaged``
    names such files.

    Raises:
        LedgerError: from every method, where the folder cannot be read or written.
    """

    def __init__(self, location: str) -> None:
        self.folder = StudyFolder(location)

    @property
    def location(self) -> str:
        """The folder as the user named it."""
        return self.folder.location

    @property
    def local_root(self) -> Path | None:
        """The folder, if it is a local one."""
        return self.folder.local_root

    def write_row(self, row: Row) -> None:
        """Store a row, replacing an earlier one of the same cell."""
        self.folder.write(f"rows/{row.cell.digest}.json", row.to_json().encode())

    def row(self, digest: str) -> Row | None:
        """One row, or None if it is absent or damaged."""
        return self.rows([digest]).get(digest)

    def rows(self, digests: Iterable[str] | None = None) -> dict[str, Row]:
        """Rows by digest: the requested ones that exist, or all."""
        return {digest: row for digest, row in self._rows(digests).items() if isinstance(row, Row)}

    def damaged(self) -> Mapping[str, str]:
        """Files of the folder that cannot be used, with the reason: half written, altered, or of another version."""
        return self.everything().damaged

    def everything(self) -> StudyFiles:
        """Everything in the folder except arrays, listed once."""
        rows, plans = self._rows(None), self._plans()
        damaged = {f"rows/{name}.json": row for name, row in rows.items() if isinstance(row, str)}
        damaged |= {f"plans/{name}.json": plan for name, plan in plans.items() if isinstance(plan, str)}
        return StudyFiles(
            rows={digest: row for digest, row in rows.items() if isinstance(row, Row)},
            plans=tuple(plan for _, plan in sorted(plans.items()) if isinstance(plan, Plan)),
            damaged=damaged,
        )

    def write_examples(self, digest: str, arrays: Arrays) -> None:
        """Store the example maps of a cell."""
        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
        self.folder.write(f"examples/{digest}.npz", buffer.getvalue())

    def examples(self, digest: str) -> Arrays | None:
        """The example maps of a cell, or None if it has none or they are damaged."""
        try:
            return self.kept(digest)
        except DocumentError:
            return None

    def kept(self, digest: str) -> Arrays | None:
        """The arrays kept for figures of a cell, or None if there are none.

        Raises:
            DocumentError: they are damaged.
        """
        content = self.folder.read(f"examples/{digest}.npz") if _plain(digest) else None
        if content is None:
            return None
        import numpy as np

        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        # zipfile and NumPy do not document what they raise for a damaged archive.
        except Exception as error:
            raise DocumentError(f"not arrays: {error}") from error

    def write_plan(self, plan: Plan) -> None:
        """Store what was asked for, for reports and ``status``."""
        self.folder.write(f"plans/{plan.name}.json", (json.dumps(plan.as_json(), indent=1) + "\n").encode())

    def plans(self) -> list[Plan]:
        """Every stored plan that can be read, by name."""
        return [plan for _, plan in sorted(self._plans().items()) if isinstance(plan, Plan)]

    def _rows(self, digests: Iterable[str] | None) -> dict[str, Row | str]:
        """Rows by digest; for a damaged one, what is wrong with it."""
        # A digest that is no plain name, from an altered plan, has no row.
        names = self.folder.names("rows", ".json") if digests is None else filter(_plain, digests)
        contents = self.folder.read_all([f"rows/{name}.json" for name in names])
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
    """Whether a digest is a plain file name: in an altered plan it may be anything."""
    return digest.isascii() and digest.isalnum() and len(digest) < 200
