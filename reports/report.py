"""Write the report of a study: the page, the tables and the figures."""

import csv
import functools
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from reports.lettering import boxes_text
from reports.outputs.cells import cells_script
from reports.outputs.latex import to_latex
from reports.outputs.markdown import to_markdown
from reports.outputs.provenance import trace
from reports.outputs.ranks_text import to_csv as ranks_csv
from reports.outputs.ranks_text import to_markdown as ranks_markdown
from reports.outputs.tidy_csv import to_category_csv, to_csv
from reports.page import Picture, SearchSection, Section, Shown, render_page
from reports.reading.kept import Loader, sound
from reports.reading.plan_document import NAME, Plan
from reports.reading.shapes import Document
from reports.searches.search import Search
from reports.searches.search_reading import SearchFiles, read_search
from reports.searches.search_section import search_views
from reports.searches.search_tables import best_csv, trials_csv
from reports.staging import Staging, staging
from reports.style import Drawing, pdf, png, settle, svg
from reports.tables.headings import data_titles, told_apart
from reports.tables.ranks import rankings
from reports.tables.table import Table, build_table
from reports.views.heatmaps import write_heatmaps
from reports.views.views import View, views_of

MANY = 16
"""Number of figures above which several processes draw them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """The page that was written, and what stands on it: tables in the plans' order, and searches.

    ``faults`` are the files that could not be used, each with the reason.
    """

    page: Path
    tables: tuple[Table, ...]
    searches: tuple[Search, ...]
    faults: Mapping[str, str]


def write_report(
    *,
    plans: Sequence[Plan],
    rows: Mapping[str, Document],
    examples: Loader,
    out: Path,
    damaged: Mapping[str, str] | None = None,
    searches: Sequence[SearchFiles] = (),
    say: Callable[[str], object] | None = None,
) -> WrittenReport:
    """Write out/index.html with tables/, figures/, data/ and images/ beside it; return what was written.

    `damaged` are files of rows that could not be read, each with the reason: the page names them. Each of `searches`
    gets a section of the page. `say` receives a line on names that figures could not draw. Nothing depends on the
    clock, the machine (but for fonts of other scripts) or the order of `rows`: the same plans and rows give the same
    bytes. Files appear whole, the page last.

    Raises:
        ValueError: if there is neither plan nor search, two share a name, or a name is no file name.
    """
    names = [plan.name for plan in plans]
    if not names and not searches:
        raise ValueError("a report needs at least 1 plan, but got 0: run an ablation first")
    names += [_search_id(files.name) for files in searches]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"plans must have different names, but these repeat: {', '.join(repeated)}")
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"a plan's name must be letters, digits, '_', '.', '+' or '-', but got {name!r}: rename it"
            )

    tables = [build_table(plan, rows) for plan in told_apart(plans)]
    faults: dict[str, str] = {}
    # Tables share cells, and views look at the same arrays.
    loader = functools.lru_cache(maxsize=64)(sound(examples, faults))
    with staging(out) as stage:
        drawings: dict[str, Drawing] = {}
        sections = [_section(table, loader, stage, drawings) for table in tables]
        found, unread = _read_searches(searches)
        search_sections = [_search_section(search, rows, stage, drawings) for search in found]
        drawn = _drawn(drawings)
        for each in drawn:
            for name, content in each.files.items():
                stage.add(name, content)
        if say is not None and (boxes := boxes_text(text for each in drawn for text in each.boxes)):
            say(boxes)
        heatmaps = write_heatmaps(tables, loader, stage)
        ranks = rankings(tables)
        if ranks:
            stage.add("tables/ranks.md", ranks_markdown(ranks))
            stage.add("tables/ranks.csv", ranks_csv(ranks))
        all_faults = {**(damaged or {}), **unread, **faults}
        stage.add(
            "index.html",
            render_page(
                sections,
                heatmaps=heatmaps,
                damaged=all_faults,
                searches=search_sections,
                ranks=ranks,
            ),
        )
    return WrittenReport(page=out / "index.html", tables=tuple(tables), searches=tuple(found), faults=all_faults)


def _search_id(name: str) -> str:
    """The name of a search among the page's anchors and files."""
    return f"search-{name}"


