"""The page of a study: one HTML file that opens from disk; figures, pictures and cells lie beside it."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.made import PagePart
from reports.outputs.provenance import Provenance
from reports.outputs.ranks_text import NOTE, rank_facts, rank_grid, rank_sentences
from reports.searches.search import Search
from reports.searches.search_words import (
    search_cautions,
    search_details,
    search_facts,
    search_lead,
    search_question,
    search_title,
    search_trust,
    search_warnings,
)
from reports.statistics import SETTLED, Effect, Summary, claim
from reports.tables.cautions import cautions
from reports.tables.entries import Missing
from reports.tables.findings import details, lead
from reports.tables.formats import cells_text, heading, seeds_text, warnings
from reports.tables.ranks import Ranking
from reports.tables.table import Table
from reports.tables.verdicts import comparable_numbers
from reports.views.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure's files beside the page: `stem` has .csv and every one of `formats`; `file` is the one that is shown."""

    stem: str
    file: str
    formats: tuple[str, ...]
    alt: str
    width: int
    height: int
    wide: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A view with the files of its figures."""

    kind: str
    view: View
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Everything that the page shows of one plan."""

    table: Table
    provenance: Provenance
    shown: Sequence[Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSection:
    """Everything that the page shows of one search; `rows` hold its cells on fresh seeds."""

    id: str
    search: Search
    rows: Mapping[str, Mapping[str, object]]
    shown: Sequence[Shown]


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _asset(name: str) -> Markup:
    # Our own files, which hold no user's text.
    return Markup(files("reports").joinpath("templates", name).read_text(encoding="utf-8"))


def plan_part(section: Section) -> PagePart:
    """The section of a plan; equal sections give equal text."""
    view = _plan_view(section)
    failed = (problem for problem in section.provenance.problems if problem.status not in ("missing", "unavailable"))
    return PagePart(
        id=view["id"],
        title=view["title"],
        complete=view["complete"],
        tally=view["cells"],
        lead=view["lead"],
        trust=view["trust"],
        html=_templates().get_template("plan.html.j2").render(plan=view),
        failed=tuple({"status": each.status, "reason": each.reason, "count": len(each.cells)} for each in failed),
        left_out=tuple((str(image), str(reason)) for image, reason in view["left_out"]),
    )


def search_part(section: SearchSection) -> PagePart:
    """The section of a search; equal sections give equal text."""
    view = _search_view(section)
    return PagePart(
        id=view["id"],
        title=view["title"],
        complete=view["complete"],
        tally=view["trials"],
        lead=view["lead"],
        trust=view["trust"],
        html=_templates().get_template("search.html.j2").render(search=view),
    )


def render_page(
    plans: Sequence[PagePart],
    *,
    tables: Sequence[Table],
    heatmaps: Mapping[str, object],
    damaged: Mapping[str, str],
    searches: Sequence[PagePart] = (),
    ranks: Sequence[Ranking] = (),
) -> str:
    """The page as HTML; equal parts give equal text. `ranks` are the rankings over `tables` by method."""
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            plans=plans,
            searches=searches,
            ranks=[_rank_view(ranking) for ranking in ranks],
            ranks_note=NOTE,
            totals=_totals(tables),
            heatmaps=heatmaps,
            damaged=sorted(damaged.items()),
            style=_asset("page.css"),
            script=_asset("page.js"),
        )
    )


def _totals(tables: Sequence[Table]) -> dict[str, object]:
    """Totals over all plans, every cell counted once."""
    states: dict[str, str] = {}
    for table in tables:
        for cell in table.plan.cells:
            row = table.rows.found.get(cell.digest)
            found = "damaged" if cell.digest in table.rows.faults else "missing"
            states[cell.digest] = found if row is None else row.status
    counts = dict(sorted(Counter(states.values()).items()))
    return {"cells": len(states), "ok": counts.get("ok", 0), "rest": {k: v for k, v in counts.items() if k != "ok"}}


