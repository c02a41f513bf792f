"""Rows as the study writes them, read into typed values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reports.reading.forms import ROW
from reports.reading.plan_document import SCHEMA, Plan
from reports.reading.planned_cells import PlannedCell
from reports.reading.shapes import Document, DocumentError, check, is_number, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Which anomalies of a test set the model could see: number of images, of those with a mask, and names.

    `unseen` have no anomalous pixel in the field of view, `vanished` none at the size of the scored map.
    """

    anomalous: int
    with_mask: int
    unseen: tuple[str, ...]
    vanished: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one cell; `scores` are finite fractions in [0, 1], empty unless `status` is "ok".

    `cost` are finite numbers by name, empty unless the cell measured them.
    """

    digest: str
    status: str
    reason: str | None
    scores: Mapping[str, float]
    cell: Document
    curve: Document
    departures: tuple[str, ...]
    support_images: tuple[str, ...]
    seconds: float
    provenance: Document
    sight: Sight | None
    cost: Mapping[str, float] = field(default_factory=dict)

    @property
    def selected_on_test(self) -> bool:
        """True if this cell's epoch was chosen by its test scores."""
        config = self.cell.get("config") or {}
        return config.get("selection") == "best_on_test"


class CheckedRow(dict[str, object]):
    """A row's document that was found to be of the form where it was read, with others that share its parts."""


def read_row(digest: str, raw: Document) -> Row:
    """The row JSON filed under `digest` as a typed value.

    An "ok" row with a score that is not a number in [0, 1] is read as failed, so that no table can average it; a score
    of null is left out.

    Raises:
        DocumentError: if the schema is another one, a value has another type, or the row names another digest than it
            is filed under.
    """
    if raw.get("schema") != SCHEMA:
        raise DocumentError(
            f"row schema must be {SCHEMA}, but {digest} has {shown(raw.get('schema'))}: run the cell again"
        )
    if raw.get("digest") != digest:
        raise DocumentError(
            f"a row must be filed under its own digest, but {digest} holds {shown(raw.get('digest'))}: run the cell "
            "again"
        )
    if not isinstance(raw, CheckedRow):
        check(raw, ROW, f"row {digest} must have the form of schema {SCHEMA}, but")
    status = raw["status"]
    reason = raw.get("reason")
    scores = {name: value for name, value in (raw.get("scores") or {}).items() if value is not None}
    wrong = [f"{name} is {value!r}" for name, value in scores.items() if not _is_fraction(value)]
    if status == "ok" and (wrong or not scores):
        status = "failed"
        reason = f"a score must be a number in [0, 1], but {', '.join(wrong)}" if wrong else "the row holds no score"
    return Row(
        digest=digest,
        status=str(status),
        reason=reason,
        scores={name: float(value) for name, value in scores.items()} if status == "ok" else {},
        cell=raw.get("cell") or {},
        curve=raw.get("curve") or {},
        departures=tuple(raw.get("departures") or ()),
        support_images=tuple(raw.get("support_images") or ()),
        seconds=float((raw.get("seconds") or {}).get("total") or 0.0),
        provenance=raw.get("provenance") or {},
        sight=_sight(raw.get("view")),
        cost=_finite(raw.get("cost") or {}),
    )


def _sight(view: Document | None) -> Sight | None:
    if view is None:
        return None
    return Sight(
        anomalous=int(view["anomalous"]),
        with_mask=int(view["with_mask"]),
        unseen=tuple(view["unseen"]),
        vanished=tuple(view.get("vanished") or ()),
    )


def _finite(cost: Document) -> dict[str, float]:
    """The numbers of a row's cost that can be used: what is none, or not finite, is not measured."""
    return {name: float(value) for name, value in cost.items() if is_number(value) and value >= 0}


def _is_fraction(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # False for nan, too.
    return 0.0 <= value <= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRows:
    """The usable rows of a plan's cells, by digest in the plan's order; for the others the reason, by digest."""

    found: Mapping[str, Row]
    faults: Mapping[str, str]


class TypedRows:
    """Rows by digest, each read once however many tables show it."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self.documents = documents
        self._read: dict[str, Row | DocumentError] = {}

    def __contains__(self, digest: object) -> bool:
        """Whether there is a row, readable or not."""
        return digest in self.documents

    def __getitem__(self, digest: str) -> Row:
        """The row of a cell.

        Raises:
            DocumentError: it is damaged; see ``read_row``.
        """
        row = self._read.get(digest)
        if row is None:
            try:
                row = read_row(digest, self.documents[digest])
            except DocumentError as error:
                row = error
            self._read[digest] = row
        if isinstance(row, DocumentError):
            raise row
        return row


def planned_rows(plan: Plan, rows: TypedRows) -> PlannedRows:
    """The rows of a plan's cells that exist; one that is damaged, of another schema or of another cell is a fault."""
    found: dict[str, Row] = {}
    faults: dict[str, str] = {}
    pools = {arm.name: arm.pool for arm in plan.arms}
    for cell in (*plan.cells, *plan.proxies):
        if cell.digest not in rows or cell.digest in faults:
            continue
        try:
            row = rows[cell.digest]
            _check(row, cell, pools[cell.arm])
        except DocumentError as error:
            faults[cell.digest] = str(error)
            found.pop(cell.digest, None)
        else:
            found[cell.digest] = row
    return PlannedRows(found=found, faults=faults)


def _check(row: Row, cell: PlannedCell, pool: Sequence[str]) -> None:
    ran = {
        **{axis: row.cell.get(axis) for axis in ("category", "shots", "seed", "task")},
        "pool": [member["category"] for member in row.cell.get("pool") or ()],
    }
    planned = {"category": cell.category, "shots": cell.images, "seed": cell.seed, "task": cell.task}
    for axis, value in {**planned, "pool": list(pool)}.items():
        if ran[axis] != value:
            raise DocumentError(
                f"a row must hold the cell that was planned, but {cell.digest} ran {axis} {ran[axis]!r} "
                f"where the plan asks for {value!r}: plan and run again"
            )
