"""The verb ``search``: trials until there are as many as asked for, then the best of them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from promptad.cache_folder import default_root
from study.arguments import search_request
from study.codebase import check_code
from study.dispatch import Finished
from study.driver import Driver
from study.exits import FAILED
from study.ledger import Ledger
from study.methods import MethodConfig, MethodError, check_name, write_method
from study.progress import Progress
from study.running import (
    cache_cap,
    check_execution,
    connect_ray,
    execute,
    ray_resources,
    serial_resources,
    sole_driver,
)
from study.trials import SearchLog, TrialRecord

if TYPE_CHECKING:
    from study.cell import Cell
    from study.search import Search
    from study.search_plan import SearchPlan


def search(options: argparse.Namespace) -> int:
    """Run the trials that are missing, export them, and print the best; with ``--promote`` store the best config."""
    check_execution(options)
    if options.code is not None:
        check_code(options.code)
    request = search_request(options)
    from study.objectives import named_objective
    from study.samplers import check_sampler
    from study.search_plan import plan_search

    check_sampler(request.sampler, single=named_objective(request.objective).single)
    if options.promote is not None:
        check_name(options.promote)
        if not named_objective(request.objective).single:
            raise MethodError(f"objective {request.objective} has a front and no single best config to --promote")
    plan = plan_search(request)
    ledger = Ledger(options.study)
    with sole_driver(ledger) as driver:
        found = _search_as(driver, options, ledger, plan)
        failed = sum(record.state == "failed" for record in found.records.values())
        driver.end("failed" if failed else "finished", FAILED if failed else 0)
    return FAILED if failed else 0


def _search_as(driver: Driver, options: argparse.Namespace, ledger: Ledger, plan: SearchPlan) -> Search:
    """The work of the driver that holds the study folder."""
    from study.search import Search
    from study.search_export import journal
    from study.search_text import begun, ended, held_out_text

    log = SearchLog(ledger.folder, plan.id)
    stored = log.document() or {}
    document = {**plan.document, "trials": max(options.trials, stored.get("trials", 0)), "report": stored.get("report")}
    log.write_document(document)
    found = Search(plan, ledger, log, trials=options.trials)
    print(begun(found, options.trials), flush=True)
    _run_trials(driver, options, ledger, found)
    if found.records:
        log.write_journal(journal(found))
    print(ended(found))
    best = found.best()
    if plan.held_out and best is not None:
        document["report"] = _held_out(driver, options, ledger, plan, best)
        log.write_document(document)
        print(held_out_text(document["report"]))
    if options.promote is not None:
        if best is None:
            raise MethodError("no trial is complete, so there is nothing to promote: see why the trials failed")
        _promote(options.promote, ledger, plan, best, len(found.records))
    return found


def _run_trials(driver: Driver, options: argparse.Namespace, ledger: Ledger, found: Search) -> None:
    per_trial = len(found.plan.cells({}))
    to_run = max(0, options.trials - len(found.records)) * per_trial
    driver.plan(planned=options.trials * per_trial, to_run=to_run)
    if found.full:
        return
    connect_ray(options)
    with Progress(to_run) as progress:
        from study.search_text import trial_line

        found.on_trial = lambda record: progress.notice(trial_line(record))

        def on_finished(finished: Finished) -> None:
            driver.finished(finished.status)
            progress.finished(finished)

        if options.executor == "serial":
            from promptad.cache import FeatureCache
            from study.serial_search import search_serially
            from study.trial_bench import TrialBench

            bench = TrialBench(
                cache=FeatureCache(default_root(), cap=cache_cap(options)),
                categories=found.plan.categories,
                tasks=found.plan.request.tasks,
                **serial_resources(options),
            )
            search_serially(bench, ledger, found, on_finished, on_pulse=driver.pulse, timeout=options.timeout)
            return
        from study.ray_search import search_on_ray

        search_on_ray(
            ledger,
            found,
            on_finished=on_finished,
            on_pulse=driver.pulse,
            on_notice=progress.notice,
            timeout=options.timeout,
            **ray_resources(options),
        )


def _held_out(
    driver: Driver, options: argparse.Namespace, ledger: Ledger, plan: SearchPlan, best: TrialRecord
) -> dict[str, Any]:
    """Run the winner and the base on the categories that were held out."""
    asked = {"winner": plan.cells(best.params, plan.held_out), "base": plan.cells({}, plan.held_out)}
    cells = {cell.digest: cell for some in asked.values() for cell in some}
    rows = ledger.rows(cells)
    missing = [cell for digest, cell in cells.items() if digest not in rows or rows[digest].status != "ok"]
    if missing:
        connect_ray(options)
        execute(driver, options, ledger, plan.groups(missing))
    judged = {who: _judged(ledger, plan, some) for who, some in asked.items()}
    judged["winner"]["trial"] = best.number
    return {"held_out": list(plan.held_out), **judged}


def _judged(ledger: Ledger, plan: SearchPlan, cells: Sequence[Cell]) -> dict[str, Any]:
    from study.objectives import step_of

    rows = ledger.rows([cell.digest for cell in cells])
    digests = [cell.digest for cell in cells]
    if any(digest not in rows or rows[digest].status != "ok" for digest in digests):
        return {"value": None, "cells": digests, "steps": []}
    steps = [step_of(rows[digest]) for digest in digests]
    told = [dataclasses.asdict(step) for step in steps]
    return {"value": plan.objective.values(steps, rows)[0], "cells": digests, "steps": told}


def _promote(where: str, ledger: Ledger, plan: SearchPlan, best: TrialRecord, trials: int) -> None:
    config, backbone, shots = plan.config(best.params)
    document = plan.document
    provenance = {
        "search": plan.id,
        "space": document["name"],
        "objective": document["objective"]["name"],
        "label": document["objective"]["label"],
        "tuned_on": document["objective"]["tuned_on"],
        "on_test": document["objective"]["on_test"],
        "trial": best.number,
        "params": dict(best.params),
        "value": (best.values or (None,))[0],
        "cells": list(best.cells),
        "trials": trials,
        "sampler": document["sampler"],
        "seed": document["seed"],
        "backbone": backbone.text,
        "weights": backbone.weights,
        "dataset": document["dataset"],
        "categories": document["categories"],
        "shots": shots,
        "seeds": document["seeds"],
    }
    place = write_method(
        MethodConfig(name=check_name(where), config=config, provenance=provenance), where, ledger.folder
    )
    print(f"promoted trial {best.number} to {place}: use it with  run.py run table1 --method {where}")
