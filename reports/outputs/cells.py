"""The cells behind a table's numbers, as a script that the page loads on request."""

import math

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
        origin = {
            "device": row.provenance.get("device"),
            "commit": row.provenance.get("commit"),
            "versions": row.provenance.get("versions"),
            "weights": row.cell.get("weights"),
            "data": row.cell.get("data"),
            "backbone": row.cell.get("backbone"),
        }
        cells.append(
            [
                *head,
                row.status,
                {name: round(score, 6) for name, score in row.scores.items()},
                round(row.seconds, 2) if math.isfinite(row.seconds) else 0,
                configs.place(_plain(row.cell.get("config"))),
                reasons.place(row.reason),
                supports.place(list(row.support_images)),
                origins.place(_plain(origin)),
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
        "origins": origins.values,
        "cells": cells,
    }
    return f"study.cells[{compact_json(plan.name)}]={compact_json(content)};\n"


class _Pool:
    """Stores repeated values once."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._places: dict[str, int] = {}

    def place(self, value: object) -> int:
        if not value:
            return -1
        key = compact_json(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def _plain(value: object) -> object:
    """The value, with numbers that JSON does not have (infinite ones) as text."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
