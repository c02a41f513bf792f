"""A cell on its way through the workbench: what is made ready for it, and the epoch that is selected of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from promptad.features.extraction import Features
from promptad.methods import Fitted, Fitting, Scores, finite_scores
from study.bench.ground_truth import MaskedMaps, Truth
from study.bench.queries import Queries
from study.bench.stopwatch import Stopwatch
from study.records.cell import Cell, company_of

Guard: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""Makes what is around the work on one cell, or on a number of cells together."""

_Result = TypeVar("_Result")


def unguarded(_: int) -> AbstractContextManager[None]:
    """Nothing."""
    return nullcontext()


class Selection:
    """Deviation D2: remembers the epoch with the best AUROC on the test set, and every epoch's."""

    def __init__(self, cell: Cell, query: Features, truth: Truth, watch: Stopwatch) -> None:
        self._cell, self._query, self._truth, self._watch = cell, query, truth, watch
        self._metric = f"{cell.task}_auroc"
        self._values: list[float] = []
        self.best: Fitted | None = None

    def consider(self, _: int, fitted: Fitted) -> None:
        """Score one epoch."""
        with self._watch.timing("selection"):
            result = finite_scores(fitted, self._query)
            value = self._truth.auroc(result, masked(self._cell, self._truth, result))
        if not self._values or value > max(self._values):
            self.best = fitted
        self._values.append(value)

    def curve(self) -> dict[str, list[float]] | None:
        """The metric after each epoch; None if none was considered."""
        if not self._values:
            return None
        return {"epochs": [float(epoch) for epoch in range(1, len(self._values) + 1)], self._metric: self._values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A cell whose images are encoded, and whose truth is known."""

    cell: Cell
    watch: Stopwatch
    queries: Queries
    support: Features
    query: Features
    view: dict[str, object] | None
    truth: Truth
    selection: Selection

    def fitting(self) -> Fitting:
        """The fit that the cell asks for."""
        cell = self.cell
        return Fitting(
            support=self.support,
            config=cell.config,
            task=cell.task,
            category=cell.category,
            seed=cell.seed,
            on_epoch=self.selection.consider if cell.config.selection == "best_on_test" else None,
        )


def masked(cell: Cell, truth: Truth, result: Scores) -> MaskedMaps | None:
    """The cell's maps beside their masks; None for the image task."""
    return truth.masked(result, size=cell.config.map_size, smoothing=cell.config.map_smoothing)


def parts_of(cells: Sequence[Cell], *, mixed: bool) -> Iterator[list[Cell]]:
    """Neighbouring cells that may learn together (`company_of`); each other cell for itself."""
    for key, part in itertools.groupby(cells, lambda cell: company_of(cell, mixed)):
        if key is None:
            yield from ([cell] for cell in part)
        else:
            yield list(part)


def result_of(compute: Callable[[], _Result], guard: AbstractContextManager[None]) -> _Result | Exception:
    """What ``compute`` returns, or raises, within ``guard``."""
    try:
        with guard:
            return compute()
    except Exception as error:
        # Its frames would keep the cell's tensors alive.
        return error.with_traceback(None)


def share_fit(ready: Sequence[Prepared], seconds: float) -> None:
    """Count each cell's share of the seconds in which all were fitted, by its epochs.

    What selected an epoch of one is counted for that one already.
    """
    own = sum(prepared.watch.of("selection") for prepared in ready)
    epochs = [1 + prepared.cell.config.learning_epochs for prepared in ready]
    for prepared, number in zip(ready, epochs, strict=True):
        prepared.watch.add("fit", max(0.0, seconds - own) * number / sum(epochs))
