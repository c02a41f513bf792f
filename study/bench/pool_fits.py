"""Models that several cells share: each is learned once in a process, for the first of its cells."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from promptad.methods import PooledFit
from study.records.cell import Cell

REMEMBERED = 4
"""How many trainings are remembered: the cells of one stand side by side in their group, but one is tried again last.
Each holds what was learned, and no image."""


@dataclass(slots=True)
class _Learned:
    """What came of a training, and the categories that asked for it."""

    result: PooledFit | Exception
    asked: set[str] = field(default_factory=set)


class PoolFits:
    """The last trainings of pools in this process, by what they are of (``Cell.training``).

    A training that failed is not tried again for each of its cells: it fails all of them, until one of them is tried a
    second time.
    """

    def __init__(self) -> None:
        self._learned: OrderedDict[tuple[object, ...], _Learned] = OrderedDict()

    def get(self, cell: Cell, learn: Callable[[], PooledFit]) -> tuple[PooledFit, bool]:
        """What the pool of a cell learned, and whether it was learned now, by ``learn``.

        Raises:
            Exception: what ``learn`` raised, now or for another cell of the training.
        """
        assert cell.training is not None
        known = self._learned.get(cell.training)
        now = known is None or (isinstance(known.result, Exception) and cell.category in known.asked)
        if known is None or now:
            known = self._learned[cell.training] = _Learned(_result_of(learn))
            while len(self._learned) > REMEMBERED:
                self._learned.popitem(last=False)
        known.asked.add(cell.category)
        self._learned.move_to_end(cell.training)
        if isinstance(known.result, Exception):
            raise known.result
        return known.result, now

    def release(self) -> None:
        """Let go of what was learned; failures, which hold nothing, stay."""
        for training in [each for each, known in self._learned.items() if not isinstance(known.result, Exception)]:
            del self._learned[training]

    def clear(self) -> None:
        """Forget everything: the backbone is another one."""
        self._learned.clear()


def _result_of(learn: Callable[[], PooledFit]) -> PooledFit | Exception:
    try:
        return learn()
    except Exception as error:
        # Its frames would keep the support images' features alive.
        return error.with_traceback(None)
