"""Plans as JSON, which a test can change key by key, and the tables and reports of such."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reports.reading.plan_document import Plan
from reports.report import write_report
from reports.tables.table import Table, build_table
from study.planning.plan import StudyPlan


def table_of(document: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """The table of a plan's JSON."""
    return build_table(Plan.from_json(document), rows)


def report_of(*, plans: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """The page of a report on plans as JSON."""
    return write_report(plans=[Plan.from_json(document) for document in plans], **options).page


def documents_of(planned: StudyPlan) -> list[dict[str, Any]]:
    """The plans of a study as JSON."""
    return [document_of(plan) for plan in planned.documents.values()]


def document_of(plan: Plan) -> dict[str, Any]:
    """A plan as JSON, each of its cells by itself, as older versions list them."""
    listed = {"cells": [asdict(cell) for cell in plan.cells], "proxies": [asdict(cell) for cell in plan.proxies]}
    return plan.as_json() | listed
