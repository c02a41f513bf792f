"""What a study costs beside its cells, at a given number of them: cells that cost nothing, rows on a RAM disk.

    python tests/benchmarks/scale.py --cells 25000 [--json FILE] [--skip ray,workers,executor,report]
    python tests/benchmarks/scale.py --catalogue

Every line is a measurement of this run. Seconds of CPU are those of this process, or of the command that is named.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.inspection_set import write_inspection_set  # noqa: E402
from helpers.plans import request  # noqa: E402

from study.planning.plan import StudyPlan, plan_study  # noqa: E402
from study.records.cell import Cell  # noqa: E402
from study.records.group import Group  # noqa: E402
from study.records.ledger import Ledger  # noqa: E402
from study.records.outcome import Outcome  # noqa: E402
from study.records.row import Row  # noqa: E402
from study.running.dispatcher import Dispatcher, Report  # noqa: E402
from study.running.row_desk import Worker  # noqa: E402
from study.running.worker import run_cells  # noqa: E402

IMAGES = 160
"""Test images of a category: about MVTec's mean."""
NAMES = [f"test/scratch/{number:03d}.png" for number in range(IMAGES)]
KINDS = [int(number >= 40) for number in range(IMAGES)]
STAGES = ("data", "features", "fit", "score", "metrics", "examples")
CELLS_A_SEED = 20
"""Table 3 on two categories: five arms, two tasks."""
SIMULATED = 256
ACTOR_WORKERS = 4


def null_row(cell: Cell, rng: random.Random) -> Row:
    """A row of the usual size, of a cell that cost nothing."""
    metrics = ("image_auroc", "image_aupr") if cell.task == "image" else ("pixel_auroc", "pro")
    seconds = {stage: round(rng.random(), 4) for stage in STAGES}
    return Row(
        cell=cell,
        status="ok",
        scores={name: rng.random() for name in metrics},
        support_images=tuple(f"train/good/{rng.randrange(200):03d}.png" for _ in range(cell.shots)),
        test_images={"name": NAMES, "anomalous": KINDS, "score": [rng.random() for _ in NAMES]},
        view={"anomalous": 120, "with_mask": 120, "unseen": []},
        seconds={**seconds, "total": sum(seconds.values())},
        provenance={
            "finished": f"2026-01-01T00:{rng.randrange(60):02d}:{rng.randrange(60):02d}+00:00",
            "host": "node",
            "device": "cpu",
            "threads": 1,
            "versions": {"python": "3.11.7", "torch": "2.6.0", "numpy": "2.0.0", "ray": "2.55.0"},
            "commit": "0" * 40,
            "dirty": False,
        },
    )


