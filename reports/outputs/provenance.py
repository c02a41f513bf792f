"""Provenance of a plan's numbers: machines, versions, commits, time, support images, and failures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reports.reading.plan_document import Plan
from reports.reading.rows import PlannedRows, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Cells without scores that share a status and a reason; `cells` names each."""

    status: str
    reason: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The support images of one category at one seed and number of shots; more than one set if arms differ."""

    category: str
    shots: int
    seed: int
    sets: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """`facts` as (name, value) pairs; everything in the plan's order, so equal rows give equal text."""

    facts: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]
    support: tuple[Support, ...]

    @property
    def support_differs(self) -> bool:
        """True if arms were fitted on different images at the same category, shots and seed."""
        return any(len(support.sets) > 1 for support in self.support)


def trace(plan: Plan, rows: PlannedRows) -> Provenance:
    """Collect the provenance of a plan's rows."""
    return Provenance(
        facts=_facts(list(rows.found.values())),
        problems=_problems(plan, rows),
        support=_support(plan, rows.found),
    )


def _facts(rows: list[Row]) -> tuple[tuple[str, str], ...]:
    if not rows:
        return (("Rows", "none yet"),)
    versions: dict[str, set[str]] = {}
    for row in rows:
        for package, version in (row.provenance.get("versions") or {}).items():
            versions.setdefault(package, set()).add(str(version))
    started = sorted(str(row.provenance["started"]) for row in rows if row.provenance.get("started"))
    retried = sum((row.provenance.get("attempts") or 1) > 1 for row in rows)
    seconds = sum(row.seconds for row in rows)
    return (
        ("Commit", _values(rows, _commit)),
        ("Device", _values(rows, lambda row: row.provenance.get("card") or row.provenance.get("device"))),
        ("Threads", _values(rows, lambda row: row.provenance.get("threads"))),
        ("Hosts", _values(rows, lambda row: row.provenance.get("host"))),
        ("Versions", ", ".join(f"{name} {' / '.join(sorted(versions[name]))}" for name in sorted(versions)) or "none"),
        ("Weights digest", _values(rows, lambda row: row.cell.get("weights"))),
        ("Numerics", _values(rows, lambda row: row.cell.get("numerics"))),
        ("Compute", f"{seconds:,.0f} s over {len(rows)} rows ({seconds / 3600:.2f} h)"),
        ("Started", f"{started[0]} to {started[-1]}" if started else "not recorded"),
        ("Cells that needed more than one attempt", str(retried)),
    )


def _commit(row: Row) -> str | None:
    commit = row.provenance.get("commit")
    return None if commit is None else f"{commit}{' with uncommitted changes' if row.provenance.get('dirty') else ''}"


def _values(rows: list[Row], pick: Callable[[Row], object]) -> str:
    seen = sorted({"not recorded" if pick(row) is None else str(pick(row)) for row in rows})
    return ", ".join(seen)


def _problems(plan: Plan, rows: PlannedRows) -> tuple[Problem, ...]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for cell in plan.cells:
        row = rows.found.get(cell.digest)
        if row is not None and row.status == "ok":
            continue
        if cell.digest in rows.faults:
            status, reason = "damaged", rows.faults[cell.digest]
        elif row is None:
            status, reason = "missing", "not run yet"
        else:
            status, reason = row.status, (row.reason or "").strip() or "no reason recorded"
        grouped.setdefault((status, reason), []).append(
            f"{cell.arm} / {cell.category} / {cell.images}-shot / seed {cell.seed} / {cell.task} ({cell.digest[:10]})"
        )
    order = ("failed", "damaged", "pruned", "unavailable", "missing")
    return tuple(
        Problem(status=status, reason=reason, cells=tuple(cells))
        for (status, reason), cells in sorted(grouped.items(), key=lambda item: order.index(item[0][0]))
    )


def _support(plan: Plan, found: Mapping[str, Row]) -> tuple[Support, ...]:
    sets: dict[tuple[int, str, int], dict[tuple[str, ...], None]] = {}
    for cell in plan.cells:
        if cell.digest in found and found[cell.digest].support_images:
            images = found[cell.digest].support_images
            sets.setdefault((cell.images, cell.category, cell.seed), {})[images] = None
    return tuple(
        Support(category=category, shots=shots, seed=seed, sets=tuple(sets[shots, category, seed]))
        for shots in sorted({shots for shots, _, _ in sets})
        for category in plan.categories
        for seed in plan.seeds
        if (shots, category, seed) in sets
    )
