"""What takes a study elsewhere: its rows as a table, and several studies in one folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from study.command.arguments import UsageError
from study.command.exits import FAILED
from study.command.run_verb import sole_driver
from study.records.ledger import Ledger
from study.records.merging import APART, merge_studies
from study.records.tidy_rows import study_frame, write_csv


def export(options: argparse.Namespace) -> int:
    """Write one line a cell to a CSV or Parquet file."""
    path = Path(options.to)
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"--to must name a .csv or .parquet file, but got {options.to!r}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--to must name a file in a folder that is there, but {path.absolute().parent} is not")
    ledger = Ledger(options.study)
    if not ledger.states():
        raise UsageError(f"study folder {options.study} holds no row: run an ablation first")
    if path.suffix == ".csv":
        count = write_csv(ledger, path)
    else:
        frame = study_frame(options.study)
        frame.to_parquet(path, index=False)
        count = len(frame)
    print(f"{path}: {count} cells")
    return 0


def merge(options: argparse.Namespace) -> int:
    """Take the rows of several studies into one; the exit code says whether some contradict each other."""
    sources = [Ledger(location) for location in options.studies]
    for source in sources:
        if not source.states():
            raise UsageError(f"study folder {source.location} holds no row: check its name")
    into = Ledger(options.into)
    with sole_driver(into) as driver:
        done = merge_studies(sources, into)
        print(f"{options.into}: {done.taken} rows taken in, {done.equal} were there with equal scores")
        code = FAILED if done.apart else 0
        message = None
        if done.apart:
            shown = ", ".join(digest[:12] for digest in done.apart[:5]) + (" ..." if len(done.apart) > 5 else "")
            message = f"{len(done.apart)} cells have other scores elsewhere, kept in {APART}/ and not used: {shown}"
            print(message)
        driver.end("failed" if done.apart else "finished", code, message)
    print(f"now write its report with: run.py report --study {options.into}")
    return code
