"""Write the report of a study: the page, the tables and the figures."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reports.entries import Column
from reports.examples import Loader, choose_examples, example_panel
from reports.figures import category_heatmap, forest_plot, png, svg
from reports.findings import PRIMARY
from reports.formats import column_title, warnings
from reports.latex import to_latex
from reports.page import Picture, Section, render_page
from reports.provenance import trace
from reports.render import to_markdown
from reports.tables import Table, build_table
from reports.tidy import to_category_csv, to_csv

# A plan's name becomes part of file names and of the page's anchors.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def write_report(
    *,
    plans: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    examples: Loader,
    out: Path,
) -> Path:
    """Write out/index.html, out/tables/<plan>.{md,tex,csv}, <plan>_categories.csv and out/figures/; return the page.

    Nothing depends on the clock, the machine or the order of `rows`: the same plans and rows give the same bytes.

    Raises:
        ValueError: if there is no plan, two plans share a name, a name is no file name, or a plan or row is invalid.
    """
    names = [str(plan.get("name", "")) for plan in plans]
    if not names:
        raise ValueError("a report needs at least 1 plan, but got 0: run an ablation first")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"plans must have different names, but these repeat: {', '.join(repeated)}")
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"a plan's name must be letters, digits, '_', '.' or '-', but got {name!r}: rename it")

    sections = []
    for raw in plans:
        table = build_table(raw, rows)
        name = table.plan.name
        _write(out / "tables" / f"{name}.md", to_markdown(table).encode())
        _write(out / "tables" / f"{name}.tex", to_latex(table).encode())
        _write(out / "tables" / f"{name}.csv", to_csv(table).encode())
        _write(out / "tables" / f"{name}_categories.csv", to_category_csv(table).encode())
        section = _section(table, rows, examples)
        for picture in [*section.forests, *section.heatmaps, section.example_picture]:
            if picture is not None:
                _write(out / "figures" / picture.file, picture.content)
        sections.append(section)
    page = out / "index.html"
    _write(page, render_page(sections).encode())
    return page


def _section(table: Table, rows: Mapping[str, Mapping[str, Any]], loader: Loader) -> Section:
    chosen = choose_examples(table, loader)
    picture = None
    if chosen is not None:
        alt = (
            f"Test images located best and worst by {chosen.arm.label}, with ground truth and anomaly maps; the "
            f"caption says how to read them."
        )
        panel = example_panel(chosen, ", ".join(warnings(table)))
        picture = Picture(file=f"{table.plan.name}_examples.png", kind="png", content=png(panel), alt=alt)
    return Section(
        table=table,
        provenance=trace(table.plan, rows),
        forests=_pictures(table, "forest", "Paired effects with a dot per seed and 95% intervals", forest_plot),
        heatmaps=_pictures(table, "categories", "Mean difference by arm and category", category_heatmap),
        examples=chosen,
        example_picture=picture,
    )


def _pictures(
    table: Table, kind: str, what: str, draw: Callable[[Table, Column], Figure | None]
) -> tuple[Picture, ...]:
    pictures = []
    for column in table.columns:
        figure = draw(table, column)
        if figure is not None:
            pictures.append(
                Picture(
                    file=f"{table.plan.name}_{kind}_{column.metric}_{column.shots}shot.svg",
                    kind="svg",
                    content=svg(figure),
                    alt=f"{what}: {column_title(column)}. The same numbers are in the tables of this section.",
                    primary=column.metric in PRIMARY,
                    width=round(96 * figure.get_figwidth()),
                )
            )
    return tuple(pictures)


def _write(path: Path, content: bytes) -> None:
    """Write whole, then rename, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
