"""Studies of several machines or labs in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.records.ledger import Ledger
from study.records.row import Row

AT_ONCE = 2000
"""Rows that are read and written together."""

APART = "apart"
"""The folder of rows that contradict the one that is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge did: rows taken in, rows that were there with equal scores, and digests with other scores."""

    taken: int
    equal: int
    apart: tuple[str, ...]


def merge_studies(sources: Sequence[Ledger], into: Ledger) -> Merged:
    """Take rows, arrays and plans of other studies into ``into``, which may have some already; sources are only read.

    Of a cell with several rows an ok one is used before one that is not, and the first of those that are ok. A row of
    the same cell with other scores is kept as ``apart/<digest>-<number>.json``, and named. Of plans of one name the one
    with more seeds is used. Running it again changes nothing.

    Raises:
        LedgerError: a folder cannot be read or written.
    """
    into.convert()
    taken = equal = 0
    apart: list[str] = []
    for source in sources:
        digests = sorted(source.states())
        for portion in (digests[start : start + AT_ONCE] for start in range(0, len(digests), AT_ONCE)):
            theirs, ours = source.rows(portion), into.rows(portion)
            new = [row for digest, row in theirs.items() if digest not in ours or _is_better(row, ours[digest])]
            arrays = {row.cell.digest: source.examples(row.cell.digest) for row in new}
            into.append(new, {digest: each for digest, each in arrays.items() if each is not None})
            taken += len(new)
            for digest, row in theirs.items():
                if digest in ours and row.status == ours[digest].status == "ok":
                    if row.scores == ours[digest].scores:
                        equal += 1
                    else:
                        _keep_apart(row, into)
                        apart.append(digest)
        _take_plans(source, into)
    into.compact()
    return Merged(taken=taken, equal=equal, apart=tuple(dict.fromkeys(apart)))


def _is_better(row: Row, than: Row) -> bool:
    return row.status == "ok" and than.status != "ok"


def _keep_apart(row: Row, into: Ledger) -> None:
    content, number = row.to_json().encode(), 0
    while (found := into.folder.read(f"{APART}/{row.cell.digest}-{number}.json")) is not None:
        if found == content:
            return
        number += 1
    into.folder.write(f"{APART}/{row.cell.digest}-{number}.json", content)


def _take_plans(source: Ledger, into: Ledger) -> None:
    seeds = {plan.name: len(plan.seeds) for plan in into.plans()}
    for plan in source.plans():
        if len(plan.seeds) > seeds.get(plan.name, 0):
            into.write_plan(plan)
