"""The verb ``search``: runs the requested number of trials, then prints the best."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, assert_never

from reports.reading.shapes import Document
from study.codebase import check_code
from study.command.arguments import search_request
from study.command.driver import Driver
from study.command.execution_arguments import SearchOptions, search_options
from study.command.exits import FAILED
from study.command.look_verbs import write_report_of
from study.command.progress import Progress
from study.command.run_verb import connect_ray, execute, listeners_of, serial_device, sole_driver, warn
from study.planning.promoted import MethodConfig, MethodError, check_name, write_method
from study.records.ledger import Ledger
from study.running.execution_options import ExecutionOptions
from study.search.trial_records import SearchLog, TrialRecord

if TYPE_CHECKING:
    from study.records.group import Group
    from study.search.engine import Search
    from study.search.search_plan import SearchPlan
    from study.search.trial_bench import TrialBench


def search(options: argparse.Namespace) -> int:
    """Run the missing trials, export them, and print the best; with ``--promote`` store the best config."""
    asked = search_options(options)
    if options.code is not None:
        check_code(options.code)
    request = search_request(options)
    from study.search.objectives import named_objective
    from study.search.samplers import check_sampler
    from study.search.search_plan import plan_search

    check_sampler(request.sampler, single=named_objective(request.objective).single)
    if asked.promote is not None:
        check_name(asked.promote)
        if not named_objective(request.objective).single:
            raise MethodError(f"objective {request.objective} has a front and no single best config to --promote")
    plan = plan_search(request)
    ledger = Ledger(options.study)
    with sole_driver(ledger) as driver:
        found = _search_as(driver, asked, ledger, plan)
        failed = sum(record.state == "failed" for record in found.records.values())
        driver.end("failed" if failed else "finished", FAILED if failed else 0)
    return FAILED if failed else 0


def _search_as(driver: Driver, options: SearchOptions, ledger: Ledger, plan: SearchPlan) -> Search:
    """The work of the driver that holds the study folder."""
    from study.search.engine import Search
    from study.search.optuna_journal import journal
    from study.search.search_text import begun, ended

    log = SearchLog(ledger.folder, plan.id)
    stored = log.document() or {}
    document = {**plan.document, "trials": max(options.trials, stored.get("trials", 0))}
    document |= {name: stored.get(name) for name in ("report", "fresh")}
    log.write_document(document)
    found = Search(plan, ledger, log, trials=options.trials)
    print(begun(found, options.trials), flush=True)
    _run_trials(driver, options, ledger, found)
    if found.records:
        log.write_journal(journal(found))
    print(ended(found))
    best = found.best()
    document |= _reevaluated(driver, options, ledger, found)
    log.write_document(document)
    write_report_of(ledger, None, names=set())
    if options.promote is not None:
        if best is None:
            raise MethodError("no trial is complete, so there is nothing to promote: see why the trials failed")
        _promote(options.promote, ledger, plan, best, len(found.records))
    return found


def _run_trials(driver: Driver, options: SearchOptions, ledger: Ledger, found: Search) -> None:
    per_trial = len(found.plan.cells({}))
    to_run = max(0, options.trials - len(found.records)) * per_trial
    driver.plan(planned=options.trials * per_trial, to_run=to_run)
    if found.full:
        return
    connect_ray(options.execution)
    with Progress(to_run) as progress:
        from study.search.search_text import trial_line

        found.on_trial = lambda record: progress.notice(trial_line(record))

        listeners = listeners_of(driver, progress)
        match options.execution.executor:
            case "serial":
                from study.search.serial_search import search_serially

                bench = _serial_bench(options.execution, found)
                search_serially(bench, ledger, found, listeners, timeout=options.timeout)
            case "ray":
                from study.search.ray_search import search_on_ray

                search_on_ray(ledger, found, options.execution, listeners, timeout=options.timeout)
            case other:
                assert_never(other)


def _serial_bench(options: ExecutionOptions, found: Search) -> TrialBench:
    from study.search.trial_bench import TrialBench

    return TrialBench(
        cache=options.cache.feature_cache(),
        device=serial_device(options),
        threads=options.cpus,
        categories=found.plan.categories,
        tasks=found.plan.request.tasks,
    )


def _reevaluated(driver: Driver, options: SearchOptions, ledger: Ledger, found: Search) -> Document:
    """What the document gets of the winners where the search did not look: ``report`` and ``fresh``."""
    from study.planning.plan import PlanError
    from study.search.reevaluation import on_fresh_seeds, on_held_out, winners
    from study.search.search_text import held_out_text

    def run(groups: Sequence[Group]) -> None:
        connect_ray(options.execution)
        execute(options.execution, ledger, groups, driver)

    told: dict[str, Any] = {}
    best, chosen = found.best(), winners(found)
    if found.plan.held_out and best is not None:
        told["report"] = on_held_out(found.plan, best, ledger, run)
        print(held_out_text(told["report"]))
    if options.fresh and chosen:
        names = ", ".join(str(record.number) for record in chosen)
        print(f"trials {names} and the paper's values on {options.fresh} fresh seeds, on test images", flush=True)
        try:
            told["fresh"] = on_fresh_seeds(found, options.fresh, ledger, run)
        except PlanError as error:
            warn(f"not re-evaluated on fresh seeds: {str(error).splitlines()[0]}")
    return told


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
