"""Rows as a table of plain values: one line a cell, for pandas, polars, a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reports.reading.shapes import Document
from study.records.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

Scalar = str | int | float | bool | None

_CELL = (
    *("method", "backbone", "architecture", "weights", "dataset", "category", "data", "task", "query", "shots", "seed"),
    "numerics",
)
_PROVENANCE = (
    *("finished", "host", "device", "card", "threads", "company", "fit_seconds_in", "commit", "dirty", "attempts"),
)


def tidy_rows(ledger: Ledger) -> Iterator[dict[str, Scalar]]:
    """Each row that can be read, sorted by digest: its cell, scores, seconds, cost, config, and where it ran.

    Scores are fractions in [0, 1] (``score.pixel_auroc``), without an entry where there is none: ``status`` and
    ``reason`` say why. Lists are JSON.
    """
    for digest, row in sorted(ledger.documents().items()):
        yield _tidy(digest, row)


def study_frame(location: str) -> pd.DataFrame:
    """The rows of a study folder (a path or fsspec URL) as `tidy_rows` gives them.

    Raises:
        LedgerError: the folder cannot be read.
    """
    import pandas as pd

    return pd.DataFrame(list(tidy_rows(Ledger(location))))


def write_csv(ledger: Ledger, path: Path) -> int:
    """Write the rows as CSV, an empty field for None; returns how many there are."""
    rows = list(tidy_rows(ledger))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _tidy(digest: str, row: Document) -> dict[str, Scalar]:
    cell, provenance = row["cell"], row.get("provenance") or {}
    tidy: dict[str, Scalar] = {"digest": digest, "status": row["status"], "reason": row.get("reason")}
    tidy |= {name: _scalar(cell.get(name)) for name in _CELL}
    pool = [member["category"] for member in cell.get("pool") or ()]
    tidy["pool"] = _scalar(pool) if pool else None
    tidy |= {f"score.{name}": value for name, value in (row.get("scores") or {}).items()}
    tidy |= {f"seconds.{name}": value for name, value in (row.get("seconds") or {}).items()}
    tidy |= {f"cost.{name}": value for name, value in (row.get("cost") or {}).items()}
    tidy |= {f"config.{name}": _scalar(value) for name, value in cell["config"].items()}
    tidy["departures"] = _scalar(row.get("departures") or [])
    tidy["support_images"] = _scalar(row.get("support_images") or [])
    tidy |= {name: _scalar(provenance.get(name)) for name in _PROVENANCE}
    tidy["versions"] = _scalar(provenance.get("versions"))
    return tidy


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, str | int | float | bool | None) else json.dumps(value, separators=(",", ":"))
