"""Hand-made searches for the tests of sensitivity: a document, trials of known values, and their files."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reports.searches.search_reading import SearchFiles
from study.records.folder import StudyFolder

Document = dict[str, Any]

LR = {"name": "lr", "label": "learning rate", "kind": "float", "low": 1e-4, "high": 1e-1, "log": True, "paper": 0.002}
TOKENS = {"name": "tokens", "label": "learnable tokens", "kind": "int", "low": 1, "high": 8, "paper": 4}
LOSS = {"name": "loss", "label": "alignment loss", "kind": "choice", "values": ["on", "off"], "paper": "on"}
WEIGHT = {
    "name": "weight",
    "label": "weight of the loss",
    "kind": "float",
    "low": 0.0,
    "high": 1.0,
    "when": {"parent": "loss", "values": ["on"]},
    "paper": 0.5,
}
SPACE = (LR, TOKENS, LOSS, WEIGHT)
SEEDS = (0, 1, 2)
CATEGORIES = ("bolt", "gear")


def parameter(**keys: Any) -> Document:
    """A parameter with every key of the format."""
    base = dict.fromkeys(("low", "high", "log", "step", "values", "when", "paper", "fields"))
    return base | keys


def document(
    name: str = "quick",
    *,
    space: Sequence[Mapping[str, Any]] = SPACE,
    metrics: Sequence[str] = ("mean_auroc",),
    directions: Sequence[str] = ("maximize",),
    **changes: Any,
) -> Document:
    """A valid search document; `changes` overwrite its keys."""
    made = {
        "schema": 1,
        "name": name,
        "id": name,
        "space": [parameter(**keys) for keys in space],
        "objective": {
            "name": "mean",
            "label": "Mean image AUROC",
            "metrics": list(metrics),
            "directions": list(directions),
            "tuned_on": "the test set that it reports",
            "on_test": True,
            "query": "test",
            "tune_categories": list(CATEGORIES),
            "held_out": [],
        },
        "sampler": "random",
        "prune": None,
        "seed": 0,
        "trials": 40,
        "base": {},
        "backbone": "tiny",
        "weights": "0123456789abcdef",
        "method": "promptad",
        "dataset": "synthetic",
        "categories": list(CATEGORIES),
        "shots": 1,
        "seeds": list(SEEDS),
        "tasks": ["image"],
        "report": None,
    }
    return made | changes


def steps(
    value: Callable[[str, int], float],
    *,
    seeds: Sequence[int] = SEEDS,
    categories: Sequence[str] = CATEGORIES,
    task: str = "image",
) -> list[Document]:
    """One step per category and seed; `value(category, seed)` is what it measured."""
    return [
        {"cell": f"{c}{s}", "category": c, "seed": s, "task": task, "value": value(c, s)}
        for s in seeds
        for c in categories
    ]


def trial(
    number: int,
    params: Mapping[str, Any],
    *,
    value: Any = None,
    values: Sequence[float] | None = None,
    state: str = "complete",
    **changes: Any,
) -> Document:
    """A trial record. `value` is a number or a function of (category, seed), whose mean becomes the objective."""
    measured = value if callable(value) else (lambda _c, _s: value)
    made = [] if value is None else steps(measured)
    if values is None and state == "complete":
        values = [math.fsum(step["value"] for step in made) / len(made)]
    base = {
        "number": number,
        "params": params,
        "distributions": {},
        "state": state,
        "values": values if state == "complete" else None,
        "steps": made,
        "cells": [step["cell"] for step in made],
        "reason": None,
        "seconds": 10.0,
    }
    return base | changes


def score_of(params: Mapping[str, Any]) -> Any:
    """The fabricated score of a configuration: learning rate matters most, then tokens; weight hardly."""
    return (
        0.90
        - 0.05 * (math.log10(params["lr"]) + 2.2) ** 2
        + 0.006 * params["tokens"]
        + 0.004 * (params["loss"] == "on")
        + 0.002 * params.get("weight", 0.0)
    )


def many_trials(count: int = 40, *, seed: int = 0, pruned: int = 0, failed: int = 0) -> list[Document]:
    """Random configurations of SPACE, the first at the defaults; the last ones pruned after one seed or failed."""
    generator = np.random.default_rng(seed)
    shifts = {0: 0.0, 1: 0.01, 2: -0.02}
    made = []
    for number in range(count):
        params = {
            "lr": float(10 ** generator.uniform(-4, -1)),
            "tokens": int(generator.integers(1, 9)),
            "loss": ("on", "off")[int(generator.integers(2))],
        }
        if params["loss"] == "on":
            params["weight"] = float(generator.uniform())
        if number == 0:
            params = {"lr": 0.002, "tokens": 4, "loss": "on", "weight": 0.5}
        noise = {(c, s): float(generator.normal(0, 0.004)) for c in CATEGORIES for s in SEEDS}
        base = score_of(params)
        made.append(trial(number, params, value=lambda c, s, b=base, n=noise: b + shifts[s] + n[c, s]))
    for one in made[count - pruned - failed : count - failed]:
        one |= {"state": "pruned", "values": None, "steps": one["steps"][:2], "reason": "worse than the median"}
    for one in made[count - failed :]:
        one |= {"state": "failed", "values": None, "steps": [], "reason": "out of memory"}
    return made


def files(
    made: Document,
    trials: Iterable[Document],
    *,
    name: str | None = None,
    sensitivity: Document | None = None,
    damaged: Mapping[str, str] | None = None,
) -> SearchFiles:
    """The files of a search as the study hands them to the report."""
    name = made["name"] if name is None else name
    return SearchFiles(
        name=name,
        document=made,
        trials={f"searches/{name}/{one['number']:04d}.json": one for one in trials},
        sensitivity=sensitivity,
        damaged=damaged or {},
    )


def write_search(folder: StudyFolder, made: Document, trials: Iterable[Document]) -> None:
    """Put a search into a study folder (a `StudyFolder`)."""
    folder.write(f"searches/{made['name']}.json", json.dumps(made).encode())
    for one in trials:
        folder.write(f"searches/{made['name']}/{one['number']:04d}.json", json.dumps(one).encode())
