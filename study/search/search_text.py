"""Output of a search: its progress, its best trials, and whose labels chose them."""

from __future__ import annotations

from collections import Counter

from reports.reading.shapes import Document
from study.search.engine import Search
from study.search.objectives import pair_values
from study.search.pruning import DEFAULT_THRESHOLD, replayed
from study.search.trial_records import TrialRecord

SHOWN = 5
"""Number of listed trials."""


def begun(search: Search, trials: int) -> str:
    """The lines at the start of a search."""
    plan = search.plan
    objective, request = plan.document["objective"], plan.request
    per_trial = len(plan.cells({}))
    known = f", {len(search.records)} are there already" if search.records else ""
    lines = [
        f"search {plan.id}: {trials} trials of {per_trial} cells each by {request.sampler}{known}",
        f"objective {objective['name']}: {objective['label']}",
        f"tuned on: {objective['tuned_on']}",
    ]
    if plan.objective.query == "synthetic" and plan.document["shots"] == 1:
        lines.append(
            "with one support image nothing can be held out: configs are judged on turned and shifted views of the "
            "image that they were fitted on"
        )
    return "\n".join(lines)


def trial_line(record: TrialRecord) -> str:
    """One trial as it ends."""
    values = record.state if record.values is None else " ".join(f"{value:.4f}" for value in record.values)
    reason = f": {record.reason}" if record.state == "failed" else ""
    return f"trial {record.number}: {values}  {_params(record.params)}{reason}"


def ended(search: Search) -> str:
    """The lines at its end: counts, best trials, what early stopping saved or would have saved."""
    plan, records = search.plan, search.records
    objective = plan.document["objective"]
    states = Counter(record.state for record in records.values())
    cells = {digest for record in records.values() for digest in record.cells}
    counts = ", ".join(f"{states[state]} {state}" for state in ("complete", "pruned", "failed") if states[state])
    lines = [f"{len(records)} trials ({counts or 'none'}) of {len(cells)} different cells"]
    best = best_trials(search)
    if not best:
        return "\n".join([*lines, "no trial is complete: there is no best config"])
    pairs = len(pair_values(best[0].steps))
    lines.append(f"{'Pareto front' if not plan.objective.single else 'best trials'} by {objective['label']}:")
    lines.append(f"  trial  {'  '.join(objective['metrics'])}  n")
    for record in best:
        values = "  ".join(f"{value:.4f}" for value in record.values or ())
        lines.append(f"  {record.number:>5}  {values}  {pairs}  {_params(record.params)}")
    lines.append(f"n: pairs of category and seed behind a mean. tuned on: {objective['tuned_on']}")
    if objective["on_test"]:
        lines.append("TUNED ON TEST: these values are maxima over trials on the test labels, not what to expect")
    else:
        lines.append(
            "the value of the best trial is a maximum over trials: it flatters; real defects may rank otherwise"
        )
    lines += saved(search)
    return "\n".join(lines)


def best_trials(search: Search) -> list[TrialRecord]:
    """The best complete trials in order, or the Pareto front by number."""
    complete = [record for record in search.records.values() if record.state == "complete"]
    if search.plan.objective.single:
        return sorted(complete, key=lambda record: (-(record.values or (0.0,))[0], record.number))[:SHOWN]
    front = {trial.number for trial in search.study.best_trials} if complete else set()
    return sorted((record for record in complete if record.number in front), key=lambda record: record.number)


def saved(search: Search) -> list[str]:
    """What early stopping saved; in a search without it, what it would have saved, by replaying the trials."""
    plan, records = search.plan, search.records
    if not plan.objective.single:
        return []
    pruned = [record for record in records.values() if record.state == "pruned"]
    if plan.request.prune is not None:
        if not pruned:
            return []
        whole = len(plan.cells(pruned[0].params))
        spared = sum(whole - len(record.cells) for record in pruned)
        total = spared + sum(len(record.cells) for record in records.values())
        return [f"early stopping spared {spared} of {total} cells ({len(pruned)} trials); they enter no mean"]
    complete = {
        number: list(pair_values(record.steps).values())
        for number, record in records.items()
        if record.state == "complete"
    }
    if len(complete) < 2:
        return []
    steps = next(iter(records[number] for number in complete))
    replay = replayed(
        complete, cells_per_pair=len(steps.steps) / len(pair_values(steps.steps)), threshold=DEFAULT_THRESHOLD
    )
    same = "the same winner" if replay.same_winner else f"trial {replay.winner} as winner instead"
    return [
        f"replayed with early stopping at p < {DEFAULT_THRESHOLD:g}: {replay.saved} of {replay.cells} cells spared "
        f"({len(replay.stopped)} trials stopped), {same}"
    ]


def held_out_text(report: Document) -> str:
    """What the chosen config and the base are worth on the categories that were held out."""
    names = ", ".join(report["held_out"])
    lines = [f"on the held-out categories ({names}), whose labels were not looked at:"]
    for who in ("winner", "base"):
        value = report[who]["value"]
        lines.append(f"  {who:<6}  {'no value: a cell failed' if value is None else f'{value:.4f}'}")
    return "\n".join(lines)


def _params(params: Document) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )
