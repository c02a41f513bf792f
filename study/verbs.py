"""The verbs that do not compute cells: ``plan``, ``report``, ``status`` and ``cache``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ablations.loading import listing
from promptad.cache import FeatureCache, default_root
from study.arguments import UsageError, study_request
from study.ledger import Ledger
from study.outlook import described_plan
from study.row import Row
from study.status import describe, study_status

if TYPE_CHECKING:
    from study.plan import StudyPlan


def plan(options: argparse.Namespace) -> int:
    """Print the cells of each ablation, and how many are done; ``--list`` prints the ablations there are."""
    if options.list:
        print(listing())
        return 0
    ledger = Ledger(options.study)
    asked, rows = planned(options, ledger)
    print(described_plan(asked, rows, ledger.plans()))
    return 0


def report(options: argparse.Namespace) -> int:
    """Write tables, figures and the page from the rows."""
    ledger = Ledger(options.study)
    if not ledger.plans():
        raise UsageError(f"study folder {options.study} holds no plan: run an ablation first")
    write_report_of(ledger, options.out)
    return 0


def status(options: argparse.Namespace) -> int:
    """Print how far a study is."""
    state = study_status(Ledger(options.study))
    print(json.dumps(dataclasses.asdict(state), indent=1) if options.json else describe(state))
    return 0


def cache(options: argparse.Namespace) -> int:
    """Print the size of the feature cache, or clear it."""
    features = FeatureCache(default_root())
    info = features.info() if options.action == "info" else features.clear()
    verb = "holds" if options.action == "info" else "held, now removed:"
    print(f"{info.root} {verb} {info.files} features, {info.size / 2**20:.1f} MB of at most {info.cap / 2**30:.0f} GB")
    return 0


def planned(options: argparse.Namespace, ledger: Ledger) -> tuple[StudyPlan, dict[str, Row]]:
    """The plan of a request, and the rows it has so far."""
    from study.plan import plan_study

    made = plan_study(study_request(options))
    for name, reason in made.left_out.items():
        first, *others = reason.removeprefix(f"ablation {name}: ").split("; ")
        more = f" (and {len(others)} more reasons: plan {name})" if others else ""
        print(f"left out: {name}: {first}{more}", file=sys.stderr)
    return made, ledger.rows(made.cells)


def write_report_of(ledger: Ledger, out: str | None, *, names: set[str] | None = None) -> None:
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
    documents = ledger.plans()
    page = write_report(plans=documents, rows=rows, examples=ledger.examples, out=folder)
    shown = [document for document in documents if names is None or document["name"] in names]
    for document in shown:
        print(f"\n{to_text(build_table(document, rows))}")
    print("(percent; ci: half width of the 95% interval over seeds)")
    if len(shown) < len(documents):
        print(f"({len(documents) - len(shown)} earlier tables of this study are in the report too)")
    print(f"\nreport: {page.resolve()}")
