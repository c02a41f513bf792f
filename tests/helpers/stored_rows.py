"""What a study folder holds, for tests that look at it from outside."""

import json
from pathlib import Path
from typing import Any

from study.records.ledger import Ledger


def stored_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Every row that can be read, as JSON, by digest."""
    return {digest: json.loads(row.to_json()) for digest, row in Ledger(str(folder)).rows().items()}


def row_texts(folder: Path) -> dict[str, str]:
    """Every row that can be read, as it is shown, by digest."""
    return {digest: row.to_json() for digest, row in Ledger(str(folder)).rows().items()}


def forget_rows(folder: Path, digests: set[str]) -> None:
    """Take rows out of a study, as if they had never been there."""
    kept = [row for digest, row in Ledger(str(folder)).rows().items() if digest not in digests]
    for path in (folder / "rows").iterdir():
        path.unlink()
    Ledger(str(folder)).append(kept)
