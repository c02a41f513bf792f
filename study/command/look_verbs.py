"""The verbs that compute no cells: ``plan``, ``report``, ``status``, ``show`` and ``cache``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ablations.catalogue import CATALOGUE
from promptad.features.cache_folder import default_root
from study.codebase import code_digest
from study.command.arguments import UsageError, figure_formats, study_request
from study.command.row_text import row_text
from study.command.status import study_status
from study.command.status_text import describe, watch
from study.records.ledger import Ledger
from study.search.search_files import search_names

if TYPE_CHECKING:
    from reports.made import Said
    from reports.searches.search_reading import SearchFiles
    from study.planning.plan import StudyPlan


def plan(options: argparse.Namespace) -> int:
    """Print the cells of each ablation, and how many are done."""
    asked = planned(options)
    from study.command.outlook import described_plan

    ledger = Ledger(options.study)
    print(described_plan(asked, ledger.sound_states(asked.cells), ledger.plans()))
    return 0


def report(options: argparse.Namespace) -> int:
    """Write tables, figures and the page from the rows."""
    formats = None if options.figures is None else figure_formats(options.figures)
    ledger = Ledger(options.study)
    if not ledger.plans() and not search_names(ledger.folder):
        raise UsageError(f"study folder {options.study} holds neither plan nor search: run an ablation first")
    write_report_of(ledger, options.out, formats=formats)
    return 0


def status(options: argparse.Namespace) -> int:
    """Print the state of a study."""
    ledger = Ledger(options.study)
    if options.watch is None:
        state = study_status(ledger)
        print(json.dumps(dataclasses.asdict(state), indent=1) if options.json else describe(state, options.study))
        return 0
    # A reader may stop it at any moment.
    with contextlib.suppress(KeyboardInterrupt):
        watch(lambda: study_status(ledger), options.study, seconds=options.watch)
    return 0


def show(options: argparse.Namespace) -> int:
    """Print one cell: its row, and the fields of its config that differ from the defaults."""
    ledger = Ledger(options.study)
    digests = ledger.states().keys()
    named = {digest for digest in digests if digest.startswith(options.digest)}
    found = list(ledger.rows(named).values())
    if len(found) != 1:
        many = ", ".join(sorted(row.cell.digest[:12] for row in found)[:5])
        raise UsageError(
            f"{options.digest} must begin the digest of one row of {options.study}, but "
            + (f"{len(found)} begin so: {many}" if found else f"none of its {len(digests)} does")
        )
    print(found[0].to_json() if options.json else row_text(found[0]), end="")
    return 0


def cache(options: argparse.Namespace) -> int:
    """Print the size of the feature cache, or clear it."""
    from promptad.features.cache import FeatureCache

    features = FeatureCache(default_root())
    info = features.info() if options.action == "info" else features.clear()
    verb = "holds" if options.action == "info" else "held, now removed:"
    print(f"{info.root} {verb} {info.files} features, {info.size / 2**20:.1f} MB of at most {info.cap / 2**30:.0f} GB")
    return 0


def planned(options: argparse.Namespace) -> StudyPlan:
    """The plan of the options' request."""
    request = study_request(options)
    # After the quick checks of the options: it takes seconds to load.
    from study.planning.plan import plan_study

    made = plan_study(request)
    for category, data in made.categories.items():
        for caution in data.cautions:
            print(f"caution: {category}: {caution}", file=sys.stderr)
    for name, (first, *others) in made.left_out.items():
        more = f" (and {len(others)} more reasons: plan {name})" if others else ""
        print(f"left out: {name}: {first}{more}", file=sys.stderr)
    return made


def write_report_of(
    ledger: Ledger, out: str | None, *, names: set[str] | None = None, formats: Sequence[str] | None = None
) -> None:
    """Write the report, unless it is there already; print the tables of the plans in ``names`` (None: all)."""
    root = ledger.local_root
    if out is None and root is None:
        print(
            f"the study is on {ledger.location}: write its report with  run.py report --study {ledger.location} "
            "--out FOLDER"
        )
        return
    from reports.made import PAGE, last_made

    folder = Path(out) if out is not None else Path(str(root)) / "report"
    searches = _searches(ledger)
    version, stamp = _version(), _stamp(ledger, searches)
    made = last_made(folder)
    if made is not None and formats in (None, made.formats) and made.shows(folder, stamp, version):
        said = made.said
    else:
        said = _written(ledger, folder, searches, formats, version, stamp)
    _print_report(said, folder / PAGE, names)


def _written(
    ledger: Ledger,
    folder: Path,
    searches: Sequence[SearchFiles],
    formats: Sequence[str] | None,
    version: str,
    stamp: str,
) -> Said:
    from reports.report import write_report
    from reports.sections import Again

    stored, marks = ledger.everything(), ledger.archive_marks()
    place = {name: number for number, name in enumerate(CATALOGUE)}
    report = write_report(
        plans=sorted(stored.plans, key=lambda plan: place.get(plan.ablation, len(place))),
        rows=stored.rows,
        examples=lambda digest: ledger.kept(digest) if digest in marks else None,
        out=folder,
        damaged=stored.damaged,
        searches=searches,
        say=lambda message: print(message, file=sys.stderr),
        formats=formats,
        again=Again(version=version, stamp=stamp, marks=marks),
    )
    return report.said


def _version() -> str:
    """What a report depends on beside the study: the code, and the versions of what draws and computes."""
    packages = ("matplotlib", "seaborn", "numpy", "scipy", "scikit-learn", "pillow", "jinja2", "pandas")
    return " ".join([code_digest(), *(metadata.version(package) for package in packages)])


def _stamp(ledger: Ledger, searches: Sequence[SearchFiles]) -> str:
    from reports.made import key_of

    return key_of([ledger.stamp(), [dataclasses.asdict(files) for files in searches]])


def _print_report(said: Said, page: Path, names: set[str] | None) -> None:
    for file, why in sorted(said.faults.items()):
        print(f"left out: {file} ({why.strip().splitlines()[0][:160]})", file=sys.stderr)
    shown = [text for name, text in said.tables.items() if names is None or name in names]
    for text in shown:
        print(f"\n{text}")
    if shown:
        print("(percent; ci: half width of the 95% interval over seeds)")
    if len(shown) < len(said.tables):
        print(f"({len(said.tables) - len(shown)} earlier tables of this study are in the report too)")
    for text in said.searches:
        print(f"\n{text}")
    print(f"\nreport: {page.resolve()}")


def _searches(ledger: Ledger) -> list[SearchFiles]:
    """The searches of a study with their importances; Optuna is loaded only where they must be computed."""
    names = search_names(ledger.folder)
    if not names:
        return []
    from study.search.importances import with_sensitivity

    return [with_sensitivity(ledger.folder, name) for name in names]
