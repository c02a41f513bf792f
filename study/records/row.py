"""A row: the result of a cell. Written once, as a whole; the only truth of a study."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from promptad.configs.protocol import departures
from promptad.user_error import UserError
from reports.reading.forms import ROW
from reports.reading.shapes import (
    Document,
    DocumentError,
    anything,
    by_name,
    check,
    each,
    json_object,
    maybe,
    number,
    record,
    shown,
    text,
)
from study.records.cell import Cell

SCHEMA = 1
_STORED = record(
    {
        "cell": record({"backbone": text, "dataset": text, "category": text, "method": text}),
        "reason": maybe(text),
        "scores": maybe(by_name(number)),
        "curve": anything,
        "support_images": each(text),
        "test_images": anything,
        "seconds": by_name(number),
        "provenance": by_name(anything),
    },
    {"cost": by_name(number)},
)
Status = Literal["ok", "failed", "pruned", "unavailable"]


class RowError(UserError):
    """A row that contradicts itself or its cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one cell.

    ``scores`` are fractions in [0, 1] by metric, present if and only if ``status`` is ok; otherwise ``reason`` says
    why not. ``unavailable`` is a cell that the data cannot answer (no masks). ``curve`` holds every epoch's metric
    when the epoch was picked on the test set. ``support_images`` are those of the cell's own category; one model for
    several categories also saw those of the others at this seed. ``test_images`` are parallel lists ``name``,
    ``anomalous``, ``score``. ``view`` counts the test set's anomalies that the model could see
    (``study/bench/seen_anomalies.py``): how many images are ``anomalous``, how many of them are ``with_mask``, names of
    those ``unseen``, and for pixels of those ``vanished``; None for cells on pseudo-anomalies, and in rows from before
    it was recorded.
    ``cost`` is what ``study.bench.costs`` measures, None unless the cell's artefacts include it.
    """

    cell: Cell
    status: Status
    reason: str | None = None
    scores: Mapping[str, float] | None = None
    curve: Mapping[str, list[float]] | None = None
    support_images: tuple[str, ...] = ()
    test_images: Mapping[str, list[Any]] | None = None
    view: Document | None = None
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    provenance: Document = dataclasses.field(default_factory=dict)
    cost: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Check that a missing score has a status and a reason, never a number."""
        if (self.status == "ok") != (self.scores is not None):
            raise RowError(
                f"a row has scores if and only if its status is ok, but {self.cell} is {self.status} "
                f"with scores {self.scores}"
            )
        if self.status != "ok" and not self.reason:
            raise RowError(f"a row that is not ok needs a reason, but {self.cell} ({self.status}) has none")
        bad = {
            name: value for name, value in (self.scores or {}).items() if not (math.isfinite(value) and 0 <= value <= 1)
        }
        if bad:
            raise RowError(f"scores must be fractions in [0, 1], but {self.cell} has {bad}")
        bad = {name: value for name, value in (self.cost or {}).items() if not (math.isfinite(value) and value >= 0)}
        if bad:
            raise RowError(f"costs must be finite and not negative, but {self.cell} has {bad}")

    def to_json(self) -> str:
        """One JSON object, keys in a fixed order."""
        return json.dumps(self._values(), indent=1, allow_nan=False) + "\n"

    def plain(self) -> dict[str, Any]:
        """Equals ``json.loads(self.to_json())``, without the slow way through indented text."""
        values: dict[str, Any] = json.loads(json.dumps(self._values(), allow_nan=False))
        return values

    def _values(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "digest": self.cell.digest,
            "cell": self.cell.as_dict(),
            "status": self.status,
            "reason": self.reason,
            "scores": self.scores,
            "curve": self.curve,
            "departures": list(departures(self.cell.config)),
            "support_images": list(self.support_images),
            "test_images": self.test_images,
            "view": self.view,
            "seconds": self.seconds,
            "provenance": self.provenance,
            **({} if self.cost is None else {"cost": self.cost}),
        }

    @classmethod
    def from_json(cls, content: str | bytes) -> Self:
        """Read a row, checking that the digest is its cell's.

        Raises:
            RowError: it is not a row of this schema, or its digest is not the cell's.
        """
        try:
            values = json_object(content)
            if values.get("schema") != SCHEMA:
                raise RowError(f"row schema must be {SCHEMA}, but is {shown(values.get('schema'))}")
            check(values, ROW, "of another form")
            check(values, _STORED, "of another form")
            cell = Cell.from_dict(values["cell"])
            if cell.digest != values["digest"]:
                raise RowError(f"row {values['digest']} holds the cell {cell.digest}")
            return cls(
                cell=cell,
                status=values["status"],
                reason=values["reason"],
                scores=values["scores"],
                curve=values["curve"],
                support_images=tuple(values["support_images"]),
                test_images=values["test_images"],
                view=values.get("view"),
                seconds=values["seconds"],
                provenance=values["provenance"],
                cost=values.get("cost"),
            )
        except DocumentError as error:
            raise RowError(f"not a row: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            # The methods' configs check a cell, and raise errors of many types.
            raise error if isinstance(error, RowError) else RowError(f"not a row: {error!r}") from error