def _plan_view(section: Section) -> dict[str, Any]:
    table, plan = section.table, section.table.plan
    return {
        "id": plan.name,
        "title": plan.title,
        "question": plan.question,
        "note": plan.method_note,
        "lead": _unbroken(lead(table)),
        "details": [_unbroken(sentence) for sentence in details(table)],
        "cautions": cautions(table),
        "warnings": warnings(table),
        "complete": table.complete,
        "cells": cells_text(table),
        "heading": heading(table),
        "tabulated": bool(table.columns),
        "trust": _trust(table),
        "shown": section.shown,
        "arms": [(arm, ", ".join(f"{k} = {v}" for k, v in arm.changes.items()) or "nothing") for arm in plan.arms],
        "facts": section.provenance.facts,
        "problems": section.provenance.problems,
        "support": section.provenance.support,
        "support_differs": section.provenance.support_differs,
        "left_out": plan.left_out,
    }


def _rank_view(ranking: Ranking) -> dict[str, object]:
    return {
        "facts": rank_facts(ranking),
        "says": _unbroken(" ".join(rank_sentences(ranking))),
        "grid": rank_grid(ranking),
    }


def _search_view(section: SearchSection) -> dict[str, Any]:
    search = section.search
    reasons: dict[str, list[int]] = {}
    for trial in search.trials:
        if trial.state == "failed":
            reasons.setdefault(trial.reason or "no reason recorded", []).append(trial.number)
    return {
        "id": section.id,
        "title": search_title(search),
        "question": search_question(search),
        "lead": _unbroken(search_lead(search, section.rows)),
        "details": [_unbroken(sentence) for sentence in search_details(search)],
        "cautions": search_cautions(search),
        "warnings": search_warnings(search),
        "complete": len(search.trials) >= search.asked,
        "trials": f"{len(search.complete)} of {max(search.asked, len(search.trials))} trials complete",
        "trust": search_trust(search),
        "shown": section.shown,
        "facts": search_facts(search),
        "failed": sorted(reasons.items()),
        "any_complete": bool(search.complete),
    }


def _trust(table: Table) -> tuple[tuple[str, str], ...]:
    """Short marks of how far to trust a table, each with a tone: good, warn or plain."""
    plan = table.plan
    total, ok = sum(table.counts.values()), table.counts.get("ok", 0)
    if not total:
        return ((plan.dataset_title, "plain"),)
    marks = [(f"{ok} of {total} cells", "good" if table.complete else "warn")]
    marks.append((seeds_text(len(plan.seeds)), "plain" if len(plan.seeds) >= 3 else "warn"))
    marks.append((plan.weights_label, "warn" if plan.random_arms else "plain"))
    marks.append((plan.dataset_title, "plain"))
    comparable, printed = comparable_numbers(plan)
    if printed:
        all_or_none = {printed: "comparable with the paper", 0: "not comparable with the paper"}
        some = f"{comparable} of {printed} printed numbers comparable"
        marks.append((all_or_none.get(comparable, some), "plain"))
    effects = [entry.effect for entry in table.entries.values() if isinstance(entry.effect, Effect)]
    if effects:
        settled = sum(claim(effect) in SETTLED for effect in effects)
        marks.append((f"{settled} of {len(effects)} effects settled", "plain"))
    marks += [(mark, "warn") for mark in warnings(table)]
    numbers = [entry for entry in table.entries.values() if isinstance(entry.value, Summary)]
    missing = [entry for entry in table.entries.values() if isinstance(entry.value, Missing)]
    if missing and numbers:
        marks.append((f"{len(missing)} of {len(missing) + len(numbers)} places without a number", "plain"))
    return tuple(marks)


def _unbroken(text: str) -> str:
    """The text with spaces and hyphens at which a line must not break: "n = 3", "1-shot"."""
    text = text.replace("n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return text.replace("-shot", "\N{NON-BREAKING HYPHEN}shot")
