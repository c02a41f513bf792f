"""A plan and its rows as one frozen table: every number with its n, interval, effect, and the cells behind it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from promptad.configs.method_table import METHODS
from promptad.scoring.metric_table import METRICS
from reports.reading.plan_document import Plan
from reports.reading.plan_parts import Arm
from reports.reading.rows import PlannedRows, Row, TypedRows, planned_rows
from reports.reading.shapes import Document
from reports.statistics import Effect, Summary, adjusted, complete_seeds, paired_effect, seed_means, summarize
from reports.tables.entries import CategoryEntry, Column, Entry, Kind, Missing
from reports.tables.published import published_values

# With several causes in one place, the one that most needs a person's action is printed.
URGENCY: tuple[Kind, ...] = ("failed", "pruned", "unavailable", "missing", "not planned", "published only")

_SCORED = {"image": "images", "pixel": "pixels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Everything that a rendering of one ablation prints.

    `rows` are those behind it; `entries` by (arm name, column), `by_category` by (arm name, column, category);
    `counts` of the plan's cells by status ("missing": no row yet, "damaged": one that cannot be used); `unmeasurable`
    by task: categories for which the data allow no such metric, with the reason; that task's averages omit them;
    `optimism`: the gain over the last epoch's score from choosing the epoch on the test set.
    """

    plan: Plan
    rows: PlannedRows
    columns: tuple[Column, ...]
    entries: Mapping[tuple[str, Column], Entry]
    by_category: Mapping[tuple[str, Column, str], CategoryEntry]
    counts: Mapping[str, int]
    optimism: Mapping[tuple[str, Column], Summary]
    departures: Mapping[str, tuple[str, ...]]
    unmeasurable: Mapping[str, Mapping[str, str]]
    selected_on_test: bool

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of the components that some arm marks as on or off, in order of first appearance."""
        return tuple(dict.fromkeys(mark for arm in self.plan.arms for mark in arm.marks))

    @property
    def complete(self) -> bool:
        """True if every planned cell is ok."""
        return self.counts.get("ok", 0) == sum(self.counts.values())

    def is_baseline(self, arm: Arm) -> bool:
        """True for the arm that the others are compared with."""
        return arm.name == self.plan.baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    kind: Kind
    reason: str


_Slots = dict[tuple[int, str], float | _Gap]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """An arm in a column: what is there, and the digests of its cells, by seed and category.

    `base` is what the baseline has in the column, None where the arm is not compared with it.
    """

    arm: Arm
    column: Column
    slots: _Slots
    digests: Mapping[tuple[int, str], str]
    base: _Slots | None


def build_table(plan: Plan, rows: Mapping[str, Document] | TypedRows) -> Table:
    """The table of one plan from `rows` (row JSON by digest; rows of other plans are ignored)."""
    usable = planned_rows(plan, rows if isinstance(rows, TypedRows) else TypedRows(rows))
    found = usable.found
    planned = {(c.arm, c.task, c.shots, c.seed, c.category): c.digest for c in plan.cells}
    asked = {(c.task, c.shots) for c in plan.cells}
    unmeasurable = {task: _unmeasurable(plan, found, task) for task in plan.tasks}
    measured = {task: tuple(c for c in plan.categories if c not in unmeasurable[task]) for task in plan.tasks}
    columns = tuple(
        Column(metric=metric, shots=shots, scope=_scope(measured[task], plan.categories))
        for metric, task in ((name, METRICS[name].task) for name in METRICS if name in plan.metrics)
        for shots in plan.shots
        if (task, shots) in asked or not plan.runnable
    )

    slots: dict[tuple[str, Column], _Slots] = {}
    digests: dict[tuple[str, Column], dict[tuple[int, str], str]] = {}
    for arm in plan.arms:
        for column in columns:
            places = {
                (seed, category): planned.get((arm.name, column.task, column.shots, seed, category))
                for seed in plan.seeds
                for category in plan.categories
            }
            key = (arm.name, column)
            absent = None if arm.not_runnable is None else _Gap(kind="published only", reason=arm.not_runnable)
            slots[key] = {
                place: absent or _slot(digest, usable, column.metric, _unplanned(arm, column))
                for place, digest in places.items()
            }
            digests[key] = {place: digest for place, digest in places.items() if digest is not None}

    entries: dict[tuple[str, Column], Entry] = {}
    by_category: dict[tuple[str, Column, str], CategoryEntry] = {}
    optimism: dict[tuple[str, Column], Summary] = {}
    for column in columns:
        base = slots.get((plan.baseline, column)) if plan.baseline is not None else None
        for arm in plan.arms:
            key = (arm.name, column)
            against = None if arm.name == plan.baseline else base
            averaged = measured[column.task]
            place = _Place(arm=arm, column=column, slots=slots[key], digests=digests[key], base=against)
            entries[key] = _entry(plan, place, averaged, found)
            for category in plan.categories:
                by_category[arm.name, column, category] = _category_entry(plan.seeds, category, place)
            gap = _optimism(plan.seeds, averaged, place, found)
            if gap is not None:
                optimism[key] = gap
    _adjust(entries)
    counts = Counter(
        "damaged" if c.digest in usable.faults else found[c.digest].status if c.digest in found else "missing"
        for c in plan.cells
    )
    return Table(
        plan=plan,
        rows=usable,
        columns=columns,
        entries=MappingProxyType(entries),
        by_category=MappingProxyType(by_category),
        counts=MappingProxyType(dict(sorted(counts.items()))),
        optimism=MappingProxyType(optimism),
        departures=MappingProxyType(_departures(plan, found)),
        unmeasurable=MappingProxyType(unmeasurable),
        selected_on_test=plan.selection == "best_on_test" or any(row.selected_on_test for row in found.values()),
    )


def _unmeasurable(plan: Plan, found: Mapping[str, Row], task: str) -> dict[str, str]:
    """Categories in which every cell of `task` is unavailable, with the reason; empty if that is every category."""
    reasons = {}
    by_category: dict[str, list[Row | None]] = {}
    for cell in plan.cells:
        if cell.task == task:
            by_category.setdefault(cell.category, []).append(found.get(cell.digest))
    for category in plan.categories:
        rows = by_category.get(category, [])
        if rows and all(row is not None and row.status == "unavailable" for row in rows):
            reasons[category] = _first_line(rows[0].reason if rows[0] else None) or "no reason recorded"
    return reasons if len(reasons) < len(plan.categories) else {}


def _scope(measured: Sequence[str], planned: Sequence[str]) -> str:
    return "" if len(measured) == len(planned) else f"{len(measured)} of {len(planned)} categories"


def _unplanned(arm: Arm, column: Column) -> _Gap:
    """Why an arm that runs has no cells in a column."""
    method = METHODS.get(arm.runs)
    if method is not None and column.task not in method.tasks:
        return _Gap(kind="unavailable", reason=f"{method.title} does not score {_SCORED[column.task]}")
    return _Gap(kind="not planned", reason="not in the plan")


def _slot(digest: str | None, usable: PlannedRows, metric: str, unplanned: _Gap) -> float | _Gap:
    if digest is None:
        return unplanned
    if digest in usable.faults:
        return _Gap(kind="failed", reason="damaged row")
    row = usable.found.get(digest)
    if row is None:
        return _Gap(kind="missing", reason="not run yet")
    if row.status != "ok":
        # planned_rows has checked the status against the four that exist.
        kind: Kind = "failed" if row.status == "failed" else "pruned" if row.status == "pruned" else "unavailable"
        return _Gap(kind=kind, reason=_first_line(row.reason) or "no reason recorded")
    if metric not in row.scores:
        return _Gap(kind="unavailable", reason=f"{metric} was not recorded")
    return row.scores[metric]


def _first_line(text: str | None, longest: int = 120) -> str:
    line = (text or "").strip().splitlines()[0] if (text or "").strip() else ""
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _absence(gaps: Sequence[_Gap], planned: int) -> Missing:
    """The text in place of a number, given the `gaps` of `planned` cells."""
    kinds = Counter(gap.kind for gap in gaps)
    told: dict[Kind, str] = {}
    for kind in URGENCY:
        reasons = list(dict.fromkeys(gap.reason for gap in gaps if gap.kind == kind))
        if reasons:
            more = f" and {len(reasons) - 2} other reasons" if len(reasons) > 2 else ""
            told[kind] = f"{'; '.join(reasons[:2])}{more}"
    together = ", ".join(f"{kinds[kind]} {kind}: {reasons}" for kind, reasons in told.items())
    if len(gaps) < planned:
        return Missing(kind="incomplete", reason=together, count=planned - len(gaps), planned=planned)
    worst = next(kind for kind in URGENCY if kinds[kind])
    if len(kinds) == 1:
        return Missing(kind=worst, reason=told[worst], count=len(gaps), planned=planned)
    if worst == "unavailable":
        # "unavailable" prints its reason instead of a count, which would hide the cells that may still get a row.
        return Missing(kind="incomplete", reason=together, count=0, planned=planned)
    return Missing(kind=worst, reason=together, count=kinds[worst], planned=planned)


def _split(slots: _Slots) -> tuple[dict[tuple[int, str], float], list[_Gap]]:
    scores = {place: slot for place, slot in slots.items() if not isinstance(slot, _Gap)}
    return scores, [slot for slot in slots.values() if isinstance(slot, _Gap)]


def _entry(plan: Plan, place: _Place, categories: Sequence[str], found: Mapping[str, Row]) -> Entry:
    arm, column, digests, base = place.arm, place.column, place.digests, place.base
    slots = {(seed, category): slot for (seed, category), slot in place.slots.items() if category in categories}
    scores, gaps = _split(slots)
    seeds = complete_seeds(scores, plan.seeds, categories)
    means = seed_means(scores, seeds, categories)
    value: Summary | Missing = summarize(means) if means else _absence(gaps, len(slots))
    shortfall = _seed_shortfall(seeds, plan.seeds, gaps, len(slots)) if means else None
    behind = tuple(digests[seed, category] for seed in seeds for category in categories)
    effect, effect_shortfall = (None, None) if base is None else _effect(plan.seeds, categories, slots, base)
    started = [found[digest] for digest in digests.values() if digest in found]
    own = plan.one_support_set.get((arm.name, column.shots), ())
    theirs = plan.one_support_set.get((plan.baseline or "", column.shots), ())
    return Entry(
        value=value,
        shortfall=shortfall,
        seeds=seeds,
        seed_means=means,
        n_categories=len(categories),
        effect=effect,
        effect_shortfall=effect_shortfall,
        published=published_values(plan, arm, column, value, shortfall),
        digests=behind,
        selected_on_test=any(row.selected_on_test for row in started),
        one_support_set=own,
        effect_on_one_set=() if base is None else tuple(dict.fromkeys([*own, *theirs])),
    )


def _seed_shortfall(seeds: Sequence[int], planned: Sequence[int], gaps: Sequence[_Gap], cells: int) -> Missing | None:
    if len(seeds) == len(planned):
        return None
    reason = _absence(gaps, cells).reason
    return Missing(kind="incomplete", reason=reason, count=len(seeds), planned=len(planned), unit="seeds")


def _effect(
    planned: Sequence[int], categories: Sequence[str], slots: _Slots, base: _Slots
) -> tuple[Effect | Missing, Missing | None]:
    arm_scores, arm_gaps = _split(slots)
    base_scores, base_gaps = _split({place: slot for place, slot in base.items() if place in slots})
    effect = paired_effect(arm_scores, base_scores, seeds=planned, categories=categories)
    if effect is None and not complete_seeds(arm_scores, planned, categories):
        return _absence(arm_gaps, len(slots)), None
    if effect is not None and effect.summary.n == len(planned):
        return effect, None
    sides = (("arm", arm_gaps), ("baseline", base_gaps))
    shortfall = Missing(
        kind="incomplete",
        reason="; ".join(f"{side}: {_absence(gaps, len(slots)).reason}" for side, gaps in sides if gaps),
        count=0 if effect is None else effect.summary.n,
        planned=len(planned),
        unit="paired seeds",
    )
    return (shortfall, None) if effect is None else (effect, shortfall)


def _category_entry(seeds: Sequence[int], category: str, place: _Place) -> CategoryEntry:
    base = place.base
    mine = {(seed, category): place.slots[seed, category] for seed in seeds}
    scores, gaps = _split(mine)
    there = complete_seeds(scores, seeds, (category,))
    value: Summary | Missing = (
        summarize(seed_means(scores, there, (category,))) if there else _absence(gaps, len(seeds))
    )
    delta: Summary | Missing | None = None
    if base is not None:
        theirs, base_gaps = _split({(seed, category): base[seed, category] for seed in seeds})
        effect = paired_effect(scores, theirs, seeds=seeds, categories=(category,))
        delta = effect.summary if effect is not None else _absence(base_gaps if scores else gaps, len(seeds))
    return CategoryEntry(
        value=value,
        shortfall=_seed_shortfall(there, seeds, gaps, len(seeds)) if there else None,
        delta=delta,
        digests=tuple(place.digests[seed, category] for seed in there),
    )


def _optimism(
    planned: Sequence[int], categories: Sequence[str], place: _Place, found: Mapping[str, Row]
) -> Summary | None:
    """Reported score minus the last epoch's, from the curves of cells selected on the test set; None without them."""
    scores, _ = _split(place.slots)
    gaps = {}
    for where, score in scores.items():
        row = found[place.digests[where]]
        curve = row.curve.get(place.column.metric)
        if row.selected_on_test and curve:
            gaps[where] = score - float(curve[-1])
    seeds = complete_seeds(gaps, planned, categories)
    return summarize(seed_means(gaps, seeds, categories)) if seeds else None


def _adjust(entries: dict[tuple[str, Column], Entry]) -> None:
    """Fill in Holm's p: all effects of the table are one family, over its metrics, arms and shots."""
    tested = [(key, entry.effect) for key, entry in entries.items() if isinstance(entry.effect, Effect)]
    for (key, _), effect in zip(tested, adjusted([effect for _, effect in tested]), strict=True):
        entries[key] = replace(entries[key], effect=effect)


def _departures(plan: Plan, found: Mapping[str, Row]) -> dict[str, tuple[str, ...]]:
    """Departures from the paper's protocol that some cell of each arm had in force."""
    seen: dict[str, set[str]] = {arm.name: set() for arm in plan.arms}
    for cell in plan.cells:
        if cell.digest in found:
            seen[cell.arm].update(found[cell.digest].departures)
    return {name: tuple(sorted(marks, key=lambda mark: (len(mark), mark))) for name, marks in seen.items()}
