"""The verb ``run``: every missing cell, then the report."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

from promptad.features.cache_folder import why_not_writable
from promptad.user_error import UserError
from study.codebase import check_code
from study.command.driver import Driver
from study.command.execution_arguments import execution_options
from study.command.exits import FAILED
from study.command.look_verbs import planned, write_report_of
from study.command.progress import Progress
from study.records.ledger import Ledger
from study.records.row import Row
from study.running.execution_options import ExecutionOptions, Listeners

if TYPE_CHECKING:
    from study.bench.workbench import Workbench
    from study.planning.plan import StudyPlan
    from study.records.group import Group
    from study.running.row_desk import Finished


class TakenOverError(UserError):
    """A study folder that another driver took while this one was suspended."""


def run(options: argparse.Namespace) -> int:
    """Run every missing cell, then write the report; the exit code says whether cells failed."""
    execution = execution_options(options)
    if options.code is not None:
        check_code(options.code)
    plan = planned(options)
    ledger = Ledger(options.study)
    with sole_driver(ledger) as driver:
        failed = _run_as(driver, execution, ledger, plan)
        message = f"{failed} cells failed and are named in the report; run again to retry them"
        driver.end("failed" if failed else "finished", FAILED if failed else 0, message if failed else None)
    if failed:
        warn(message)
        return FAILED
    return 0


@contextlib.contextmanager
def sole_driver(ledger: Ledger) -> Iterator[Driver]:
    """This process as the one driver of a study folder, whose rows then lie in segments.

    Raises:
        LockedError: another one holds it.
        TakenOverError: another one took it meanwhile.
    """
    driver = Driver(ledger.folder, say=warn)
    try:
        with driver:
            if converted := ledger.convert():
                print(f"{converted} rows of an older version now lie in segments")
            yield driver
            ledger.compact()
    except KeyboardInterrupt:
        if driver.lost:
            raise TakenOverError(
                f"study folder {ledger.location} was taken over by another driver while this one did not move; it "
                "continues there, this one ends"
            ) from None
        raise


def _run_as(driver: Driver, options: ExecutionOptions, ledger: Ledger, plan: StudyPlan) -> int:
    """The work of the driver that holds the study folder; returns how many cells failed."""
    states = ledger.sound_states(plan.cells)
    stored = {document.name: len(document.seeds) for document in ledger.plans()}
    for name, document in plan.documents.items():
        # A table over more seeds stays as it is; this request is part of it.
        if stored.get(name, 0) <= len(document.seeds):
            ledger.write_plan(document)
    ledger.append(
        Row(cell=plan.cells[digest], status="unavailable", reason=reason)
        for digest, reason in plan.unavailable.items()
        if digest not in states
    )
    missing = [
        digest
        for digest in plan.cells
        if digest not in plan.unavailable and (digest not in states or states[digest].status not in ("ok", "pruned"))
    ]
    driver.plan(planned=len(plan.cells), to_run=len(missing))
    print(f"{len(plan.cells)} cells planned, {len(plan.cells) - len(missing)} need no work, {len(missing)} to run")
    if missing:
        connect_ray(options)
        execute(options, ledger, plan.groups(missing), driver)
    write_report_of(ledger, None, names=set(plan.documents))
    after = ledger.states()
    return sum(digest in after and after[digest].status == "failed" for digest in plan.cells)


def warn(message: str) -> None:
    """Print a notice that is no result."""
    print(message, file=sys.stderr, flush=True)


def connect_ray(options: ExecutionOptions) -> None:
    """Connect to Ray, if that is what runs the cells."""
    if options.executor == "ray":
        from study.cluster.connection import connect

        connect(options.cluster, cpus=options.cpus, gpus=options.gpus)


def execute(options: ExecutionOptions, ledger: Ledger, groups: Sequence[Group], driver: Driver) -> None:
    """Run every cell of the groups on the executor that the user chose."""
    if (why := why_not_writable(options.cache.root)) is not None:
        warn(f"caution: the cache {why}: features are computed anew; set PROMPTAD_CACHE to a folder that can be")
    with Progress(sum(len(group.cells) for group in groups)) as progress:
        listeners = listeners_of(driver, progress)
        match options.executor:
            case "serial":
                from study.running.serial import run_serially

                run_serially(_serial_bench(options), ledger, groups, listeners)
            case "ray":
                from study.cluster.executor import run_on_ray

                run_on_ray(ledger, groups, options, listeners)
            case other:
                assert_never(other)


def listeners_of(driver: Driver, progress: Progress) -> Listeners:
    """The driver's record and the progress on the screen, as listeners of a run."""

    def on_finished(finished: Finished) -> None:
        driver.finished(finished.status)
        progress.finished(finished)

    return Listeners(on_finished=on_finished, on_pulse=driver.pulse, on_notice=progress.notice)


def serial_device(options: ExecutionOptions) -> str:
    """The torch device of a workbench in this process: a GPU where there is one, unless the user decided."""
    from promptad.backbones.accelerator import device_of

    return device_of(options.gpus)


def _serial_bench(options: ExecutionOptions) -> Workbench:
    from study.bench.workbench import Workbench

    return Workbench(
        cache=options.cache.feature_cache(),
        device=serial_device(options),
        threads=options.cpus,
        company=options.company,
    )
