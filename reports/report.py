"""Write the report of a study: the page, the tables and the figures."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reports.figure_files import FigureFiles
from reports.lettering import boxes_text
from reports.made import NAME as MADE
from reports.made import PAGE, Made, Said, last_made
from reports.outputs.ranks_text import to_csv as ranks_csv
from reports.outputs.ranks_text import to_markdown as ranks_markdown
from reports.outputs.terminal import table_text
from reports.page import render_page
from reports.reading.kept import Loader, sound
from reports.reading.plan_document import NAME, Plan
from reports.reading.rows import TypedRows
from reports.reading.shapes import Document
from reports.searches.search import Search
from reports.searches.search_reading import SearchFiles, read_search
from reports.searches.search_words import search_text
from reports.sections import Again, Sections, search_id
from reports.staging import staging
from reports.tables.headings import data_titles, told_apart
from reports.tables.ranks import rankings
from reports.tables.table import build_table
from reports.views.heatmaps import write_heatmaps


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """The page that was written, and what the terminal says of it; ``kept`` sections were there already."""

    page: Path
    said: Said
    kept: int


def write_report(
    *,
    plans: Sequence[Plan],
    rows: Mapping[str, Document],
    examples: Loader,
    out: Path,
    damaged: Mapping[str, str] | None = None,
    searches: Sequence[SearchFiles] = (),
    say: Callable[[str], object] | None = None,
    formats: Sequence[str] | None = None,
    again: Again | None = None,
) -> WrittenReport:
    """Write out/index.html with tables/, figures/, data/ and images/ beside it; return what was written.

    `damaged` are files of rows that could not be read, each with the reason: the page names them. Each of `searches`
    gets a section of the page. `say` receives a line on names that figures could not draw. `formats` of figures
    (svg, png, pdf) are written beside the one that the page shows; None: those that the report there has. With
    `again`, sections that are there and would be the same are kept. Nothing depends on the clock, the machine (but for
    fonts of other scripts), the order of `rows` or on what is kept: the same plans and rows give the same bytes. Files
    appear whole, the page and then ``made.json`` last.

    Raises:
        ValueError: if there is neither plan nor search, two share a name, or a name is no file name.
    """
    names = [plan.name for plan in plans]
    if not names and not searches:
        raise ValueError("a report needs at least 1 plan, but got 0: run an ablation first")
    names += [search_id(files.name) for files in searches]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"plans must have different names, but these repeat: {', '.join(repeated)}")
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"a plan's name must be letters, digits, '_', '.', '+' or '-', but got {name!r}: rename it"
            )

    before = last_made(out)
    formats = tuple(sorted(set(formats))) if formats is not None else () if before is None else before.formats
    typed = TypedRows(rows)
    tables = [build_table(plan, typed) for plan in told_apart(plans)]
    faults: dict[str, str] = {}
    # Tables share cells, and views look at the same arrays.
    loader = functools.lru_cache(maxsize=64)(sound(examples, faults))
    with staging(out) as stage, FigureFiles(formats) as figures:
        sections = Sections(out, stage, figures, rows, last=before, again=again)
        for table in tables:
            sections.add_plan(table, loader, faults)
        found, unread = _read_searches(searches)
        for search, files in found:
            sections.add_search(search, files)
        parts, boxes = sections.finished()
        if say is not None and boxes:
            say(boxes_text(boxes))
        heatmaps = write_heatmaps(tables, loader, stage)
        ranks = rankings(tables)
        if ranks:
            stage.add("tables/ranks.md", ranks_markdown(ranks))
            stage.add("tables/ranks.csv", ranks_csv(ranks))
        all_faults = {**(damaged or {}), **unread, **faults}
        pages = {name: part.page for name, part in parts.items()}
        page = render_page(
            [pages[table.plan.name] for table in tables],
            tables=tables,
            heatmaps=heatmaps,
            damaged=all_faults,
            searches=[pages[search_id(search.name)] for search, _ in found],
            ranks=ranks,
        )
        stage.add(PAGE, page)
        said = Said(
            tables={table.plan.name: table_text(table) for table in tables},
            searches=tuple(search_text(search, rows) for search, _ in found),
            faults=all_faults,
        )
        kept = {name: content for part in parts.values() for name, content in part.files.items()}
        made = Made(
            version=None if again is None else again.version,
            # A font that has the letters may be installed later.
            stamp=None if again is None or boxes else again.stamp,
            formats=formats,
            parts={name: part for name, part in parts.items() if part.key},
            files=dict(sorted((kept | stage.sums).items())),
            said=said,
        )
        stage.add(MADE, made.to_json())
    return WrittenReport(page=out / PAGE, said=said, kept=sections.kept)


def _read_searches(
    searches: Sequence[SearchFiles],
) -> tuple[list[tuple[Search, SearchFiles]], dict[str, str]]:
    """The readable searches with their files, and the damaged files of all searches with the reasons."""
    found: list[tuple[Search, SearchFiles]] = []
    faults: dict[str, str] = {}
    for files in searches:
        try:
            search = read_search(files)
        except ValueError as error:
            faults |= {**files.damaged, f"searches/{files.name}.json": str(error)}
            continue
        faults |= search.damaged
        found.append((search, files))
    titles = data_titles([search.data_name for search, _ in found])
    titled = zip(found, titles, strict=True)
    return [(replace(search, dataset=title), files) for (search, files), title in titled], faults
