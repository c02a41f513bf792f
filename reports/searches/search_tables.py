"""The best configurations of a search as a table for the page and as CSV, and all its trials as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports.reading.shapes import Document
from reports.searches.axes import value_text
from reports.searches.search import Objective, Search, Trial
from reports.searches.winners import Candidate, FreshScore, candidates, fresh_claims
from reports.statistics import Effect, Summary
from reports.style import six
from reports.tables.formats import claim_text, no_interval_reason, percent, points
from reports.tables.grids import Grid, Spot, claim_tone

NOT_AGAIN = "not re-evaluated"
Rows = Mapping[str, Document]


def number_text(objective: Objective, value: float) -> str:
    """A value of an objective: in percent if it is a fraction, else three digits."""
    return percent(value) if objective.fraction else f"{value:.3g}"


def changed_text(search: Search, trial: Trial) -> tuple[str, ...]:
    """What a configuration sets otherwise than the paper: "learning rate 0.004"."""
    return tuple(
        f"{parameter.label} {value_text(trial.params[parameter.name])}"
        for parameter in search.parameters
        if parameter.name in trial.params and not parameter.is_default(trial.params[parameter.name])
    )


def best_grid(search: Search, rows: Rows) -> Grid:
    """A row per candidate: its value in the search, on fresh seeds, and both against the paper's defaults.

    Only differences on fresh seeds carry a claim: in the search, the candidates were chosen by them.
    """
    head = [("Configuration", "what differs from the paper")]
    columns: list[tuple[Spot, ...]] = []
    made = fresh_claims([candidates(search, place, rows) for place in range(len(search.objectives))])
    for place, (objective, found) in enumerate(zip(search.objectives, made, strict=True)):
        if not columns:
            columns.append(tuple(_label(search, one) for one in found))
        head.append((objective.label, "in the search"))
        columns.append(tuple(Spot(main=number_text(objective, one.trial.values[place])) for one in found))
        if not objective.tasks:
            continue
        head.append(("Against the defaults", "in the search, points"))
        why_not = "the defaults were not tried" if search.default_trial is None else "no seed has both"
        columns.append(tuple(_difference(one, one.effect, why_not) for one in found))
        head.append(("Test AUROC", "on fresh seeds"))
        columns.append(tuple(_fresh(objective, one.fresh) for one in found))
        if search.fresh is not None:
            head += [("Against the defaults", "on fresh seeds, points"), ("Optimism", "search minus fresh, points")]
            columns.append(tuple(_fresh_difference(one) for one in found))
            columns.append(tuple(_optimism(one) for one in found))
    return Grid(title="", head=tuple(head), rows=tuple(zip(*columns, strict=True)))


def _label(search: Search, one: Candidate) -> Spot:
    if one.default:
        return Spot(main="paper's defaults", notes=(f"trial {one.trial.number}",), tone="baseline")
    return Spot(main=f"trial {one.trial.number}", notes=(", ".join(changed_text(search, one.trial)),))


def _difference(one: Candidate, effect: Effect | None, why_not: str) -> Spot:
    if one.default:
        return Spot(main="baseline", tone="absent")
    if effect is None:
        return Spot(main=why_not, tone="absent")
    return Spot(main=points(effect.summary.mean), lines=_spread(effect.summary, points))


def _fresh_difference(one: Candidate) -> Spot:
    effect = one.fresh.effect if one.fresh else None
    spot = _difference(one, effect, NOT_AGAIN)
    return spot if effect is None else replace(spot, lines=(claim_text(effect), *spot.lines), tone=claim_tone(effect))


def _spread(summary: Summary, text: Any) -> tuple[str, ...]:
    if summary.interval is None:
        return (no_interval_reason(summary), f"n = {summary.n}")
    low, high = summary.interval
    return (f"[{text(low)}, {text(high)}]", f"n = {summary.n}")


def _fresh(objective: Objective, fresh: FreshScore | None) -> Spot:
    if fresh is None:
        return Spot(main=NOT_AGAIN, tone="absent")
    if fresh.summary is None:
        return Spot(main=f"incomplete ({fresh.there} of {fresh.planned} cells)", tone="absent")
    return Spot(main=number_text(objective, fresh.summary.mean), lines=_spread(fresh.summary, percent))


def _optimism(one: Candidate) -> Spot:
    return Spot(main=NOT_AGAIN, tone="absent") if one.optimism is None else Spot(main=points(one.optimism))


def best_csv(search: Search, rows: Rows) -> str:
    """The table of the best configurations: one line per configuration and objective, fractions, "NA" if absent."""
    lines = []
    for place, objective in enumerate(search.objectives):
        for one in candidates(search, place, rows):
            fresh = one.fresh
            lines.append(
                {
                    "trial": str(one.trial.number),
                    "default": "yes" if one.default else "no",
                    **_params(search, one.trial),
                    "objective": objective.metric,
                    "in_search": six(one.trial.values[place]),
                    **_fields("difference", one.effect.summary if one.effect else None),
                    **_fields("fresh", fresh.summary if fresh else None),
                    **_fields("fresh_difference", fresh.effect.summary if fresh and fresh.effect else None),
                    "optimism": six(one.optimism),
                    "fresh_cells": f"{fresh.there} of {fresh.planned}" if fresh else NOT_AGAIN,
                }
            )
    return _csv(lines)


def trials_csv(search: Search) -> str:
    """One line per trial: state, parameters ("NA": not active), values, cells and seconds."""
    return _csv(
        [
            {
                "trial": str(trial.number),
                "state": trial.state,
                **_params(search, trial),
                **{
                    one.metric: six(trial.values[place] if trial.values else None)
                    for place, one in enumerate(search.objectives)
                },
                "cells": str(len(trial.steps)),
                "seconds": six(trial.seconds),
                "reason": trial.reason or "NA",
            }
            for trial in search.trials
        ]
    )


def _params(search: Search, trial: Trial) -> dict[str, str]:
    return {
        f"param {parameter.name}": _exact(trial.params[parameter.name]) if parameter.name in trial.params else "NA"
        for parameter in search.parameters
    }


def _exact(value: object) -> str:
    return repr(value) if isinstance(value, float) else value_text(value)


def _fields(name: str, summary: Summary | None) -> dict[str, str]:
    return {
        name: six(summary.mean if summary else None),
        f"{name}_low": six(summary.low if summary else None),
        f"{name}_high": six(summary.high if summary else None),
        f"{name}_n": str(summary.n if summary else 0),
    }


def _csv(lines: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else ["nothing"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
