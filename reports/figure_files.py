"""The files of figures: a few are drawn in this process, many by as many processes as there are CPUs."""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from joblib.externals.loky import get_reusable_executor

from reports.made import FORMATS, Format
from reports.style import Drawing, pdf, png, settle, svg

MANY = 16
"""Number of figures above which several processes draw them."""

_WRITERS = {"svg": svg, "png": png, "pdf": pdf}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The files of a figure by name, and its texts with letters that no font here has."""

    files: Mapping[str, bytes | str]
    boxes: tuple[str, ...]


def shown_format(drawing: Drawing) -> Format:
    """The format that a page shows: photographs as PNG, drawings as SVG."""
    return "png" if drawing.photographs else "svg"


def formats_of(drawing: Drawing, asked: Sequence[str]) -> tuple[Format, ...]:
    """The formats in which a figure is drawn: those asked for, and the one that a page shows."""
    return tuple(each for each in FORMATS if each in asked or each == shown_format(drawing))


class FigureFiles:
    """Draws figures while others are still being made; used in a ``with`` block."""

    def __init__(self, formats: Sequence[str]) -> None:
        self.asked = tuple(formats)
        self._waiting: dict[str, Drawing] = {}
        self._begun: dict[str, Future[Drawn]] = {}
        self._processes: Any = None

    def __enter__(self) -> Self:
        """Nothing is drawn yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        if self._processes is not None:
            self._processes.shutdown(kill_workers=error is not None)

    def add(self, stem: str, drawing: Drawing) -> None:
        """Draw a figure into files that begin with ``stem``; another of the same stem takes its place."""
        if stem in self._begun or len(self._waiting) + len(self._begun) + 1 >= MANY:
            if self._processes is None:
                self._processes = get_reusable_executor(max_workers=min(os.cpu_count() or 1, 8))
            for name, each in {**self._waiting, stem: drawing}.items():
                self._begun[name] = self._processes.submit(drawn, name, each, formats_of(each, self.asked))
            self._waiting = {}
        else:
            self._waiting[stem] = drawing

    def finished(self) -> Iterator[tuple[str, Drawn]]:
        """Every figure by its stem, in the order in which they were added."""
        for stem, drawing in self._waiting.items():
            yield stem, drawn(stem, drawing, formats_of(drawing, self.asked))
        for stem, future in self._begun.items():
            yield stem, future.result()


def drawn(stem: str, drawing: Drawing, formats: Sequence[Format]) -> Drawn:
    """One figure in some formats, and its numbers as CSV."""
    boxes = settle(drawing.figure)
    files: dict[str, bytes | str] = {f"{stem}.{each}": _WRITERS[each](drawing.figure) for each in formats}
    return Drawn(files={**files, f"{stem}.csv": _csv(drawing.data)}, boxes=boxes)


def _csv(lines: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else ["nothing"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
