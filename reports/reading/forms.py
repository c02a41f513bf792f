"""The form of every document of a study: what a plan, a row, a search, a trial and importances must hold."""

from promptad.scoring.metric_table import METRICS
from reports.reading.given import GIVEN
from reports.reading.shapes import (
    Shape,
    anything,
    by_name,
    each,
    either,
    flag,
    maybe,
    moment,
    number,
    one_of,
    record,
    text,
    whole,
)

STATUSES = ("ok", "failed", "pruned", "unavailable")
TRIAL_STATES = ("complete", "pruned", "failed")

_COLUMN = either(one_of("full", "own"), whole)
_PRINTED_SHOTS = either(one_of("full"), whole)


_metric = Shape(
    rule="a metric of the table",
    # Evaluated when a document is read: the table may have new entries since the import.
    find=lambda value, place: one_of(*METRICS)(value, place),
)


_ONE_CELL = record(
    {"digest": text, "arm": text, "category": text, "shots": _COLUMN, "seed": whole, "task": text}, {"images": whole}
)
_CELLS = record(
    {
        **dict.fromkeys(("digests", "arm", "category", "task"), text),
        "shots": _COLUMN,
        "images": whole,
        "seeds": each(whole),
    }
)
# A block of cells, or one cell, as older documents list them.
_CELL = Shape(
    rule="cells of a place in the table",
    find=lambda value, place: _form_of_cells(value)(value, place),
    quick=lambda value: _form_of_cells(value).fits(value),
)


def _form_of_cells(value: object) -> Shape:
    return _CELLS if isinstance(value, dict) and "digests" in value else _ONE_CELL


_ARM = record(
    {"name": text, "label": text},
    {
        "marks": by_name(anything),
        "changes": by_name(anything),
        "factors": by_name(anything),
        "method": text,
        "runnable": flag,
        "not_runnable_reason": text,
        "random_weights": flag,
        "runs": text,
        "backbone": text,
        "config": by_name(anything),
        "pool": each(text),
    },
)
_PRINTED = record(
    {
        "arm": text,
        "shots": _COLUMN,
        "metric": _metric,
        "dataset": text,
        "category": maybe(text),
        "printed_shots": maybe(_PRINTED_SHOTS),
        "value": number,
        "std": maybe(number),
        "note": text,
        "draws": flag,
        "obstacles": each(record({"reason": text, "text": text})),
    }
)
_FIRST_PUBLISHED = record(
    {"metric": _metric, "dataset": text, "value": number, "factors": text, "shots": _PRINTED_SHOTS}
)

PLAN = record(
    {
        "schema": whole,
        **dict.fromkeys(("name", "ablation", "title", "question", "backbone", "weights_label"), text),
        **dict.fromkeys(("protocol", "selection", "dataset", "dataset_title"), text),
        "baseline": maybe(text),
        "categories": each(text),
        "shots": each(_COLUMN),
        "seeds": each(whole),
        "tasks": each(one_of("image", "pixel")),
        "arms": each(_ARM),
        "cells": each(_CELL),
    },
    {
        "method_note": text,
        "printed": each(_PRINTED),
        "published": each(_FIRST_PUBLISHED),
        "published_dataset": text,
        "one_support_set": each(record({"arm": text, "shots": _COLUMN, "categories": each(text)})),
        "printed_firsts": each(
            record({"dataset": text, "metric": _metric, "shots": maybe(_PRINTED_SHOTS), "first": flag})
        ),
        "proxies": each(_CELL),
        "left_out": each(record({"image": text, "reason": text})),
        "data_cautions": each(text),
        "given": GIVEN,
        "metrics": each(text),
        "design": text,
        "factors": each(record({"name": text, "levels": each(anything)}, {"label": text})),
        "shown_as": each(text),
        "prompts": record({}, {"generic": each(text), "own": by_name(each(text))}),
        "digest": text,
        "data_sets": each(text),
        "method": by_name(anything),
    },
)

ROW = record(
    {"schema": whole, "digest": text, "status": one_of(*STATUSES)},
    {
        "cell": record(
            {},
            {
                **dict.fromkeys(("category", "task", "backbone"), text),
                "config": by_name(anything),
                "pool": each(record({"category": text, "data": text})),
            },
        ),
        "reason": text,
        # A score that is no fraction makes the row a failed one with that reason; see `read_row`.
        "scores": by_name(anything),
        "curve": by_name(each(number)),
        "departures": each(text),
        "support_images": each(text),
        "test_images": by_name(each(anything)),
        "view": record({"anomalous": whole, "with_mask": whole, "unseen": each(text)}, {"vanished": each(text)}),
        "seconds": by_name(number),
        "provenance": record(
            {}, {"finished": moment, "versions": by_name(anything), "attempts": number, "dirty": flag, "host": text}
        ),
        "cost": by_name(anything),
    },
)

_PARAMETER = record(
    {"name": text, "kind": text},
    {
        "label": text,
        "low": number,
        "high": number,
        "step": number,
        "log": flag,
        "values": each(anything),
        "fields": each(text),
        "when": record({"parent": text, "values": each(anything)}),
        "paper": anything,
    },
)
_JUDGED = record({"value": maybe(number), "cells": each(text)})
_FRESH = record({"seeds": each(whole), "trials": by_name(each(text))}, {"default": each(text)})
_OBJECTIVE = record(
    {
        **dict.fromkeys(("label", "tuned_on", "query"), text),
        "on_test": flag,
        "metrics": each(text),
        "directions": each(one_of("maximize", "minimize")),
    }
)
SEARCH = record(
    {
        "schema": whole,
        **dict.fromkeys(("name", "sampler", "backbone", "weights", "dataset"), text),
        "space": each(_PARAMETER),
        "objective": _OBJECTIVE,
        "trials": whole,
        "categories": each(text),
        "shots": either(each(_PRINTED_SHOTS), _PRINTED_SHOTS),
        "seeds": each(whole),
    },
    {
        "title": text,
        "dataset_title": text,
        "measures": each(record({"name": text, "title": text, "tasks": each(one_of("image", "pixel"))})),
        "adaptive": flag,
        "random_weights": flag,
        "given": GIVEN,
        "fresh": _FRESH,
        "report": record({"held_out": each(text), "winner": _JUDGED, "base": _JUDGED}),
    },
)

_STEP = record({"category": text, "seed": whole, "task": text, "value": number})
TRIAL = record(
    {"number": whole, "params": by_name(anything), "state": one_of(*TRIAL_STATES), "values": maybe(each(number))},
    {"distributions": by_name(text), "steps": each(_STEP), "cells": each(text), "reason": text, "seconds": number},
)

_SHARE = record({"all_trials": number, "low": number, "high": number}, {"mean": number})
_IMPORTANCES = record(
    {"method": text, "trials": whole},
    {"resamples": whole, "absent": by_name(text), "why_not": text, "parameters": by_name(_SHARE)},
)
SENSITIVITY = record(
    {"objectives": each(record({"methods": each(_IMPORTANCES)}, {"label": text}))}, {"made_from": text}
)
"""Importances that the study computed; those of another form are computed again."""
