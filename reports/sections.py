"""The sections of a report: each is made, or kept where the report there has it and it would be the same."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reports.figure_files import FigureFiles, formats_of, shown_format
from reports.made import Made, MadePart, PagePart, intact, key_of
from reports.outputs.cells import cells_script
from reports.outputs.latex import to_latex
from reports.outputs.markdown import to_markdown
from reports.outputs.provenance import trace
from reports.outputs.tidy_csv import to_category_csv, to_csv
from reports.page import Picture, SearchSection, Section, Shown, plan_part, search_part
from reports.reading.kept import Arrays, Loader, arrays_file
from reports.reading.shapes import Document
from reports.searches.search import Search
from reports.searches.search_reading import SearchFiles
from reports.searches.search_section import search_views
from reports.searches.search_tables import best_csv, trials_csv
from reports.staging import Staging
from reports.style import Drawing
from reports.tables.table import Table
from reports.views.views import View, views_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What is known of a study before its report is written, so that what would be the same is kept.

    ``version`` names the code that writes, ``stamp`` the whole study. ``marks`` has a text for the kept arrays of each
    cell that has some, another for other arrays; "" where it cannot be told whether they are others.
    """

    version: str
    stamp: str
    marks: Mapping[str, str]


def search_id(name: str) -> str:
    """The name of a search among the page's anchors and files."""
    return f"search-{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A section whose figures are being drawn: the names of its other files, and the stems of its figures."""

    key: str
    arrays: Mapping[str, str]
    files: Sequence[str]
    stems: Sequence[str]
    page: PagePart


