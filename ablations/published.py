"""The numbers that the PromptAD paper prints, and the two of AnoPLe's abstract, to stand beside a study's own.

They live in published.csv, one printed number per line: percent, as printed. Only the reports compare them with
fractions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

from ablations.arms import PrintedLevel, PrintedRow
from promptad.datasets import known_sets
from promptad.datasets.csv_rows import CSVError, csv_rows
from promptad.scoring.metric_table import METRICS
from promptad.user_error import UserError

_LEVELS: Mapping[str, PrintedLevel] = {"0": False, "1": True, "": None}
"""How the file spells levels that are no names."""
_CATEGORY, _MEAN = "category", "mean"
"""The one of the file's factors that tells no rows apart, and its level for a mean over all categories."""

COLUMNS = ("table", "method", "dataset", "shots", "metric", "value", "std", "factors", "note")


class PublishedError(UserError):
    """A file of printed numbers that is not as it was delivered; the message names the lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCell:
    """One printed number.

    ``value`` and ``std`` are in percent, as printed; ``std`` is None where the paper prints none. ``table`` is e.g.
    "table3" (or "figure1"), ``dataset`` the name of a published set ("mvtec"), ``metric`` that of a metric; ``shots``
    are normal images per category (0: no training; "full": the whole training set). ``row`` tells the rows of a
    table apart, ``category`` is that of a number that is no mean over all of them. ``note`` is a sentence where the
    paper says otherwise elsewhere, the number looks like a misprint, or it is another paper's and more is known of it;
    empty for most.
    """

    table: str
    row: PrintedRow
    dataset: str
    shots: int | Literal["full"]
    metric: str
    value: float
    std: float | None
    category: str | None = None
    note: str = ""

    @property
    def method(self) -> str:
        """What the paper calls the row's method."""
        return self.row.method


def published(table: str) -> tuple[PublishedCell, ...]:
    """The printed numbers of one table of the paper ("table1" ... "table10"), or of "figure1", in the file's order.

    Figure 1 is drawn without numbers: its own are those of section 1's text. "anople" are those of AnoPLe's abstract.

    Raises:
        ValueError: the file has no such table.
    """
    tables = _tables()
    if table not in tables:
        raise ValueError(f"published numbers must be asked for by table, but got {table!r}: known are {list(tables)}")
    return tables[table]


def published_tables() -> tuple[str, ...]:
    """Names of the tables and figures that have printed numbers."""
    return tuple(_tables())


@cache
def _tables() -> Mapping[str, tuple[PublishedCell, ...]]:
    file = resources.files("ablations").joinpath("published.csv")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise PublishedError(f"{file} must be readable, but is not ({error}): {_REMEDY}") from error
    return parsed_tables(content, str(file))


_REMEDY = "install the project again, or take the file from its repository"


def parsed_tables(content: bytes, where: str) -> Mapping[str, tuple[PublishedCell, ...]]:
    """The printed numbers by table; ``where`` is what messages call the file.

    Raises:
        PublishedError: text that is no such table, or numbers that nobody can have printed; every line is named.
    """
    try:
        rows = csv_rows(content, where, COLUMNS)
    except CSVError as error:
        raise PublishedError(f"{error}; {_REMEDY}") from error
    cells: dict[str, list[PublishedCell]] = {}
    problems = [f"line {line}: {problem}" for line, row in rows if (problem := _wrong(row))]
    if not rows:
        problems.append("it has no line but the header")
    if problems:
        more = f"; and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        listed = "; ".join(problems[:_MOST_NAMED])
        raise PublishedError(f"{where} must hold the paper's numbers, but {listed}{more}: {_REMEDY}")
    for _, row in rows:
        levels = dict(part.split("=", 1) for part in row["factors"].split(";") if part)
        category = levels.pop(_CATEGORY, _MEAN)
        cell = PublishedCell(
            table=row["table"],
            row=PrintedRow.of(row["method"], **{name: _LEVELS.get(text, text) for name, text in levels.items()}),
            dataset=row["dataset"],
            shots="full" if row["shots"] == "full" else int(row["shots"]),
            metric=row["metric"],
            value=float(row["value"]),
            std=float(row["std"]) if row["std"] else None,
            category=None if category == _MEAN else category,
            note=row["note"],
        )
        cells.setdefault(cell.table, []).append(cell)
    return MappingProxyType({table: tuple(cells[table]) for table in sorted(cells, key=_place)})


_MOST_NAMED = 5


def _wrong(row: Mapping[str, str]) -> str | None:
    """What makes a line no printed number."""
    shots = row["shots"]
    if not _NAME.fullmatch(row["table"]):
        return f"table must be called like table3, but is {row['table']!r}"
    if not row["method"]:
        return "it names no method"
    if row["dataset"] not in known_sets():
        return f"dataset must be one of {', '.join(known_sets())}, but is {row['dataset']!r}"
    if row["metric"] not in METRICS:
        return f"metric must be one of {', '.join(METRICS)}, but is {row['metric']!r}"
    if shots != "full" and not _WHOLE.fullmatch(shots):
        return f"shots must be a whole number or full, but are {shots!r}"
    for column in ("value", "std"):
        if not (_percent(row[column]) or (column == "std" and not row[column])):
            return f"{column} must be a number from 0 to 100, but is {row[column]!r}"
    if any("=" not in part for part in row["factors"].split(";") if part):
        return f"factors must be NAME=VALUE with semicolons, but are {row['factors']!r}"
    return None


_WHOLE = re.compile(r"[0-9]{1,4}")


def _percent(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and 0 <= value <= 100


_NAME = re.compile(r"(table|figure)([0-9]{1,3})|[a-z_]+")


def _place(name: str) -> tuple[int, int, str]:
    """Tables by their numbers, then figures by theirs, then what is printed elsewhere."""
    found = _NAME.fullmatch(name)
    assert found is not None
    return (2, 0, name) if found[1] is None else (int(found[1] == "figure"), int(found[2]), name)
