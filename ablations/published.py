"""The numbers that the PromptAD paper prints, to stand beside a study's own.

They live in published.csv, one printed number per line: percent, as printed. Only the reports compare them with
fractions.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCell:
    """One printed number.

    ``value`` and ``std`` are in percent, as printed; ``std`` is None where the paper prints none. ``table`` is e.g.
    "table3" (or "figure1"), ``dataset`` "mvtec", "visa", "mpdd" or "loco", ``metric`` "image_auroc" or "pixel_auroc",
    ``shots`` the number of normal images per category (0: no training; "full": the whole training set). ``factors``
    tells the rows of a table apart, e.g. "sc=1;eam=0;vad=0"; empty where method and shots are enough. ``note`` is a
    sentence where the paper says otherwise elsewhere, or the number looks like a misprint; empty for most.
    """

    table: str
    method: str
    dataset: str
    shots: int | Literal["full"]
    metric: str
    value: float
    std: float | None
    factors: str
    note: str = ""

    @property
    def row(self) -> str:
        """What tells the table's rows apart: the method, and its factors but for the category."""
        parts = [f"method={self.method}", *self.factors.split(";")]
        return ";".join(part for part in parts if part and not part.startswith("category="))

    @property
    def category(self) -> str | None:
        """The category of a number that is no mean over all of them."""
        named = dict(part.split("=", 1) for part in self.factors.split(";") if part).get("category", "mean")
        return None if named == "mean" else named


def published(table: str) -> tuple[PublishedCell, ...]:
    """The printed numbers of one table of the paper ("table1" ... "table10"), or of "figure1", in the file's order.

    Figure 1 is drawn without numbers: its own are those of section 1's text.

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
    text = resources.files("ablations").joinpath("published.csv").read_text(encoding="utf-8")
    cells: dict[str, list[PublishedCell]] = {}
    for line in csv.DictReader(text.splitlines(), strict=True):
        cell = PublishedCell(
            table=line["table"],
            method=line["method"],
            dataset=line["dataset"],
            shots="full" if line["shots"] == "full" else int(line["shots"]),
            metric=line["metric"],
            value=float(line["value"]),
            std=float(line["std"]) if line["std"] else None,
            factors=line["factors"],
            note=line["note"],
        )
        cells.setdefault(cell.table, []).append(cell)
    return MappingProxyType({table: tuple(cells[table]) for table in sorted(cells, key=_place)})


def _place(name: str) -> tuple[bool, int]:
    """Tables by their numbers, then figures by theirs."""
    kind = "table" if name.startswith("table") else "figure"
    return kind == "figure", int(name.removeprefix(kind))