class Sections:
    """Makes the sections of a report in ``out``, or keeps them: those of ``last`` that are equal by their key.

    Without ``again`` nothing is kept.
    """

    def __init__(
        self,
        out: Path,
        stage: Staging,
        figures: FigureFiles,
        rows: Mapping[str, Document],
        *,
        last: Made | None,
        again: Again | None,
    ) -> None:
        self._out, self._stage, self._figures, self._rows, self._again = out, stage, figures, rows, again
        same = last is not None and again is not None and (last.version, last.formats) == (again.version, figures.asked)
        self._last: Mapping[str, MadePart] = last.parts if last is not None and same else {}
        self._sums: dict[str, str] = {}
        self._parts: dict[str, MadePart | _Pending] = {}
        self.kept = 0

    def add_plan(self, table: Table, loader: Loader, faults: Mapping[str, str]) -> None:
        """The section of a plan; ``faults`` receives what ``loader`` finds damaged."""
        plan = table.plan
        behind = [*table.rows.found, *table.rows.faults]
        key = self._key(plan.as_json(), behind)
        if self._keeps(plan.name, key):
            return
        looked = _Looked(loader)
        files = _table_files(table)
        shown = [(kind, view, _stems(plan.name, view)) for kind, view in views_of(table, looked)]
        section = Section(
            table=table,
            provenance=trace(plan, table.rows),
            shown=tuple(self._shown(kind, view, stems) for kind, view, stems in shown),
        )
        # What is damaged is named anew in every report.
        sound = not any(arrays_file(digest) in faults for digest in looked.digests)
        marks = {} if self._again is None else self._again.marks
        arrays = {digest: marks.get(digest, "") for digest in looked.digests}
        told = all(arrays[digest] or digest not in looked.found for digest in looked.digests)
        self._pend(
            plan.name,
            files,
            key=key if sound and told else "",
            arrays=arrays,
            stems=[stem for _, _, stems in shown for stem in stems],
            page=plan_part(section),
        )

    def add_search(self, search: Search, files: SearchFiles) -> None:
        """The section of a search."""
        name = search_id(search.name)
        fresh, held_out = search.fresh, search.held_out
        behind = [] if fresh is None else [*fresh.default, *(cell for cells in fresh.trials.values() for cell in cells)]
        behind += [] if held_out is None else [*held_out.winner, *held_out.base]
        key = self._key([search.dataset, asdict(files)], behind)
        if self._keeps(name, key):
            return
        made = {f"tables/{name}_trials.csv": trials_csv(search)}
        if search.complete:
            made[f"tables/{name}_best.csv"] = best_csv(search, self._rows)
        shown = [(kind, view, _stems(name, view)) for kind, view in search_views(search, self._rows)]
        section = SearchSection(
            id=name,
            search=search,
            rows=self._rows,
            shown=tuple(self._shown(kind, view, stems) for kind, view, stems in shown),
        )
        stems = [stem for _, _, stems in shown for stem in stems]
        self._pend(name, made, key=key, arrays={}, stems=stems, page=search_part(section))

    def finished(self) -> tuple[dict[str, MadePart], tuple[str, ...]]:
        """Every section by its name, when all figures are drawn, and the words that figures could not draw."""
        files: dict[str, list[str]] = {}
        boxes: dict[str, tuple[str, ...]] = {}
        for stem, drawn in self._figures.finished():
            for name, content in drawn.files.items():
                self._stage.add(name, content)
            files[stem], boxes[stem] = list(drawn.files), drawn.boxes
        parts = {}
        for name, part in self._parts.items():
            if isinstance(part, MadePart):
                parts[name] = part
                continue
            own = [*part.files, *(file for stem in part.stems for file in files[stem])]
            # A font that has the letters may be installed later.
            boxed = any(boxes[stem] for stem in part.stems)
            parts[name] = MadePart(
                key="" if boxed else part.key,
                files={file: self._stage.sums[file] for file in own},
                arrays=part.arrays,
                page=part.page,
            )
        return parts, tuple(text for each in boxes.values() for text in each)

    def _key(self, content: Any, behind: Iterable[str]) -> str:
        """What a section is made of but for arrays, as one text; "" where nothing is kept."""
        return "" if self._again is None else key_of([content, sorted((each, self._sum(each)) for each in behind)])

    def _sum(self, digest: str) -> str:
        if digest not in self._sums:
            self._sums[digest] = key_of([self._rows.get(digest)])
        return self._sums[digest]

    def _keeps(self, name: str, key: str) -> bool:
        """Keep a section if the report there has it whole."""
        part = self._last.get(name)
        if part is None or part.key != key or self._again is None:
            return False
        marks = self._again.marks
        if any(marks.get(digest, "") != mark for digest, mark in part.arrays.items()):
            return False
        if not intact(self._out, part.files):
            return False
        self._parts[name] = part
        self.kept += 1
        return True

    def _pend(self, name: str, files: Mapping[str, str], **values: Any) -> None:
        for file, content in files.items():
            self._stage.add(file, content)
        self._parts[name] = _Pending(files=list(files), **values)

    def _shown(self, kind: str, view: View, stems: Mapping[str, Drawing]) -> Shown:
        for stem, drawing in stems.items():
            self._figures.add(stem, drawing)
        pictures = tuple(_picture(stem, drawing, self._figures.asked) for stem, drawing in stems.items())
        return Shown(kind=kind, view=view, pictures=pictures)


class _Looked:
    """A loader that notes which arrays were looked for, and which were there."""

    def __init__(self, loader: Loader) -> None:
        self._loader: Callable[[str], Arrays | None] = loader
        self.digests: dict[str, None] = {}
        self.found: set[str] = set()

    def __call__(self, digest: str) -> Arrays | None:
        self.digests[digest] = None
        arrays = self._loader(digest)
        if arrays is not None:
            self.found.add(digest)
        return arrays


def _table_files(table: Table) -> dict[str, str]:
    """The files of a table but its figures, by name."""
    name = table.plan.name
    files = {f"data/{name}.js": cells_script(table)}
    if table.columns:
        files |= {
            f"tables/{name}.md": to_markdown(table),
            f"tables/{name}.tex": to_latex(table),
            f"tables/{name}.csv": to_csv(table),
            f"tables/{name}_categories.csv": to_category_csv(table),
        }
    return files


def _stems(name: str, view: View) -> dict[str, Drawing]:
    return {f"figures/{name}_{drawing.stem}": drawing for drawing in view.drawings}


def _picture(stem: str, drawing: Drawing, asked: Sequence[str]) -> Picture:
    return Picture(
        stem=stem,
        file=f"{stem}.{shown_format(drawing)}",
        formats=formats_of(drawing, asked),
        alt=drawing.alt,
        width=round(96 * drawing.figure.get_figwidth()),
        height=round(96 * drawing.figure.get_figheight()),
        wide=drawing.wide,
    )
