"""A search's choice judged on data that the search did not use: held-out categories and fresh seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from study.planning.data_source import Opened
from study.planning.plan import PlanError, open_categories
from study.records.cell import Cell
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.row import Row
from study.search.engine import Search
from study.search.objectives import step_of
from study.search.search_plan import SearchPlan, grouped
from study.search.search_text import best_trials
from study.search.trial_records import TrialRecord

RunGroups = Callable[[Sequence[Group]], None]
"""Runs the cells of groups; afterwards each has a row."""

MOST_WINNERS = 3
"""Number of trials that run again on fresh seeds; with several objectives the best of each."""


def on_held_out(plan: SearchPlan, best: TrialRecord, ledger: Ledger, run: RunGroups) -> dict[str, object]:
    """Winner and base config on the categories that were held out, for the search's document."""
    opened, seeds = {name: plan.opened[name] for name in plan.held_out}, range(plan.request.study.seeds)
    asked = {
        who: plan.cells_on(opened, params, seeds=seeds, query=plan.objective.query)
        for who, params in (("winner", best.params), ("base", {}))
    }
    rows = _run_missing(opened, asked, ledger, run)
    judged = {who: _judged(plan, cells, rows) for who, cells in asked.items()}
    judged["winner"]["trial"] = best.number
    return {"held_out": list(plan.held_out), **judged}


def on_fresh_seeds(found: Search, count: int, ledger: Ledger, run: RunGroups) -> dict[str, object]:
    """Best trials and the paper's values on test images at ``count`` seeds after the search's, for its document.

    Raises:
        PlanError: if the categories have no test images that can be read.
    """
    plan = found.plan
    study = dataclasses.replace(plan.request.study, categories=plan.tune)
    opened, seeds = open_categories(study), range(study.seeds, study.seeds + count)
    if empty := [name for name, category in opened.items() if not category.data.test]:
        raise PlanError(f"there are no test images of {', '.join(empty)}")
    asked = {
        str(record.number): plan.cells_on(opened, record.params, seeds=seeds, query="test") for record in winners(found)
    }
    asked["base"] = plan.cells_on(opened, plan.request.space.paper_values() or {}, seeds=seeds, query="test")
    _run_missing(opened, asked, ledger, run)
    digests = {who: [cell.digest for cell in cells] for who, cells in asked.items()}
    return {"seeds": list(seeds), "default": digests.pop("base"), "trials": digests}


def winners(found: Search) -> list[TrialRecord]:
    """The trials that run on fresh seeds: the best few, or with several objectives the best of each."""
    best = best_trials(found)
    directions = found.plan.objective.directions
    if len(directions) == 1 or not best:
        return best[:MOST_WINNERS]
    chosen: dict[int, TrialRecord] = {}
    for place, direction in enumerate(directions):
        sign = 1 if direction == "maximize" else -1
        ahead = max(best, key=lambda record: (sign * (record.values or ())[place], -record.number))
        chosen[ahead.number] = ahead
    return list(chosen.values())


def _run_missing(opened: Opened, asked: Mapping[str, Sequence[Cell]], ledger: Ledger, run: RunGroups) -> dict[str, Row]:
    """The rows of all requested cells, after those without a row (or with a failed one) were run."""
    cells = {cell.digest: cell for some in asked.values() for cell in some}
    rows = ledger.rows(cells)
    missing = [cell for digest, cell in cells.items() if digest not in rows or rows[digest].status != "ok"]
    if not missing:
        return rows
    run(grouped(missing, {name: category.data for name, category in opened.items()}))
    return ledger.rows(cells)


def _judged(plan: SearchPlan, cells: Sequence[Cell], rows: Mapping[str, Row]) -> dict[str, object]:
    digests = [cell.digest for cell in cells]
    if any(digest not in rows or rows[digest].status != "ok" for digest in digests):
        return {"value": None, "cells": digests, "steps": []}
    steps = [step_of(rows[digest]) for digest in digests]
    value = plan.objective.values(steps, rows)[0]
    assert math.isfinite(value)
    return {"value": value, "cells": digests, "steps": [dataclasses.asdict(step) for step in steps]}
