"""The command line: its parser, and what becomes of errors and signals."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from ablations.catalogue import DEFAULT
from promptad.cache import DEFAULT_CAP
from promptad.config import field_names
from promptad.protocol import PROTOCOLS
from study import running, verbs
from study.exits import INTERRUPTED, USAGE
from study.sources import SYNTHETIC

VERBS = ("plan", "run", "report", "status", "cache")

EPILOG = """\
examples:
  run.py                                   the default ablations on the embedded data, then the report
  run.py plan --list                       the ablations there are
  run.py plan all                          what would run, what is done already
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
    parsers = parser.add_subparsers(dest="verb", metavar="VERB")
    plan = parsers.add_parser("plan", help="print the cells of each ablation, and how many are done")
    plan.add_argument("--list", action="store_true", help="print the ablations there are, and nothing else")
    run = parsers.add_parser("run", help="run every missing cell, then write the report")
    for verb, handler in ((plan, verbs.plan), (run, running.run)):
        _add_request(verb)
        verb.set_defaults(handler=handler)
    _add_execution(run)
    report = parsers.add_parser("report", help="write tables, figures and the page from the rows")
    report.set_defaults(handler=verbs.report)
    status = parsers.add_parser("status", help="cells done, failed and missing, throughput, work left")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(handler=verbs.status)
    for verb in (plan, run, report, status):
        verb.add_argument(
            "--study", default="results", metavar="FOLDER", help="study folder, a path or fsspec URL (default: results)"
        )
    report.add_argument("--out", default=None, metavar="FOLDER", help="where to write (default: report/ in the study)")
    cache = parsers.add_parser("cache", help="size of the feature cache, or clear it")
    cache.add_argument("action", choices=("info", "clear"))
    cache.set_defaults(handler=verbs.cache)
    return parser


def _add_request(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "names",
        nargs="*",
        metavar="ABLATION",
        help=f"names (plan --list tells them), all, or a Python file of your own (default: {', '.join(DEFAULT)})",
    )
    verb.add_argument(
        "--data",
        default=SYNTHETIC,
        metavar="LAYOUT:ROOT",
        help="mvtec, visa, mpdd, loco or folder and the data's root; default: the embedded synthetic set",
    )
    verb.add_argument(
        "--backbone",
        action="append",
        metavar="NAME",
        help="tiny (default), NAME:TAG of open_clip, NAME:/path/to/checkpoint, or NAME:random; again: weights for "
        "rows of tables with a backbone of their own",
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
