"""Workbenches that stand in for the real one run their cells one by one."""

from collections.abc import Iterator, Sequence
from typing import Any

from study.bench.prepared import Guard, unguarded
from study.records.cell import Cell
from study.records.outcome import Outcome


class OneByOne:
    """What came of each cell by ``run``."""

    company = 16

    def run(self, cell: Cell) -> Any:
        """One cell."""
        raise NotImplementedError

    def run_together(
        self, cells: Sequence[Cell], guard: Guard = unguarded
    ) -> Iterator[tuple[Cell, Outcome | Exception]]:
        """Each cell's outcome or error."""
        for cell in cells:
            try:
                with guard(1):
                    result = self.run(cell)
            except Exception as error:
                result = error
            yield cell, result
