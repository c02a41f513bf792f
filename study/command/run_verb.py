"""The verb ``run``: every missing cell, then the report."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from promptad.features.cache_folder import default_root, why_not_writable
from study.codebase import check_code
from study.command.arguments import UsageError
from study.command.driver import Driver
from study.command.exits import FAILED
from study.command.look_verbs import planned, write_report_of
from study.command.progress import Progress
from study.planning.data_source import SYNTHETIC
from study.records.ledger import Ledger
from study.records.row import Row
from study.running.dispatcher import Finished

if TYPE_CHECKING:
    from study.planning.plan import StudyPlan
    from study.records.group import Group


class TakenOverError(ValueError):
    """A study folder that another driver took while this one did not move."""


def run(options: argparse.Namespace) -> int:
    """Run every missing cell, then write the report; the exit code says whether cells failed."""
    check_execution(options)
    if options.code is not None:
        check_code(options.code)
    plan = planned(options)
    ledger = Ledger(options.study)
    with sole_driver(ledger) as driver:
        failed = _run_as(driver, options, ledger, plan)
        message = f"{failed} cells failed and are named in the report; run again to retry them"
        driver.end("failed" if failed else "finished", FAILED if failed else 0, message if failed else None)
    if failed:
        warn(message)
        return FAILED
    return 0


@contextlib.contextmanager
def sole_driver(ledger: Ledger) -> Iterator[Driver]:
    """This process as the one driver of a study folder.

    Raises:
        LockedError: another one holds it.
        TakenOverError: another one took it meanwhile.
    """
    driver = Driver(ledger.folder, say=warn)
    try:
        with driver:
            yield driver
    except KeyboardInterrupt:
        if driver.lost:
            raise TakenOverError(
                f"study folder {ledger.location} was taken over by another driver while this one did not move; it goes "
                "on there, this one ends"
            ) from None
        raise


def _run_as(driver: Driver, options: argparse.Namespace, ledger: Ledger, plan: StudyPlan) -> int:
    """The work of the driver that holds the study folder; returns how many cells failed."""
    rows = ledger.rows(plan.cells)
    stored = {document["name"]: len(document["seeds"]) for document in ledger.plans()}
    for name, document in plan.documents.items():
        # A table over more seeds stays as it is; this request is part of it.
        if stored.get(name, 0) <= len(document["seeds"]):
            ledger.write_plan(name, document)
    for digest, reason in plan.unavailable.items():
        if digest not in rows:
            ledger.write_row(Row(cell=plan.cells[digest], status="unavailable", reason=reason))
    missing = [
        digest
        for digest in plan.cells
        if digest not in plan.unavailable and (digest not in rows or rows[digest].status not in ("ok", "pruned"))
    ]
    driver.plan(planned=len(plan.cells), to_run=len(missing))
    print(f"{len(plan.cells)} cells planned, {len(plan.cells) - len(missing)} need no work, {len(missing)} to run")
    if missing:
        connect_ray(options)
        execute(driver, options, ledger, plan.groups(missing))
    write_report_of(ledger, None, names=set(plan.documents))
    return sum(row.status == "failed" for row in ledger.rows(plan.cells).values())


def warn(message: str) -> None:
    """Say something that is no result."""
    print(message, file=sys.stderr, flush=True)


def check_execution(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` that names every option of an execution that is out of its domain."""
    problems = []
    if options.cpus_per_trial < 1:
        problems.append(f"--cpus-per-trial must be at least 1, but got {options.cpus_per_trial}")
    if options.gpus_per_trial is not None and not 0 <= options.gpus_per_trial < math.inf:
        problems.append(f"--gpus-per-trial must be at least 0, but got {options.gpus_per_trial}")
    if not 0 <= options.cell_timeout < math.inf:
        problems.append(f"--cell-timeout must be at least 0 minutes, but got {options.cell_timeout}")
    if not 0 < options.cache_gb < math.inf:
        problems.append(f"--cache-gb must be above 0, but got {options.cache_gb}")
    if options.nodes < 1:
        problems.append(f"--nodes must be at least 1, but got {options.nodes}")
    if not 0 <= options.nodes_timeout < math.inf:
        problems.append(f"--nodes-timeout must be at least 0, but got {options.nodes_timeout}")
    if options.study.startswith("memory:"):
        problems.append(f"--study must outlive this process, but {options.study} is in its memory: name a folder")
    if problems:
        raise UsageError("; ".join(problems))


def connect_ray(options: argparse.Namespace) -> None:
    """Connect to Ray, if that is what runs the cells."""
    if options.executor == "ray":
        from study.cluster.connection import connect

        connect(
            options.address,
            nodes=options.nodes,
            wait_seconds=options.nodes_timeout,
            cpus=options.cpus_per_trial,
            gpus=options.gpus_per_trial,
            embedded=options.data == SYNTHETIC,
        )


def execute(driver: Driver, options: argparse.Namespace, ledger: Ledger, groups: Sequence[Group]) -> None:
    """Run every cell of the groups on the executor that the user chose."""
    from promptad.features.cache import FeatureCache
    from study.bench.workbench import Workbench
    from study.running.serial import run_serially

    if (why := why_not_writable(default_root())) is not None:
        warn(f"caution: the cache {why}: features are computed anew; set PROMPTAD_CACHE to a folder that can be")
    with Progress(sum(len(group.cells) for group in groups)) as progress:

        def on_finished(finished: Finished) -> None:
            driver.finished(finished.status)
            progress.finished(finished)

        if options.executor == "serial":
            bench = Workbench(cache=FeatureCache(default_root(), cap=cache_cap(options)), **serial_resources(options))
            run_serially(bench, ledger, groups, on_finished, on_pulse=driver.pulse)
            return
        from study.cluster.executor import run_on_ray

        run_on_ray(
            ledger,
            groups,
            on_finished=on_finished,
            on_pulse=driver.pulse,
            on_notice=progress.notice,
            **ray_resources(options),
        )


def cache_cap(options: argparse.Namespace) -> int:
    """The feature cache's cap in bytes."""
    return int(options.cache_gb * 2**30)


def serial_resources(options: argparse.Namespace) -> dict[str, Any]:
    """Device and threads of a workbench in this process."""
    from study.bench.workbench import pick_device

    device = pick_device(1.0 if options.gpus_per_trial is None else options.gpus_per_trial)
    return {"device": device, "threads": options.cpus_per_trial}


def ray_resources(options: argparse.Namespace) -> dict[str, Any]:
    """What trials on Ray get, by the names of the executor's arguments."""
    return {
        "cpus": options.cpus_per_trial,
        "gpus": options.gpus_per_trial,
        # Workers have another current folder.
        "cache_root": default_root().absolute(),
        "cache_cap": cache_cap(options),
        "cell_timeout": options.cell_timeout * 60 or None,
        "require_data": options.require_data,
    }