def _read_searches(searches: Sequence[SearchFiles]) -> tuple[list[Search], dict[str, str]]:
    """The readable searches, and the damaged files of all searches with the reasons."""
    found: list[Search] = []
    faults: dict[str, str] = {}
    for files in searches:
        try:
            search = read_search(files)
        except ValueError as error:
            faults |= {**files.damaged, f"searches/{files.name}.json": str(error)}
            continue
        faults |= search.damaged
        found.append(search)
    titles = data_titles([search.data_name for search in found])
    return [replace(search, dataset=title) for search, title in zip(found, titles, strict=True)], faults


def _search_section(
    search: Search, rows: Mapping[str, Mapping[str, object]], stage: Staging, drawings: dict[str, Drawing]
) -> SearchSection:
    name = _search_id(search.name)
    if search.complete:
        stage.add(f"tables/{name}_best.csv", best_csv(search, rows))
    stage.add(f"tables/{name}_trials.csv", trials_csv(search))
    shown = tuple(_shown(kind, view, name, drawings) for kind, view in search_views(search, rows))
    return SearchSection(id=name, search=search, rows=rows, shown=shown)


def _section(table: Table, loader: Loader, stage: Staging, drawings: dict[str, Drawing]) -> Section:
    """A table's part of the page; its figures join ``drawings`` by the stem of their files."""
    name = table.plan.name
    if table.columns:
        stage.add(f"tables/{name}.md", to_markdown(table))
        stage.add(f"tables/{name}.tex", to_latex(table))
        stage.add(f"tables/{name}.csv", to_csv(table))
        stage.add(f"tables/{name}_categories.csv", to_category_csv(table))
    stage.add(f"data/{name}.js", cells_script(table))
    shown = tuple(_shown(kind, view, name, drawings) for kind, view in views_of(table, loader))
    return Section(table=table, provenance=trace(table.plan, table.rows), shown=shown)


def _shown(kind: str, view: View, name: str, drawings: dict[str, Drawing]) -> Shown:
    stems = {f"figures/{name}_{drawing.stem}": drawing for drawing in view.drawings}
    drawings |= stems
    return Shown(kind=kind, view=view, pictures=tuple(_picture(stem, drawing) for stem, drawing in stems.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """The files of a figure, and its texts with letters that no font here has."""

    files: Mapping[str, bytes | str]
    boxes: tuple[str, ...]


def _drawn(drawings: Mapping[str, Drawing]) -> list[_Drawn]:
    """The files of every figure; many figures are drawn by as many processes as there are CPUs."""
    workers = min(os.cpu_count() or 1, 8) if len(drawings) >= MANY else 1
    drawn: list[_Drawn] = Parallel(n_jobs=workers)(delayed(_files)(stem, drawing) for stem, drawing in drawings.items())
    if workers > 1:
        get_reusable_executor().shutdown()
    return drawn


def _files(stem: str, drawing: Drawing) -> _Drawn:
    boxes = settle(drawing.figure)
    files: dict[str, bytes | str] = {
        f"{stem}.svg": svg(drawing.figure),
        f"{stem}.pdf": pdf(drawing.figure),
        f"{stem}.png": png(drawing.figure),
        f"{stem}.csv": _csv(drawing.data),
    }
    return _Drawn(files=files, boxes=boxes)


def _picture(stem: str, drawing: Drawing) -> Picture:
    return Picture(
        stem=stem,
        file=f"{stem}.png" if drawing.photographs else f"{stem}.svg",
        alt=drawing.alt,
        width=round(96 * drawing.figure.get_figwidth()),
        height=round(96 * drawing.figure.get_figheight()),
        wide=drawing.wide,
    )


def _csv(lines: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else ["nothing"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
