"""A plan as text: cells done, to run and shared, and the time by measured rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.reading.plan_document import Plan
from study.command.duration import duration
from study.planning.plan import StudyPlan
from study.records.cell import Cell
from study.records.segment import RowState

DETAILED = 2
"""Up to this number, ablations are described arm by arm; above it, with a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Numbers of cells of one planned ablation; ``seconds`` of work for those to run (None: nothing is measured).

    ``shared`` cells also belong to another ablation of this plan or of a plan stored in the study.
    """

    planned: int
    done: int
    to_run: int
    unavailable: int
    shared: int
    seconds: float | None


def outlooks(plan: StudyPlan, states: Mapping[str, RowState], stored: Sequence[Plan] = ()) -> dict[str, Outlook]:
    """The outlook of every plan document by name; ``stored`` are the plans that the study has already."""
    others = [document for document in stored if document.name not in plan.documents]
    owners = Counter(digest for document in (*plan.documents.values(), *others) for digest in _digests(document))
    times = Times.of_plan(plan, states)
    found = {}
    for name, document in plan.documents.items():
        digests = _digests(document)
        done = {digest for digest in digests if digest in states and states[digest].status in ("ok", "pruned")}
        unavailable = {digest for digest in digests if digest in plan.unavailable}
        to_run = digests - done - unavailable
        found[name] = Outlook(
            planned=len(digests),
            done=len(done),
            to_run=len(to_run),
            unavailable=len(unavailable),
            shared=sum(owners[digest] > 1 for digest in digests),
            seconds=times.of(plan.cells[digest] for digest in to_run),
        )
    return found


class Times:
    """Seconds of a cell: the mean of measured cells of equal task, protocol and backbone, else of the most similar."""

    def __init__(self, means: Mapping[tuple[object, ...], float]) -> None:
        self._means = means

    @classmethod
    def of_plan(cls, plan: StudyPlan, states: Mapping[str, RowState]) -> Times:
        """From the cells of a plan that are ok."""
        return cls.measured(
            (plan.cells[digest], state.seconds)
            for digest, state in states.items()
            if state.status == "ok" and state.seconds is not None and digest in plan.cells
        )

    @classmethod
    def measured(cls, cells: Iterable[tuple[Cell, float]]) -> Times:
        """From cells and the seconds that they took."""
        seconds: dict[tuple[object, ...], list[float]] = defaultdict(list)
        for cell, took in cells:
            for key in _keys(cell):
                seconds[key].append(took)
        return cls({key: sum(values) / len(values) for key, values in seconds.items()})

    def of(self, cells: Iterable[Cell]) -> float | None:
        """Seconds of all ``cells``, one after the other; None if there are cells but nothing was measured."""
        total = 0.0
        for cell in cells:
            mean = next((self._means[key] for key in _keys(cell) if key in self._means), None)
            if mean is None:
                return None
            total += mean
        return total


def described_plan(plan: StudyPlan, states: Mapping[str, RowState], stored: Sequence[Plan] = ()) -> str:
    """The plan as text: details of one or two ablations, else a line for each, and what all of them need."""
    found = outlooks(plan, states, stored)
    if len(found) <= DETAILED:
        lines = [line for name, document in plan.documents.items() for line in _details(document, found[name])]
    else:
        lines = _lines(plan, found)
    lines += [
        f"  not possible: {number} cells: {reason}" for reason, number in Counter(plan.unavailable.values()).items()
    ]
    if len(found) > 1:
        missing = [
            cell
            for digest, cell in plan.cells.items()
            if digest not in plan.unavailable and not (digest in states and states[digest].status in ("ok", "pruned"))
        ]
        lines.append(
            f"all together: {len(plan.cells)} different cells, {len(missing)} to run"
            + _estimate(Times.of_plan(plan, states).of(missing))
        )
    return "\n".join(lines)


def _lines(plan: StudyPlan, found: Mapping[str, Outlook]) -> list[str]:
    width = max(len(document.ablation) for document in plan.documents.values())
    lines = [f"{'':<{width}}  planned    done  to run  shared  work     title"]
    for name, document in plan.documents.items():
        outlook = found[name]
        work = "?" if outlook.seconds is None else duration(outlook.seconds)
        published_only = sum(not arm.runnable for arm in document.arms)
        more = f" ({published_only} rows cannot run here)" if published_only else ""
        lines.append(
            f"{document.ablation:<{width}}  {outlook.planned:>7} {outlook.done:>7} {outlook.to_run:>7} "
            f"{outlook.shared:>7}  {work:<8} {document.title}{more}"
        )
    return lines


def _details(document: Plan, outlook: Outlook) -> list[str]:
    lines = [
        f"{document.name}: {document.title}",
        f"  {document.question}",
        f"  data {document.dataset_title}: {', '.join(document.categories)}",
        f"  backbone {document.backbone} ({document.weights_label}), protocol {document.protocol}, "
        f"selection {document.selection}",
    ]
    for arm in document.arms:
        if not arm.runnable:
            lines.append(f"  arm {arm.name}: cannot run: {arm.not_runnable}")
            continue
        digests = {digest for block in document.asked.blocks if block.arm == arm.name for digest in block.digests}
        parts = [f"{field}={value}" for field, value in arm.changes.items()]
        parts = parts if arm.runs == "promptad" else [f"method {arm.runs}", *parts]
        parts += [f"backbone {arm.backbone}"] if arm.backbone != document.backbone else []
        parts += [f"one model for {len(arm.pool)} categories"] if arm.pool else []
        lines.append(f"  arm {arm.name}: {len(digests)} cells ({', '.join(parts) or 'the base config'})")
    lines.append(
        f"  cells: {outlook.planned} planned, {outlook.done} done, {outlook.to_run} to run, "
        f"{outlook.shared} shared with other ablations{_estimate(outlook.seconds)}"
    )
    return lines


def _estimate(seconds: float | None) -> str:
    return "" if seconds is None else f", about {duration(seconds)} of work for one worker"


def _digests(document: Plan) -> set[str]:
    return {digest for digest, _ in document.asked.tasks()}


def _keys(cell: Cell) -> list[tuple[object, ...]]:
    """What a cell's time depends on, from all of it to nothing."""
    config = cell.config
    kind = (
        *(cell.task, cell.method, len(cell.pool), config.learns_prompts, config.selection, config.precision),
        config.learning_epochs,
    )
    # Artefacts take time too: a cell that measures its cost fits twice.
    return [
        (*kind, cell.artefacts, cell.backbone),
        (*kind, cell.backbone),
        kind,
        kind[:6],
        kind[:5],
        kind[:2],
        kind[:1],
        (),
    ]
