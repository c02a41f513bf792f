"""Plans and rows as the study writes them, read into typed values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1
STATUSES = ("ok", "failed", "pruned", "unavailable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One variant of an ablation; `published` is the key of its factors in the published numbers, if any."""

    name: str
    label: str
    marks: Mapping[str, Any]
    published: str | None
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCell:
    """One planned measurement: which arm, category, shots, seed and task the row `digest` holds."""

    digest: str
    arm: str
    category: str
    shots: int
    seed: int
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNumber:
    """A number as printed in the paper; `value` and `std` in percent, `shots` None if the paper gives none."""

    dataset: str
    metric: str
    shots: int | None
    factors: str
    value: float
    std: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One ablation as planned; field for field the plan JSON of schema 1. `name` is unique in its study."""

    name: str
    ablation: str
    title: str
    question: str
    method_note: str
    baseline: str | None
    backbone: str
    weights_label: str
    comparable: bool
    comparable_reason: str | None
    protocol: str
    selection: str
    dataset: str
    dataset_title: str
    published_dataset: str | None
    categories: tuple[str, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    arms: tuple[Arm, ...]
    published: tuple[PublishedNumber, ...]
    cells: tuple[PlannedCell, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def random_weights(self) -> bool:
        """True if the weights' label says that they are random."""
        return "random" in self.weights_label.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one cell; `scores` are finite fractions in [0, 1], empty unless `status` is "ok"."""

    digest: str
    status: str
    reason: str | None
    scores: Mapping[str, float]
    cell: Mapping[str, Any]
    curve: Mapping[str, Any]
    departures: tuple[str, ...]
    support_images: tuple[str, ...]
    seconds: float
    provenance: Mapping[str, Any]

    @property
    def selected_on_test(self) -> bool:
        """True if this cell's epoch was chosen by its test scores."""
        config = self.cell.get("config") or {}
        return config.get("selection") == "best_on_test"


def read_plan(raw: Mapping[str, Any]) -> Plan:
    """The plan JSON as a typed value.

    Raises:
        ValueError: naming every fault at once: schema, absent keys, unknown baseline or arms, a cell planned twice.
    """
    name = raw.get("name", "?")
    if raw.get("schema") != SCHEMA:
        raise ValueError(
            f"plan schema must be {SCHEMA}, but {name} has {raw.get('schema')!r}: plan it again with this version"
        )
    wanted = [key for key in Plan.__dataclass_fields__ if key not in ("method_note", "left_out", "comparable_reason")]
    absent = [key for key in wanted if key not in raw]
    if absent:
        raise ValueError(f"plan {name} must have every key of schema {SCHEMA}, but lacks: {', '.join(absent)}")
    plan = Plan(
        name=str(raw["name"]),
        ablation=str(raw["ablation"]),
        title=str(raw["title"]),
        question=str(raw["question"]),
        method_note=str(raw.get("method_note") or ""),
        baseline=raw["baseline"],
        backbone=str(raw["backbone"]),
        weights_label=str(raw["weights_label"]),
        comparable=bool(raw["comparable"]),
        comparable_reason=raw.get("comparable_reason"),
        protocol=str(raw["protocol"]),
        selection=str(raw["selection"]),
        dataset=str(raw["dataset"]),
        dataset_title=str(raw["dataset_title"]),
        published_dataset=raw["published_dataset"],
        categories=tuple(raw["categories"]),
        shots=tuple(raw["shots"]),
        seeds=tuple(raw["seeds"]),
        tasks=tuple(raw["tasks"]),
        arms=tuple(
            Arm(
                name=arm["name"],
                label=arm["label"],
                marks=arm.get("marks") or {},
                published=arm.get("published"),
                changes=arm.get("changes") or {},
            )
            for arm in raw["arms"]
        ),
        published=tuple(
            PublishedNumber(
                dataset=number["dataset"],
                metric=number["metric"],
                shots=number["shots"],
                factors=number["factors"],
                value=float(number["value"]),
                std=None if number.get("std") is None else float(number["std"]),
            )
            for number in raw["published"]
        ),
        cells=tuple(
            PlannedCell(**{key: cell[key] for key in PlannedCell.__dataclass_fields__}) for cell in raw["cells"]
        ),
        left_out=tuple((item["image"], item["reason"]) for item in raw.get("left_out") or ()),
    )
    faults = list(_plan_faults(plan))
    if faults:
        raise ValueError(f"plan {plan.name} must be consistent, but: {'; '.join(faults)}")
    return plan


def _plan_faults(plan: Plan) -> list[str]:
    """What contradicts itself inside a plan."""
    faults = []
    # They become part of file names.
    if not all(type(shots) is int for shots in plan.shots):
        faults.append(f"shots must be whole numbers, but are {', '.join(map(repr, plan.shots))}")
    names = [arm.name for arm in plan.arms]
    if len(set(names)) < len(names):
        faults.append(f"arm names repeat ({', '.join(names)})")
    if plan.baseline is not None and plan.baseline not in names:
        faults.append(f"baseline {plan.baseline!r} is none of its arms ({', '.join(names)})")
    axes = {"arm": names, "category": plan.categories, "shots": plan.shots, "seed": plan.seeds, "task": plan.tasks}
    places = set()
    for cell in plan.cells:
        for axis, values in axes.items():
            if getattr(cell, axis) not in values:
                faults.append(f"cell {cell.digest} has {axis} {getattr(cell, axis)!r}, which the plan does not list")
        place = (cell.arm, cell.category, cell.shots, cell.seed, cell.task)
        if place in places:
            faults.append(f"cell {place} is planned twice")
        places.add(place)
    return faults


def read_row(digest: str, raw: Mapping[str, Any]) -> Row:
    """The row JSON filed under `digest` as a typed value.

    An "ok" row with a score that is not a number in [0, 1] is read as failed, so that no table can average it; a score
    of null is left out.

    Raises:
        ValueError: if the schema or the status is unknown, or the row names another digest than it is filed under.
    """
    if raw.get("schema") != SCHEMA:
        raise ValueError(f"row schema must be {SCHEMA}, but {digest} has {raw.get('schema')!r}: run the cell again")
    if raw.get("digest") != digest:
        raise ValueError(
            f"a row must be filed under its own digest, but {digest} holds {raw.get('digest')!r}: run the cell again"
        )
    status = raw.get("status")
    if status not in STATUSES:
        raise ValueError(f"row status must be one of {', '.join(STATUSES)}, but {digest} has {status!r}")
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
    )


def _is_fraction(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # False for nan, too.
    return 0.0 <= value <= 1.0


def planned_rows(plan: Plan, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Row]:
    """The rows of a plan's cells that exist, by digest, in the plan's order.

    Raises:
        ValueError: if a row ran another category, shots, seed or task than the plan asks of it.
    """
    found: dict[str, Row] = {}
    for cell in plan.cells:
        if cell.digest not in rows:
            continue
        row = found.get(cell.digest) or read_row(cell.digest, rows[cell.digest])
        for axis in ("category", "shots", "seed", "task"):
            if row.cell.get(axis) != getattr(cell, axis):
                raise ValueError(
                    f"a row must hold the cell that was planned, but {cell.digest} ran {axis} {row.cell.get(axis)!r} "
                    f"where plan {plan.name} asks for {getattr(cell, axis)!r}: plan and run again"
                )
        found[cell.digest] = row
    return found
