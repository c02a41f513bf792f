"""One self-contained HTML page for all plans of a study: no scripts, no network, figures inside."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports.entries import METRICS, Column, Missing
from reports.examples import Examples
from reports.findings import cautions, details, lead
from reports.formats import (
    cells_text,
    column_groups,
    column_title,
    comparability,
    dataset_name,
    direction,
    effect_text,
    heading,
    mark_text,
    missing_text,
    no_interval_reason,
    percent,
    points,
    probability,
    published_text,
    seeds_text,
    selected_alone,
    verdict_text,
    warnings,
)
from reports.provenance import Provenance
from reports.records import Arm
from reports.statistics import Effect, Summary
from reports.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An encoded figure: `file` is its name beside the page, `alt` says what it shows, `primary` that it leads."""

    file: str
    kind: str
    content: bytes
    alt: str
    primary: bool = True
    width: int | None = None

    @property
    def uri(self) -> str:
        """The figure as a data URI."""
        media = {"svg": "image/svg+xml", "png": "image/png"}[self.kind]
        return f"data:{media};base64,{base64.b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Everything that the page shows of one plan."""

    table: Table
    provenance: Provenance
    forests: Sequence[Picture]
    heatmaps: Sequence[Picture]
    examples: Examples | None
    example_picture: Picture | None


def render_page(sections: Sequence[Section]) -> str:
    """The page as HTML; equal sections give equal text."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2").render(plans=[_plan_view(section) for section in sections])


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
        "dataset_title": plan.dataset_title,
        "comparability": comparability(plan),
        "has_published_effects": any(
            value.effect is not None for entry in table.entries.values() for value in entry.published
        ),
        "marks": table.marks,
        "arms": [_arm_view(table, arm) for arm in plan.arms],
        "scores": [_score_view(table, columns) for columns in column_groups(table.columns)],
        "effects": [_effect_view(table, columns) for columns in column_groups(table.columns)],
        "categories": [_category_view(table, column) for column in table.columns],
        "category_names": plan.categories,
        "forests": _front(section.forests),
        "heatmaps": _front(section.heatmaps),
        "examples": section.examples,
        "example_picture": section.example_picture,
        "facts": section.provenance.facts,
        "problems": section.provenance.problems,
        "support": section.provenance.support,
        "support_differs": section.provenance.support_differs,
        "left_out": plan.left_out,
    }


def _unbroken(text: str) -> str:
    """The text with spaces and hyphens at which a line must not break: "n = 3", "1-shot"."""
    text = text.replace("n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return text.replace("-shot", "\N{NON-BREAKING HYPHEN}shot")


def _front(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Figures to show at once and figures to fold away: with more than four, only AUROC is in front."""
    front = [picture for picture in pictures if picture.primary or len(pictures) <= 4] or list(pictures)
    return front, [picture for picture in pictures if picture not in front]


def _arm_view(table: Table, arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "label": arm.label,
        "baseline": table.is_baseline(arm),
        "marks": [mark_text(arm.marks.get(mark)) for mark in table.marks],
        "changes": ", ".join(f"{path} = {value}" for path, value in arm.changes.items()) or "nothing",
    }


def _score_view(table: Table, columns: Sequence[Column]) -> dict[str, Any]:
    """Columns of scores; a column with published numbers is followed by one of them per data set."""
    datasets = [
        tuple(
            dict.fromkeys(
                value.dataset for arm in table.plan.arms for value in table.entries[arm.name, column].published
            )
        )
        for column in columns
    ]
    return {
        "heads": [
            {
                "title": METRICS[column.metric][0],
                "shots": column.shots,
                "published": [f"published, {dataset_name(name)}" for name in names],
            }
            for column, names in zip(columns, datasets, strict=True)
        ],
        "rows": [
            [
                cell
                for column, names in zip(columns, datasets, strict=True)
                for cell in _score_cells(table, arm, column, names)
            ]
            for arm in table.plan.arms
        ],
    }


def _score_cells(table: Table, arm: Arm, column: Column, datasets: Sequence[str]) -> list[dict[str, Any]]:
    entry = table.entries[arm.name, column]
    cells: list[dict[str, Any]] = [_value_cell(entry.value, entry.shortfall)]
    cells[0]["selected"] = selected_alone(table, entry)
    for dataset in datasets:
        value = next((value for value in entry.published if value.dataset == dataset), None)
        cells.append(
            {
                "class": "published",
                "main": "none published" if value is None else published_text(value),
                "lines": [verdict_text(value)] if value is not None and table.plan.comparable else [],
                "notes": [],
                "missing": value is None,
                "selected": False,
            }
        )
    return cells


def _value_cell(value: Summary | Missing, shortfall: Missing | None) -> dict[str, Any]:
    if isinstance(value, Missing):
        lines = [] if value.kind in ("unavailable", "not planned") else [value.reason]
        return {"class": "ours", "main": value.text, "lines": [], "notes": lines, "missing": True, "selected": False}
    if value.interval is None:
        lines = [no_interval_reason(value), seeds_text(value.n)]
    else:
        low, high = value.interval
        lines = [f"{percent(low)} to {percent(high)}", f"n = {value.n}, SD {percent(value.sd or 0.0)}"]
    notes = [] if shortfall is None else [missing_text(shortfall)]
    main = percent(value.mean)
    return {"class": "ours", "main": main, "lines": lines, "notes": notes, "missing": False, "selected": False}


def _effect_view(table: Table, columns: Sequence[Column]) -> dict[str, Any]:
    return {
        "heads": [column_title(column) for column in columns],
        "rows": [[_effect_cell(table, arm, column) for column in columns] for arm in table.plan.arms],
    }


def _effect_cell(table: Table, arm: Arm, column: Column) -> dict[str, Any]:
    entry = table.entries[arm.name, column]
    effect = entry.effect
    if effect is None:
        main = "baseline" if table.is_baseline(arm) else "no baseline"
        return {"class": "base", "main": main, "lines": [], "notes": [], "missing": True}
    if isinstance(effect, Missing):
        return {"class": "base", "main": effect.text, "lines": [], "notes": [effect.reason], "missing": True}
    return {
        "class": direction(effect),
        "main": points(effect.summary.mean),
        "lines": _effect_lines(effect),
        "notes": [] if entry.effect_shortfall is None else [missing_text(entry.effect_shortfall)],
        "missing": False,
    }


def _effect_lines(effect: Effect) -> list[str]:
    summary = effect.summary
    bounds = summary.interval
    lines = [
        f"{points(bounds[0])} to {points(bounds[1])}, n = {summary.n}"
        if bounds is not None
        else f"{no_interval_reason(summary)}, n = {summary.n}"
    ]
    if effect.p is not None:
        lines.append(f"p {probability(effect.p)}, Holm {probability(effect.p_holm)}")
    return [*lines, f"categories: {effect.up} up, {effect.down} down, {effect.tied} equal"]


def _category_view(table: Table, column: Column) -> dict[str, Any]:
    rows = []
    for arm in table.plan.arms:
        cells = []
        for category in table.plan.categories:
            found = table.by_category[arm.name, column, category]
            cell = _value_cell(found.value, found.shortfall)
            if isinstance(found.delta, Summary):
                cell["lines"] = [*cell["lines"], f"effect {effect_text(found.delta)}"]
            cells.append(cell)
        rows.append({"label": arm.label, "cells": cells})
    return {"title": column_title(column), "rows": rows}
