"""The command line: its parser, and how errors and signals end it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from ablations.catalogue import DEFAULT
from ablations.ours.ready_spaces import SPACES
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import PROTOCOLS
from promptad.datasets import LAYOUTS
from promptad.features.cache_folder import DEFAULT_CAP
from promptad.user_error import UserError
from study.codebase import code_digest
from study.command import streams
from study.command.arguments import SPLIT_VALUES, seconds
from study.command.exits import INTERRUPTED, USAGE
from study.planning.data_source import SYNTHETIC
from study.search.objectives import OBJECTIVES

VERBS = ("plan", "run", "search", "report", "status", "show", "export", "merge", "cache", "digest")

EPILOG = """\
examples:
  run.py                                   the default ablations on the embedded data, then the report
  run.py plan --list                       the ablations there are
  run.py plan all                          what would run, what is done already
  run.py run table3 --data mvtec:/data/mvtec --backbone ViT-B-16-plus-240:laion400m_e32 --seeds 5
  run.py run table3 --protocol reference   the released code's protocol (selects on the test set; marked as such)
  run.py run table3 --set align_weight=0.01
  run.py search --space paper --trials 40  find hyperparameters from normal images alone
  run.py status --watch                    how far a study is, from any terminal
  run.py report                            write the report again from the rows
  run.py export --to rows.csv              one line a cell, for pandas or a spreadsheet
  run.py merge lab/a lab/b --into both     studies of several machines in one folder
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    streams.prepare()
    parser = build_parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in (*VERBS, "-h", "--help"):
        given = ["run", *given]
    for argument in given:
        name, _, value = argument.partition("=")
        if name.startswith("--") and value == "--":
            # Argparse reads such a value as the end of the options, and leaves an empty list.
            parser.error(f"argument {name}: expected one argument, but got {value!r}")
    options, unknown = parser.parse_known_args(given)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)} ({SPLIT_VALUES})")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: int = options.handler(options)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.drop_output()
        return INTERRUPTED
    except KeyboardInterrupt:
        print("\nstopped; every finished cell is kept, the same command continues from there", file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    return code


def _interrupt(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C."""
    raise KeyboardInterrupt


def _print_digest(_: argparse.Namespace) -> int:
    print(code_digest())
    return 0


# What a verb does is loaded when it is called: help and a mistyped line need none of it.


def _plan(options: argparse.Namespace) -> int:
    if options.list:
        from ablations.loading import listing

        print(listing())
        return 0
    from study.command.look_verbs import plan

    return plan(options)


def _run(options: argparse.Namespace) -> int:
    from study.command.run_verb import run

    return run(options)


def _search(options: argparse.Namespace) -> int:
    from study.command.search_verb import search

    return search(options)


def _report(options: argparse.Namespace) -> int:
    from study.command.look_verbs import report

    return report(options)


def _status(options: argparse.Namespace) -> int:
    from study.command.look_verbs import status

    return status(options)


def _show(options: argparse.Namespace) -> int:
    from study.command.look_verbs import show

    return show(options)


def _export(options: argparse.Namespace) -> int:
    from study.command.exchange_verbs import export

    return export(options)


def _merge(options: argparse.Namespace) -> int:
    from study.command.exchange_verbs import merge

    return merge(options)


def _cache(options: argparse.Namespace) -> int:
    from study.command.look_verbs import cache

    return cache(options)


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
    search = parsers.add_parser("search", help="find good hyperparameters, by an objective that does not leak")
    _add_search(search)
    for verb, handler in ((plan, _plan), (run, _run), (search, _search)):
        if verb is not search:
            _add_names(verb)
        _add_request(verb)
        verb.set_defaults(handler=handler)
    search.set_defaults(seeds=2)
    for verb in (run, search):
        _add_execution(verb)
    report = parsers.add_parser("report", help="write tables, figures and the page from the rows")
    report.set_defaults(handler=_report)
    status = parsers.add_parser("status", help="cells done, failed and missing, throughput, work left")
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument(
        "--watch",
        nargs="?",
        type=seconds,
        const=2.0,
        default=None,
        metavar="SECONDS",
        help="show it again every few seconds (default: 2) until the driver has ended",
    )
    status.set_defaults(handler=_status)
    show = parsers.add_parser("show", help="one cell's row: its reason if it failed, config, seconds, where it ran")
    show.add_argument("digest", help="the cell's digest, or how it begins")
    show.add_argument("--json", action="store_true", help="print the row as it is stored")
    show.set_defaults(handler=_show)
    export = parsers.add_parser("export", help="write one line a cell: config, scores, seconds, where it ran")
    export.add_argument("--to", required=True, metavar="FILE", help="a .csv or .parquet file")
    export.set_defaults(handler=_export)
    for verb in (plan, run, search, report, status, show, export):
        verb.add_argument(
            "--study", default="results", metavar="FOLDER", help="study folder, a path or fsspec URL (default: results)"
        )
    report.add_argument(
        "--figures",
        default=None,
        metavar="FORMATS",
        help="write figures as svg, png, pdf (with commas) beside what the page shows (default: as the report there)",
    )
    report.add_argument("--out", default=None, metavar="FOLDER", help="where to write (default: report/ in the study)")
    merge = parsers.add_parser("merge", help="take the rows of several studies into one folder")
    merge.add_argument("studies", nargs="+", metavar="STUDY", help="study folders that are read, paths or fsspec URLs")
    merge.add_argument("--into", required=True, metavar="FOLDER", help="study folder that takes them in")
    merge.set_defaults(handler=_merge)
    cache = parsers.add_parser("cache", help="size of the feature cache, or clear it")
    cache.add_argument("action", choices=("info", "clear"))
    cache.set_defaults(handler=_cache)
    digest = parsers.add_parser("digest", help="print the digest of this code, for run --code on a cluster")
    digest.set_defaults(handler=_print_digest)
    return parser


def _add_names(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "names",
        nargs="*",
        metavar="ABLATION",
        help=f"names (plan --list prints them), core, all, or your own Python file (default: {', '.join(DEFAULT)})",
    )


def _add_search(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--space",
        default="paper",
        metavar="NAME",
        help=f"{', '.join(SPACES)}, or a Python file of your own (default: paper)",
    )
    verb.add_argument(
        "--objective",
        default="synthetic",
        metavar="NAME",
        help=f"{', '.join(OBJECTIVES)} (default: synthetic, pseudo-anomalies on normal images; oracle looks at test "
        "labels, for sensitivity studies only)",
    )
    verb.add_argument("--trials", type=int, default=100, metavar="N", help="trials all together (default: 100)")
    verb.add_argument(
        "--sampler", default="tpe", metavar="NAME", help="who proposes values (default: tpe); docs/search.md lists them"
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampler (default: 0)")
    verb.add_argument(
        "--timeout", type=seconds, default=None, metavar="SECONDS", help="stop then; the same command continues"
    )
    verb.add_argument(
        "--prune",
        type=float,
        default=0.1,
        metavar="P",
        help="stop a trial that is worse than the best on the same categories and seeds with this p (default: 0.1; 0: "
        "never)",
    )
    verb.add_argument(
        "--fresh",
        type=int,
        default=3,
        metavar="N",
        help="at the end, run the best trials and the base on N seeds that the search did not see, on test images, to "
        "show by how much the search's own values are too good (default: 3; 0: do not)",
    )
    verb.add_argument("--tasks", default="image,pixel", metavar="A,B", help="whose AUROC counts (default: both)")
    verb.add_argument(
        "--folds", type=int, default=4, metavar="K", help="held_out_categories: how many folds (default: 4)"
    )
    verb.add_argument("--fold", type=int, default=1, metavar="N", help="which fold is held out (default: 1)")
    verb.add_argument(
        "--promote", default=None, metavar="NAME", help="store the best config as methods/NAME.json, or NAME.json"
    )


def _add_request(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--data",
        default=SYNTHETIC,
        metavar="LAYOUT:ROOT",
        help=f"{', '.join(LAYOUTS)} and the data's root; default: the embedded synthetic set",
    )
    verb.add_argument(
        "--backbone",
        action="append",
        metavar="NAME",
        help="tiny (default), NAME:TAG of open_clip, NAME:/path/to/checkpoint, or NAME:random; again: weights for "
        "rows of tables with a backbone of their own",
    )
    verb.add_argument("--categories", default=None, metavar="A,B", help="only these categories")
    verb.add_argument(
        "--shots",
        default=None,
        metavar="1,2,4",
        help="normal images of each category to learn from, full for all of them (default: the ablation's)",
    )
    verb.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 (default: 5)")
    verb.add_argument(
        "--protocol",
        choices=tuple(PROTOCOLS),
        default="paper",
        help="paper (default, leak-free), or reference: the released code's deviations",
    )
    verb.add_argument(
        "--method",
        default=None,
        metavar="NAME",
        help="base config that a search promoted: its name in the study, or a .json file (in place of --protocol)",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="overrides",
        help=f"change the base config; fields: {', '.join(PromptADConfig.field_names())}",
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
        "--company",
        type=int,
        metavar="N",
        help="most cells that learn together (default: 16, on a GPU 32; on a CPU scores are the same for any number)",
    )
    verb.add_argument(
        "--gpus-per-trial",
        type=float,
        default=None,
        metavar="F",
        help="share of a GPU of a trial (default: 0.25 where there are GPUs, else none)",
    )
    verb.add_argument("--cache-gb", type=float, default=DEFAULT_CAP / 2**30, metavar="GB", help="feature cache's cap")
    verb.add_argument(
        "--address",
        default="auto",
        metavar="HOST:PORT",
        help="the Ray cluster: auto (default: the one that runs, else Ray is started here), local, or HOST:PORT",
    )
    verb.add_argument("--nodes", type=int, default=1, metavar="N", help="wait for N nodes of a cluster (default: 1)")
    verb.add_argument(
        "--nodes-timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="then start with the nodes that are there (default: 300)",
    )
    verb.add_argument(
        "--code", default=None, metavar="DIGEST", help="run only if the installed code is this one (see: digest)"
    )
    verb.add_argument(
        "--cell-timeout",
        type=float,
        default=120.0,
        metavar="MINUTES",
        help="a cell that takes longer is ended and tried once more, alone; cells that learn together, and categories "
        "that share a model, may take as long each; 0: no limit (default: 120; ray only)",
    )
    verb.add_argument(
        "--require-data",
        choices=("all", "any"),
        default="any",
        help="nodes without the data or weights: any leaves them out and says so (default), all stops the run",
    )