def planned(root: Path, cells: int) -> StudyPlan:
    """A plan of about so many cells."""
    return plan_study(request(root, seeds=max(1, cells // CELLS_A_SEED)))


def cpu(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of CPU of this process that an action takes, and what it returns."""
    before = time.process_time()
    value = action()
    return time.process_time() - before, value


def command(*arguments: str) -> tuple[float, float]:
    """Seconds of CPU and of the clock that a command line takes, with its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ran = subprocess.run(
        [sys.executable, str(ROOT / "study" / "run.py"), *arguments], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{ran.stderr[-3000:]}")
    spent = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return spent, time.monotonic() - began


class NullBench:
    """Stands in for a workbench: cells cost nothing."""

    company = 16

    def __init__(self, rows: Callable[[Cell], Row]) -> None:
        self._rows = rows

    def run_together(self, cells: Sequence[Cell], _: Any = None) -> Iterator[tuple[Cell, Outcome]]:
        """A row for each."""
        return ((cell, self.run(cell)) for cell in cells)

    def run(self, cell: Cell) -> Outcome:
        """A row at once."""
        return Outcome(row=self._rows(cell), examples=None)


def work_through(source: Any, group: int, rows: Callable[[Cell], Row]) -> int:
    """Be the worker of a group whose cells cost nothing."""
    worker = Worker(node="n", name="n", process=group)
    begun = source.begin(group, worker)
    run_cells(NullBench(rows), source, group, worker, seconds=1e9)
    return len(begun.cells)


def in_one_process(folder: Path, groups: Sequence[Group]) -> tuple[float, float]:
    """Rows a second that one process takes in until all are durable; seconds of the clock."""
    rng = random.Random(0)
    made = {cell.digest: null_row(cell, rng) for group in groups for cell in group.cells}
    began = time.monotonic()
    dispatcher = Dispatcher(Ledger(str(folder)), groups)
    done = sum(work_through(dispatcher, number, lambda cell: made[cell.digest]) for number in range(len(groups)))
    dispatcher.end()
    dispatcher.close()
    took = time.monotonic() - began
    return done / took, took


def through_ray(folder: Path, groups: Sequence[Group]) -> float:
    """Rows a second through the dispatcher's actor, from several worker processes at once."""
    import ray

    from study.cluster.group_trial import RemoteSource

    @ray.remote(num_cpus=0)
    def work(dispatcher: Any, numbers: Sequence[int], gate: Any) -> tuple[int, float]:
        rng = random.Random(0)
        source = RemoteSource(dispatcher)
        began = ray.get(gate.wait.remote())
        return sum(work_through(source, number, lambda cell: null_row(cell, rng)) for number in numbers), began

    @ray.remote(num_cpus=0)
    class Gate:
        """Opens for all once every worker waits at it."""

        def __init__(self) -> None:
            import asyncio

            self.waiting, self.event = 0, asyncio.Event()

        async def wait(self) -> float:
            self.waiting += 1
            if self.waiting == ACTOR_WORKERS:
                self.event.set()
            await self.event.wait()
            return time.monotonic()

    dispatcher = ray.remote(Dispatcher).options(num_cpus=0).remote(Ledger(str(folder)), groups)
    gate = Gate.remote()
    shares = [list(range(worker, len(groups), ACTOR_WORKERS)) for worker in range(ACTOR_WORKERS)]
    ray.get(dispatcher.at_work.remote())
    done = ray.get([work.remote(dispatcher, share, gate) for share in shares])
    ray.get(dispatcher.end.remote())
    took = time.monotonic() - min(began for _, began in done)
    ray.kill(dispatcher)
    return sum(count for count, _ in done) / took


def busy_share(folder: Path, groups: Sequence[Group], rounds: int = 8) -> float:
    """How much of their time simulated workers compute, whose cells take a second each."""
    import ray

    from study.cluster.group_trial import RemoteSource

    dispatcher = ray.remote(Dispatcher).options(num_cpus=0).remote(Ledger(str(folder)), groups)
    source, rng, computing = RemoteSource(dispatcher), random.Random(0), [0.0] * SIMULATED

    def work(number: int) -> None:
        worker = Worker(node="n", name="n", process=number)
        source.begin(number, worker)
        cells = source.next(number, worker)
        for _ in range(rounds):
            time.sleep(1.0)
            computing[number] += 1.0
            row = null_row(cells[0], rng)
            report = Report(digest=row.cell.digest, result=Outcome(row=row, examples=None))
            cells = source.report(number, worker, [report], most=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(min(SIMULATED, len(groups)))]
    ray.get(dispatcher.at_work.remote())
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    ray.kill(dispatcher)
    return sum(computing) / (took * len(threads))


def whole_catalogue(folder: Path, note: Callable[[str, float], None]) -> None:
    """Run every ablation at 1, 2 and 4 shots with cells that cost nothing, as the command does; then report again."""
    from study.command import run_verb
    from study.command.cli import main as promptad_study

    class Bench(NullBench):
        device, threads = "cpu", 1

        def start_group(self, _: object, __: object) -> None:
            """Nothing to prepare."""

        def release(self) -> None:
            """Nothing to let go."""

    rng = random.Random(0)
    run_verb._serial_bench = lambda _: Bench(lambda cell: null_row(cell, rng))  # type: ignore[assignment,return-value]
    asked = ["run", "all", "--shots", "1,2,4", "--executor", "serial", "--study", str(folder)]
    began = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = promptad_study(asked)
    if code:
        raise SystemExit(f"{' '.join(asked)} ended with {code}")
    note("the whole catalogue: s", time.monotonic() - began)
    note("the whole catalogue: cells", len(Ledger(str(folder)).states()))
    shutil.rmtree(folder / "report")
    for name in ("first report", "report with nothing to do"):
        spent, took = command("report", "--study", str(folder))
        note(f"the whole catalogue, {name}: s", took)
        note(f"the whole catalogue, {name}: s of CPU", spent)
    (folder / "report" / "index.html").unlink()
    note("the whole catalogue, page lost, sections kept: s", command("report", "--study", str(folder))[1])
    note("the whole catalogue, run with nothing to do: s of CPU", command(*asked)[0])


def through_the_executor(folder: Path, groups: Sequence[Group], note: Callable[[str, float], None]) -> None:
    """Run cells that cost nothing with the Ray executor itself; Tune's files are looked at while it runs."""
    import ray

    from study.cluster import executor
    from study.running.execution_options import CacheSettings, ExecutionOptions, Listeners

    class Bench(NullBench):
        def __init__(self, **_: Any) -> None:
            rng = random.Random(0)
            super().__init__(lambda cell: null_row(cell, rng))

        def start_group(self, _: object, __: object) -> None:
            """Nothing to prepare."""

        def release(self) -> None:
            """Nothing to let go."""

    class Trial(executor.GroupTrial):
        bench = Bench  # type: ignore[assignment]

    largest, ended = [0, 0], threading.Event()

    def look() -> None:
        while not ended.wait(1.0):
            files = [path for path in Path(tempfile.gettempdir()).glob("promptad-tune-*/**/*") if path.is_file()]
            with contextlib.suppress(OSError):
                sizes = sum(path.stat().st_size for path in files)
                largest[:] = [max(largest[0], len(files)), max(largest[1], sizes)]

    watcher = threading.Thread(target=look)
    watcher.start()
    first: list[float] = []
    began = time.monotonic()
    try:
        executor.run_on_ray(
            Ledger(str(folder)),
            groups,
            ExecutionOptions(gpus=0.0, cache=CacheSettings(root=folder)),
            Listeners(on_finished=lambda _: first.append(time.monotonic()) if not first else None),
            trial=Trial,
        )
    finally:
        ended.set()
        watcher.join()
    took = time.monotonic() - began
    cells = sum(len(group.cells) for group in groups)
    note("Ray executor: s to the first row", first[0] - began)
    note("Ray executor: rows/s from then on", (cells - 1) / (took - (first[0] - began)))
    note("Ray executor: Tune's files", largest[0])
    note("Ray executor: Tune's files, MB", largest[1] / 2**20)
    assert len(Ledger(str(folder)).states()) == cells
    ray.shutdown()


def measured(cells: int, skip: Sequence[str]) -> dict[str, float]:
    """Every measurement at one number of cells."""
    found: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        found[name] = value
        print(f"{cells:>9} cells  {name:<44} {value:>12.3f}", flush=True)

    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as scratch:
        root = write_inspection_set(Path(scratch) / "data")
        study = Path(scratch) / "study"
        spent, plan = cpu(lambda: planned(root, cells))
        note("plan: us of CPU a cell", 1e6 * spent / len(plan.cells))
        spent, groups = cpu(lambda: plan.groups(plan.cells))
        note("groups: us of CPU a cell", 1e6 * spent / len(plan.cells))
        rate, took = in_one_process(study, groups)
        note("taking in, one process: rows/s", rate)
        note("taking in, one process: s", took)
        files = [path for path in study.rglob("*") if path.is_file()]
        note("files of rows", len(files))
        scores = 8 * IMAGES
        note(
            "bytes a row beside its image scores", sum(path.stat().st_size for path in files) / len(plan.cells) - scores
        )
        for document in plan.documents.values():
            Ledger(str(study)).write_plan(document)
        note("states: s of CPU", cpu(Ledger(str(study)).states)[0])
        note("documents: s of CPU", cpu(Ledger(str(study)).documents)[0])
        note("status: s of CPU", command("status", "--study", str(study))[0])
        asked = ("table3", "--data", f"mvtec:{root}", "--seeds", str(max(1, cells // CELLS_A_SEED)))
        note("plan again: s of CPU", command("plan", *asked, "--study", str(study))[0])
        if "report" not in skip:
            spent, took = command("report", "--study", str(study))
            note("report: s of CPU", spent)
            note("report: s", took)
            note("run with nothing to do: s of CPU", command("run", *asked, "--study", str(study))[0])
        if {"ray", "workers", "executor"} - set(skip):
            import ray

            os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
            ray.init(include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
        if "ray" not in skip:
            note("taking in, Ray actor: rows/s", through_ray(Path(scratch) / "actor", groups))
        if "workers" not in skip and len(groups) >= SIMULATED:
            small = [dataclasses.replace(group, cells=group.cells[:16]) for group in groups[:SIMULATED]]
            note(f"{SIMULATED} workers of 1 s cells: share busy", busy_share(Path(scratch) / "busy", small))
        if "executor" not in skip:
            through_the_executor(Path(scratch) / "executor", groups, note)
        note("memory of this process at its peak: GB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    return found


def catalogue() -> dict[str, float]:
    """Every measurement of the whole catalogue."""
    found: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        found[name] = value
        print(f"{name:<64} {value:>12.3f}", flush=True)

    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as scratch:
        whole_catalogue(Path(scratch) / "study", note)
    return found


def main() -> None:
    """Measure at each number of cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 25_000, 100_000])
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    parser.add_argument("--skip", default="", help="parts to leave out: ray, workers, executor, report")
    parser.add_argument("--catalogue", action="store_true", help="run the whole catalogue instead")
    options = parser.parse_args()
    if options.catalogue:
        found = {0: catalogue()}
    else:
        found = {cells: measured(cells, options.skip.split(",")) for cells in options.cells}
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
