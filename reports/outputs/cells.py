"""The cells behind a table's numbers, as a script that the page loads on request."""

import math
from typing import Any

from reports.staging import compact_json
from reports.tables.table import Table


def cells_script(table: Table) -> str:
    """`study.cells[plan] = {...}`: cells as short lists; configs, reasons and provenance are factored out.

    A cell is [arm, category, shots, seed, task, digest, status, scores, seconds, config, reason, support, provenance],
    where arm and category are places in the lists of the same name and the last four places in theirs (-1: none).
    """
    plan = table.plan
    arms = {arm.name: place for place, arm in enumerate(plan.arms)}
    categories = {name: place for place, name in enumerate(plan.categories)}
    configs, reasons, supports, origins = _Pool(), _Pool(), _Pool(), _Pool()
    cells: list[list[object]] = []
    for cell in plan.cells:
        row = table.rows.found.get(cell.digest)
        head = [arms[cell.arm], categories[cell.category], cell.shots, cell.seed, cell.task, cell.digest]
        if row is None:
            fault = table.rows.faults.get(cell.digest)
            cells.append([*head, "damaged" if fault else "missing", {}, 0, -1, reasons.place(fault), -1, -1])
            continue
        origin = (
            *(row.provenance.get(name) for name in _ORIGIN[:3]),
            *(row.cell.get(name) for name in _ORIGIN[3:]),
        )
        cells.append(
            [
                *head,
                row.status,
                {name: round(score, 6) for name, score in row.scores.items()},
                round(row.seconds, 2) if math.isfinite(row.seconds) else 0,
                configs.place(row.cell.get("config")),
                reasons.place(row.reason),
                supports.place(row.support_images),
                origins.place(origin),
            ]
        )
    content = {
        "arms": [arm.label for arm in plan.arms],
        "names": [arm.name for arm in plan.arms],
        "changes": [_plain(dict(arm.changes)) for arm in plan.arms],
        "categories": list(plan.categories),
        "tasks": {column.metric: column.task for column in table.columns},
        "configs": configs.values,
        "reasons": reasons.values,
        "supports": supports.values,
        "origins": [dict(zip(_ORIGIN, origin, strict=True)) for origin in origins.values],
        "cells": cells,
    }
    return f"study.cells[{compact_json(plan.name)}]={compact_json(content)};\n"


_ORIGIN = ("device", "commit", "versions", "weights", "data", "backbone")


class _Pool:
    """Stores repeated values once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}
        self._seen: dict[tuple[int, ...], tuple[object, int]] = {}

    def place(self, value: object) -> int:
        if not value:
            return -1
        # Rows have their common parts as the same objects, which are looked at once.
        same = tuple(map(id, value)) if isinstance(value, tuple) else (id(value),)
        known = self._seen.get(same)
        if known is None:
            plain = _plain(value)
            place = self._places.setdefault(compact_json(plain), len(self.values))
            if place == len(self.values):
                self.values.append(plain)
            # The value is kept, so that no other takes its identity.
            known = self._seen[same] = (value, place)
        return known[1]


def _plain(value: object) -> object:
    """The value, with numbers that JSON does not have (infinite ones) as text."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
