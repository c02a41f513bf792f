"""Write the report of a study: the page, the tables and the figures."""

import csv
import functools
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from reports.cells import cells_script
from reports.drawing import Drawing, pdf, png, settle, svg
from reports.examples import Loader
from reports.files import Staging, staging
from reports.heatmaps import write_heatmaps
from reports.latex import to_latex
from reports.page import Picture, Section, Shown, render_page
from reports.provenance import trace
from reports.render import to_markdown
from reports.tables import Table, build_table
from reports.tidy import to_category_csv, to_csv
from reports.views import views_of

MANY = 16
"""Figures from which on it pays to start processes that draw."""

# A plan's name becomes part of file names and of the page's anchors.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def write_report(
    *,
    plans: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    examples: Loader,
    out: Path,
    damaged: Mapping[str, str] | None = None,
) -> Path:
    """Write out/index.html with tables/, figures/, data/ and images/ beside it; return the page.

    `damaged` are files of rows that could not be read, each with the reason: the page names them. Nothing depends on
    the clock, the machine or the order of `rows`: the same plans and rows give the same bytes. Files appear whole,
    the page last.

    Raises:
        ValueError: if there is no plan, two plans share a name, a name is no file name, or a plan is invalid.
    """
    names = [str(plan.get("name", "")) for plan in plans]
    if not names:
        raise ValueError("a report needs at least 1 plan, but got 0: run an ablation first")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"plans must have different names, but these repeat: {', '.join(repeated)}")
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"a plan's name must be letters, digits, '_', '.', '+' or '-', but got {name!r}: rename it"
            )

    tables = [build_table(raw, rows) for raw in plans]
    # Tables share cells, and views look at the same arrays.
    loader = functools.lru_cache(maxsize=64)(examples)
    with staging(out) as stage:
        sections: list[Section] = []
        drawings: dict[str, Drawing] = {}
        for table in tables:
            section, own = _section(table, loader, stage)
            sections.append(section)
            drawings |= own
        for files in _drawn(drawings):
            for name, content in files.items():
                stage.add(name, content)
        heatmaps = write_heatmaps(tables, loader, stage)
        stage.add("index.html", render_page(sections, heatmaps=heatmaps, damaged=damaged or {}))
    return out / "index.html"


def _section(table: Table, loader: Loader, stage: Staging) -> tuple[Section, dict[str, Drawing]]:
    """A table's part of the page, and its figures by the stem of their files."""
    name = table.plan.name
    if table.columns:
        stage.add(f"tables/{name}.md", to_markdown(table))
        stage.add(f"tables/{name}.tex", to_latex(table))
        stage.add(f"tables/{name}.csv", to_csv(table))
        stage.add(f"tables/{name}_categories.csv", to_category_csv(table))
    stage.add(f"data/{name}.js", cells_script(table))
    shown: list[Shown] = []
    drawings: dict[str, Drawing] = {}
    for kind, view in views_of(table, loader):
        stems = {f"figures/{name}_{drawing.stem}": drawing for drawing in view.drawings}
        pictures = tuple(_picture(stem, drawing) for stem, drawing in stems.items())
        shown.append(Shown(kind=kind, view=view, pictures=pictures))
        drawings |= stems
    return Section(table=table, provenance=trace(table.plan, table.rows), shown=tuple(shown)), drawings


def _drawn(drawings: Mapping[str, Drawing]) -> list[dict[str, bytes | str]]:
    """The files of every figure; many figures are drawn by as many processes as there are CPUs."""
    workers = min(os.cpu_count() or 1, 8) if len(drawings) >= MANY else 1
    drawn: list[dict[str, bytes | str]] = Parallel(n_jobs=workers)(
        delayed(_files)(stem, drawing) for stem, drawing in drawings.items()
    )
    if workers > 1:
        get_reusable_executor().shutdown()
    return drawn


def _files(stem: str, drawing: Drawing) -> dict[str, bytes | str]:
    settle(drawing.figure)
    return {
        f"{stem}.svg": svg(drawing.figure),
        f"{stem}.pdf": pdf(drawing.figure),
        f"{stem}.png": png(drawing.figure),
        f"{stem}.csv": _csv(drawing.data),
    }


def _picture(stem: str, drawing: Drawing) -> Picture:
    photographs = drawing.stem in ("examples", "attention")
    return Picture(
        stem=stem,
        file=f"{stem}.png" if photographs else f"{stem}.svg",
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
