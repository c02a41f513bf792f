"""The command line: ``plan``, ``run``, ``report``, ``status`` and ``cache``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablations.catalogue import CATALOGUE, DEFAULT
from promptad.cache import DEFAULT_CAP, FeatureCache, default_root
from promptad.config import field_names
from promptad.protocol import PROTOCOLS
from study.arguments import UsageError, base_config, texts_by_category, whole_numbers
from study.ledger import Ledger
from study.progress import Progress, duration
from study.row import Row
from study.sources import SYNTHETIC, parse_source
from study.status import describe, plan_status, study_status

if TYPE_CHECKING:
    from study.plan import StudyPlan
    from study.request import StudyRequest

FAILED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes: some cells failed; the request cannot run as asked; stopped by Ctrl-C."""

VERBS = ("plan", "run", "report", "status", "cache")

EPILOG = """\
examples:
  run.py                                   the default ablations on the embedded data, then the report
  run.py plan table3                       what would run, what is done already
  run.py run table3 --data mvtec:/data/mvtec --backbone ViT-B-16-plus-240:laion400m_e32 --seeds 5
  run.py run table3 --protocol reference   the released code's protocol (selects on the test set; marked as such)
  run.py run table3 --set align_weight=0.01
  run.py status                            how far a study is, from any terminal
  run.py report                            write the report again from the rows
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in (*VERBS, "-h", "--help"):
        given = ["run", *given]
    options = parser.parse_args(given)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: int = options.handler(options)
    except KeyboardInterrupt:
        print("\nstopped; every finished cell is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except ValueError as error:
        # Every error that a user can cause is a ValueError of ours and says what to do.
        if type(error).__module__.partition(".")[0] not in ("study", "promptad", "ablations", "reports"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    return code


def _interrupt(*_: object) -> None:
    """A polite kill is handled as Ctrl-C is."""
    raise KeyboardInterrupt


def build_parser() -> argparse.ArgumentParser:
    """The parser of every verb."""
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="PromptAD ablations: plan cells, run the missing ones, report. Without a verb: run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    plan = verbs.add_parser("plan", help="print the cells of each ablation, and how many are done")
    run = verbs.add_parser("run", help="run every missing cell, then write the report")
    for verb, handler in ((plan, _plan), (run, _run)):
        _add_request(verb)
        verb.set_defaults(handler=handler)
    _add_execution(run)
    report = verbs.add_parser("report", help="write tables, figures and the page from the rows")
    report.set_defaults(handler=_report)
    status = verbs.add_parser("status", help="cells done, failed and missing, throughput, work left")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(handler=_status)
    for verb in (plan, run, report, status):
        verb.add_argument(
            "--study", default="results", metavar="FOLDER", help="study folder, a path or fsspec URL (default: results)"
        )
    report.add_argument("--out", default=None, metavar="FOLDER", help="where to write (default: report/ in the study)")
    cache = verbs.add_parser("cache", help="size of the feature cache, or clear it")
    cache.add_argument("action", choices=("info", "clear"))
    cache.set_defaults(handler=_cache)
    return parser


def _add_request(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "names", nargs="*", metavar="ABLATION", help=f"of {', '.join(CATALOGUE)} (default: {', '.join(DEFAULT)})"
    )
    verb.add_argument(
        "--data",
        default=SYNTHETIC,
        metavar="LAYOUT:ROOT",
        help="mvtec, visa, mpdd, loco or folder and the data's root; default: the embedded synthetic set",
    )
    verb.add_argument(
        "--backbone",
        default="tiny",
        metavar="NAME",
        help="tiny, NAME:TAG of open_clip, NAME:/path/to/checkpoint, or NAME:random",
    )
    verb.add_argument("--categories", default=None, metavar="A,B", help="only these categories")
    verb.add_argument("--shots", default=None, metavar="1,2,4", help="support images (default: the ablation's)")
    verb.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 (default: 5)")
    verb.add_argument(
        "--protocol",
        choices=tuple(PROTOCOLS),
        default="paper",
        help="paper (default, leak-free), or reference: the released code's deviations",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="overrides",
        help=f"change the base config; fields: {', '.join(field_names())}",
    )
    verb.add_argument("--support", default=None, metavar="FILE", help="JSON file: category to list of support images")
    verb.add_argument(
        "--suffixes", default=None, metavar="FILE", help="JSON file: category to its own anomaly suffixes, with {}"
    )
    verb.add_argument("--skip-bad", action="store_true", help="leave unreadable images out and list them in the report")


def _add_execution(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--executor", choices=("ray", "serial"), default="ray", help="default: ray")
    verb.add_argument("--cpus-per-trial", type=int, default=1, metavar="N", help="CPUs, and torch threads, of a trial")
    verb.add_argument(
        "--gpus-per-trial",
        type=float,
        default=None,
        metavar="F",
        help="share of a GPU of a trial (default: 0.25 where there are GPUs, else none)",
    )
    verb.add_argument("--cache-gb", type=float, default=DEFAULT_CAP / 2**30, metavar="GB", help="feature cache's cap")


def _request(options: argparse.Namespace) -> StudyRequest:
    from study.request import StudyRequest

    unknown = [name for name in options.names if name not in CATALOGUE]
    if unknown:
        raise UsageError(f"no ablation is called {', '.join(unknown)}; there are {', '.join(CATALOGUE)}")
    return StudyRequest(
        ablations=tuple(CATALOGUE[name] for name in dict.fromkeys(options.names or DEFAULT)),
        backbone=options.backbone,
        source=parse_source(options.data),
        base=base_config(options.protocol, options.overrides),
        seeds=options.seeds,
        categories=None if options.categories is None else tuple(options.categories.split(",")),
        shots=None if options.shots is None else whole_numbers("--shots", options.shots),
        support=texts_by_category("--support", options.support),
        suffixes=texts_by_category("--suffixes", options.suffixes),
        skip_bad=options.skip_bad,
    )


def _planned(options: argparse.Namespace, ledger: Ledger) -> tuple[StudyPlan, dict[str, Row]]:
    from study.plan import plan_study

    plan = plan_study(_request(options))
    return plan, ledger.rows(plan.cells)


def _plan(options: argparse.Namespace) -> int:
    plan, rows = _planned(options, Ledger(options.study))
    owners: dict[str, set[str]] = {}
    for name, document in plan.documents.items():
        for cell in document["cells"]:
            owners.setdefault(cell["digest"], set()).add(name)
    for name, document in plan.documents.items():
        status = plan_status(name, document["cells"], rows)
        shared = len({cell["digest"] for cell in document["cells"] if len(owners[cell["digest"]]) > 1})
        print(f"{name}: {document['title']}")
        print(f"  {document['question']}")
        print(f"  data {document['dataset_title']}: {', '.join(document['categories'])}")
        print(
            f"  backbone {document['backbone']} ({document['weights_label']}), protocol {document['protocol']}, "
            f"selection {document['selection']}"
        )
        for arm in document["arms"]:
            digests = {cell["digest"] for cell in document["cells"] if cell["arm"] == arm["name"]}
            changes = ", ".join(f"{field}={value}" for field, value in arm["changes"].items()) or "the base config"
            print(f"  arm {arm['name']}: {len(digests)} cells ({changes})")
        estimate = "" if status.work_left is None else f", about {duration(status.work_left)} of work for one worker"
        print(
            f"  cells: {status.planned} planned, {status.ok} done, {status.missing + status.failed} to run, "
            f"{shared} shared with other ablations{estimate}"
        )
    for reason, number in Counter(plan.unavailable.values()).items():
        print(f"  not possible: {number} cells: {reason}")
    return 0


def _run(options: argparse.Namespace) -> int:
    _check_execution(options)
    ledger = Ledger(options.study)
    plan, rows = _planned(options, ledger)
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
    print(f"{len(plan.cells)} cells planned, {len(plan.cells) - len(missing)} need no work, {len(missing)} to run")
    if missing:
        _execute(options, ledger, plan, missing)
    failed = [row for row in ledger.rows(plan.cells).values() if row.status == "failed"]
    _write_report(ledger, None, names=set(plan.documents))
    if failed:
        print(f"{len(failed)} cells failed and are named in the report; run again to retry them", file=sys.stderr)
        return FAILED
    return 0


def _check_execution(options: argparse.Namespace) -> None:
    problems = []
    if options.cpus_per_trial < 1:
        problems.append(f"--cpus-per-trial must be at least 1, but got {options.cpus_per_trial}")
    if options.gpus_per_trial is not None and not 0 <= options.gpus_per_trial < math.inf:
        problems.append(f"--gpus-per-trial must be at least 0, but got {options.gpus_per_trial}")
    if not 0 < options.cache_gb < math.inf:
        problems.append(f"--cache-gb must be above 0, but got {options.cache_gb}")
    if options.study.startswith("memory:"):
        problems.append(f"--study must outlive this process, but {options.study} is in its memory: name a folder")
    if problems:
        raise UsageError("; ".join(problems))


def _execute(options: argparse.Namespace, ledger: Ledger, plan: StudyPlan, missing: Sequence[str]) -> None:
    from study.dispatch import Dispatcher, run_serially
    from study.workbench import Workbench, pick_device

    groups = plan.groups(missing)
    cap = int(options.cache_gb * 2**30)
    with Progress(len(missing)) as progress:
        if options.executor == "serial":
            bench = Workbench(
                cache=FeatureCache(default_root(), cap=cap),
                device=pick_device(1.0 if options.gpus_per_trial is None else options.gpus_per_trial),
                threads=options.cpus_per_trial,
            )
            run_serially(bench, Dispatcher(ledger, groups), groups, progress.finished)
            return
        from study.ray_executor import run_on_ray

        unfinished = run_on_ray(
            ledger,
            groups,
            cpus=options.cpus_per_trial,
            gpus=options.gpus_per_trial,
            cache_root=default_root(),
            cache_cap=cap,
            on_finished=progress.finished,
        )
        for cell in unfinished:
            ledger.write_row(Row(cell=cell, status="failed", reason="its worker process died again and again"))


def _report(options: argparse.Namespace) -> int:
    ledger = Ledger(options.study)
    if not ledger.plans():
        raise UsageError(f"study folder {options.study} holds no plan: run an ablation first")
    _write_report(ledger, options.out)
    return 0


def _write_report(ledger: Ledger, out: str | None, *, names: set[str] | None = None) -> None:
    """Write the report and print the tables of the plans in ``names`` (None: of all)."""
    from reports.report import write_report
    from reports.tables import build_table
    from reports.terminal import to_text

    root = ledger.local_root
    if out is None and root is None:
        print(
            f"the study is on {ledger.location}: write its report with  run.py report --study {ledger.location} "
            "--out FOLDER"
        )
        return
    folder = Path(out) if out is not None else Path(str(root)) / "report"
    rows = {digest: json.loads(row.to_json()) for digest, row in ledger.rows().items()}
    plans = ledger.plans()
    page = write_report(plans=plans, rows=rows, examples=ledger.examples, out=folder)
    shown = [plan for plan in plans if names is None or plan["name"] in names]
    for plan in shown:
        print(f"\n{to_text(build_table(plan, rows))}")
    print("(percent; ci: half width of the 95% interval over seeds)")
    if len(shown) < len(plans):
        print(f"({len(plans) - len(shown)} earlier tables of this study are in the report too)")
    print(f"\nreport: {page.resolve()}")


def _status(options: argparse.Namespace) -> int:
    status = study_status(Ledger(options.study))
    print(json.dumps(dataclasses.asdict(status), indent=1) if options.json else describe(status))
    return 0


def _cache(options: argparse.Namespace) -> int:
    cache = FeatureCache(default_root())
    info = cache.info() if options.action == "info" else cache.clear()
    verb = "holds" if options.action == "info" else "held, now removed:"
    print(f"{info.root} {verb} {info.files} features, {info.size / 2**20:.1f} MB of at most {info.cap / 2**30:.0f} GB")
    return 0
