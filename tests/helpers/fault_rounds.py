"""A study under faults: start it, hurt it, start it again, and count what was lost, doubled or done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helpers.places import TESTS
from helpers.stored_rows import row_texts

DEADLINE = 400
"""Seconds after which a study that should have ended counts as hung."""

TABLE: defaultdict[tuple[str, str], defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
"""(fault, signal) -> rounds, lost, doubled, redone; printed when the tests are over."""

COLUMNS = ("rounds", "rows lost", "rows doubled", "cells redone", "most in flight", "slowest end (s)")


def note(fault: str, kind: str, name: str, value: float) -> None:
    """Keep the largest of these values."""
    TABLE[fault, kind][name] = max(round(value), TABLE[fault, kind][name])


def table_lines() -> Iterator[str]:
    """The counts of all rounds so far, as a table."""
    yield f"{'fault':<28} {'signal':<8} " + " ".join(f"{name:>15}" for name in COLUMNS)
    for (fault, kind), counts in sorted(TABLE.items()):
        yield f"{fault:<28} {kind:<8} " + " ".join(f"{counts[name]:>15}" for name in COLUMNS)


@dataclass(kw_only=True)
class StudyUnderFaults:
    """One study folder, and the commands run on it."""

    root: Path
    log: Path
    data: Path
    faults: Path
    environment: dict[str, str]
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ("run", "table3")
    seen: dict[str, bytes] = field(default_factory=dict)
    marks: list[tuple[int, str, str, int]] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0

    def __post_init__(self) -> None:
        """An empty log, and no faults but those from outside."""
        self.set_faults({})
        (self.faults / "begun.log").write_text("")
        (self.faults / "pause").write_text("0.25")

    def set_faults(self, by_digest: Mapping[str, tuple[str, int]]) -> None:
        """Say what shall befall which cell, and how often."""
        (self.faults / "faults.json").write_text(json.dumps(by_digest))

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """The study's command, always the same, in a session of its own."""
        arguments = [*self.command, "--data", f"mvtec:{self.data}", "--study", str(self.root), "--seeds", "1"]
        fast = ["--set", "epochs=3", "--set", "map_size=48"]
        with self.log.open("a") as output:
            return subprocess.Popen(
                [sys.executable, str(TESTS / "faults" / "driver.py"), *arguments, *fast, *self.options, *more],
                env=os.environ | self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """All that the study's commands printed."""
        return self.log.read_text()

    def finish(self, *more: str) -> int:
        """Run the command to its end; returns its exit code."""
        return self.wait(self.start(*more))

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code; a study that hangs is ended, and an error."""
        try:
            return process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"the study hung; it said:\n{self.said()[-3000:]}") from None

    def await_rows(self, count: int, process: subprocess.Popen[bytes]) -> None:
        """Wait until so many rows are there."""
        deadline = time.monotonic() + DEADLINE
        while len(self.rows()) < count:
            assert process.poll() is None, f"the study ended early:\n{self.said()[-3000:]}"
            assert time.monotonic() < deadline, f"no rows in time:\n{self.said()[-3000:]}"
            time.sleep(0.02)

    def rows(self) -> dict[str, bytes]:
        """Bytes of every row by digest."""
        return {digest: text.encode() for digest, text in row_texts(self.root).items()}

    def largest_company(self) -> int:
        """The largest number of cells that learned together."""
        return max(int(json.loads(row)["provenance"].get("company", 1)) for row in self.rows().values())

    def watch_rows(self) -> None:
        """Count rows that vanished or changed since the last look."""
        now = self.rows()
        self.lost += sum(digest not in now for digest in self.seen)
        self.doubled += sum(now[digest] != content for digest, content in self.seen.items() if digest in now)
        self.seen = now

    def begun(self) -> list[str]:
        """Digests of cells in the order in which they began."""
        return [line.split()[0] for line in (self.faults / "begun.log").read_text().splitlines()]

    def mark(self, fault: str, kind: str, workers: int = 2) -> None:
        """Note that a fault happens now, and that so many cells may be in flight."""
        self.watch_rows()
        self.marks.append((len(self.begun()), fault, kind, workers))

    def count(self) -> list[int]:
        """Enter the rounds into the table; returns how many cells were begun again after each fault."""
        self.watch_rows()
        begun = self.begun()
        redone = [0] * len(self.marks)
        for place, digest in enumerate(begun):
            if digest in begun[:place]:
                last = max((n for n, mark in enumerate(self.marks) if mark[0] <= place), default=None)
                assert last is not None, f"cell {digest} began twice without a fault"
                redone[last] += 1
        for again, (_, fault, kind, workers) in zip(redone, self.marks, strict=True):
            counts = TABLE[fault, kind]
            counts["rounds"] += 1
            counts["cells redone"] += again
            counts["most in flight"] += workers
        first = TABLE[self.marks[0][1], self.marks[0][2]]
        first["rows lost"] += self.lost
        first["rows doubled"] += self.doubled
        return redone

    def tables(self) -> dict[str, bytes]:
        """Every table of the report, byte for byte."""
        return {path.name: path.read_bytes() for path in sorted((self.root / "report" / "tables").iterdir())}
