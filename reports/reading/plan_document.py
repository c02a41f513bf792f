"""Plan documents: one class that writes them and reads them, in all the forms that a study ever wrote."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from promptad.scoring.metric_table import METRICS
from reports.reading.forms import PLAN
from reports.reading.given import DataName, Given
from reports.reading.plan_parts import Arm, Factor, Obstacle, PrintedNumber
from reports.reading.planned_cells import PlannedCells
from reports.reading.shapes import MOST_FAULTS, Document, DocumentError, check, shown
from reports.reading.shots import Shots

SCHEMA = 1
# A plan's name becomes part of file names and of the page's anchors.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
LONGEST_NAME = 200
"""Signs of a plan's name: its files have longer ones, of which file systems take 255."""
OLD_PLAN = "planned by an older version, which did not decide it number by number: plan it again"
RANDOM_LABEL = "RANDOM weights"
"""How a document of the first form calls random weights."""
FIRST_FORM = ("arms", "effects", "delta_map", "examples")
"""How a document that does not say so is shown."""

_OLDEST_METRICS = ("image_auroc", "image_aupr", "pixel_auroc", "pro")
"""What every table had when plans did not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffixes:
    """The manual anomaly suffixes: those of every product, and those of one alone by its category."""

    generic: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_json(cls, raw: Document) -> Suffixes:
        """From its part of a document."""
        return cls(
            generic=tuple(raw.get("generic") or ()),
            own={category: tuple(texts) for category, texts in (raw.get("own") or {}).items()},
        )

    def as_json(self) -> dict[str, object]:
        """As a document holds it."""
        return {"generic": list(self.generic), "own": {category: list(texts) for category, texts in self.own.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One ablation as planned. `name` is unique in its study, and ends with `digest` (empty in an old document).

    `data_sets` are those that the paper shows the table for; `method` is where the base config comes from, if a search
    found it, as its file says it. `one_support_set` holds the categories whose seeds all see the same support images,
    by arm and shots. `proxies` are cells that are asked about pseudo-anomalies in place of test images; no table holds
    them. `printed_firsts` says of each data set, metric and shots of the paper's table whether the baseline is first
    there. `left_out` are images and why.
    """

    name: str
    digest: str
    ablation: str
    title: str
    question: str
    method_note: str
    design: str
    factors: tuple[Factor, ...]
    baseline: str | None
    backbone: str
    weights_label: str
    protocol: str
    selection: str
    dataset: str
    dataset_title: str
    given: Given
    data_sets: tuple[str, ...]
    categories: tuple[str, ...]
    shots: tuple[Shots, ...]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    shown_as: tuple[str, ...]
    arms: tuple[Arm, ...]
    printed: tuple[PrintedNumber, ...]
    printed_firsts: Mapping[tuple[str, str, Shots | None], bool]
    one_support_set: Mapping[tuple[str, Shots], tuple[str, ...]]
    prompts: Suffixes | None
    cells: PlannedCells
    proxies: PlannedCells
    method: Mapping[str, object] | None
    data_cautions: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def runnable(self) -> tuple[Arm, ...]:
        """The arms that have cells."""
        return tuple(arm for arm in self.arms if arm.runnable)

    @property
    def random_arms(self) -> tuple[Arm, ...]:
        """The arms that run on random weights."""
        return tuple(arm for arm in self.runnable if arm.random_weights)

    @property
    def asked(self) -> PlannedCells:
        """All cells: those of the table, and those that are asked about pseudo-anomalies."""
        return PlannedCells((*self.cells.blocks, *self.proxies.blocks))

    @property
    def data_name(self) -> DataName:
        """What headings call the data by."""
        return DataName(title=self.dataset_title, given=self.given)

    def as_json(self) -> dict[str, object]:
        """The document, of the newest form."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "digest": self.digest,
            "ablation": self.ablation,
            "title": self.title,
            "question": self.question,
            "method_note": self.method_note,
            "design": self.design,
            "factors": [factor.as_json() for factor in self.factors],
            "baseline": self.baseline,
            "backbone": self.backbone,
            "weights_label": self.weights_label,
            "protocol": self.protocol,
            "selection": self.selection,
            "dataset": self.dataset,
            "dataset_title": self.dataset_title,
            "given": self.given.as_json(),
            "data_sets": list(self.data_sets),
            "categories": list(self.categories),
            "shots": list(self.shots),
            "seeds": list(self.seeds),
            "tasks": list(self.tasks),
            "metrics": list(self.metrics),
            "shown_as": list(self.shown_as),
            "arms": [arm.as_json() for arm in self.arms],
            "printed": [number.as_json() for number in self.printed],
            "printed_firsts": [
                {"dataset": dataset, "metric": metric, "shots": shots, "first": first}
                for (dataset, metric, shots), first in self.printed_firsts.items()
            ],
            "one_support_set": [
                {"arm": arm, "shots": shots, "categories": list(categories)}
                for (arm, shots), categories in self.one_support_set.items()
            ],
            "prompts": None if self.prompts is None else self.prompts.as_json(),
            "cells": self.cells.as_json(),
            "proxies": self.proxies.as_json(),
            "method": None if self.method is None else dict(self.method),
            "data_cautions": list(self.data_cautions),
            "left_out": [{"image": image, "reason": reason} for image, reason in self.left_out],
        }

    @classmethod
    def from_json(cls, raw: Document) -> Plan:
        """A document of any form.

        Raises:
            DocumentError: naming its faults: schema, absent keys, values of other types, unknown baseline or arms, a
                cell planned twice.
        """
        name = raw.get("name", "?")
        if raw.get("schema") != SCHEMA:
            raise DocumentError(
                f"plan schema must be {SCHEMA}, but {shown(name)} has {shown(raw.get('schema'))}: plan it again with "
                "this version"
            )
        check(raw, PLAN, f"plan {shown(name)} must have the form of schema {SCHEMA}, but")
        prompts = raw.get("prompts")
        plan = cls(
            name=raw["name"],
            digest=raw.get("digest") or "",
            ablation=raw["ablation"],
            title=raw["title"],
            question=raw["question"],
            method_note=raw.get("method_note") or "",
            design=raw.get("design") or "",
            factors=tuple(Factor.from_json(factor) for factor in raw.get("factors") or ()),
            baseline=raw["baseline"],
            backbone=raw["backbone"],
            weights_label=raw["weights_label"],
            protocol=raw["protocol"],
            selection=raw["selection"],
            dataset=raw["dataset"],
            dataset_title=raw["dataset_title"],
            given=Given.from_json(raw.get("given")),
            data_sets=tuple(raw.get("data_sets") or ()),
            categories=tuple(raw["categories"]),
            shots=tuple(raw["shots"]),
            seeds=tuple(raw["seeds"]),
            tasks=tuple(raw["tasks"]),
            metrics=tuple(_OLDEST_METRICS if raw.get("metrics") is None else raw["metrics"]),
            shown_as=tuple(raw.get("shown_as") or FIRST_FORM),
            arms=tuple(Arm.from_json(arm, random_weights=raw["weights_label"] == RANDOM_LABEL) for arm in raw["arms"]),
            printed=_printed(raw),
            printed_firsts={
                (each["dataset"], each["metric"], each["shots"]): each["first"]
                for each in raw.get("printed_firsts") or ()
            },
            one_support_set={
                (each["arm"], each["shots"]): tuple(each["categories"]) for each in raw.get("one_support_set") or ()
            },
            prompts=Suffixes.from_json(prompts) if prompts else None,
            cells=PlannedCells.from_json(raw["cells"]),
            proxies=PlannedCells.from_json(raw.get("proxies") or ()),
            method=raw.get("method"),
            data_cautions=tuple(raw.get("data_cautions") or ()),
            left_out=tuple((each["image"], each["reason"]) for each in raw.get("left_out") or ()),
        )
        if faults := _faults(plan):
            more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
            raise DocumentError(f"plan {plan.name} must be consistent, but: {'; '.join(faults[:MOST_FAULTS])}{more}")
        return plan


def _printed(raw: Document) -> tuple[PrintedNumber, ...]:
    """The printed numbers; those of a document from before they were decided one by one get no verdict."""
    if raw.get("printed") is not None:
        return tuple(PrintedNumber.from_json(number) for number in raw["printed"])
    keys = {arm["name"]: arm.get("published") for arm in raw["arms"]}
    return tuple(
        PrintedNumber(
            arm=arm,
            shots=shots,
            metric=number["metric"],
            dataset=number["dataset"],
            category=number.get("category"),
            printed_shots=number["shots"],
            value=float(number["value"]),
            std=number.get("std"),
            note="",
            draws=True,
            obstacles=(Obstacle(reason="old_plan", text=OLD_PLAN),),
        )
        for number in raw.get("published") or ()
        for arm, key in keys.items()
        for shots in raw["shots"]
        if key == number["factors"]
        and number["shots"] in (shots, None)
        and raw.get("published_dataset") in (None, number["dataset"])
    )


def _faults(plan: Plan) -> list[str]:
    """What contradicts itself inside a plan."""
    faults = [f"metric {name!r} is none of {', '.join(METRICS)}" for name in plan.metrics if name not in METRICS]
    if not NAME.fullmatch(plan.name) or len(plan.name) > LONGEST_NAME:
        faults.append(
            f"its name must be at most {LONGEST_NAME} letters, digits, '_', '.', '+' or '-', but is {plan.name!r}"
        )
    names = [arm.name for arm in plan.arms]
    if strange := sorted({number.arm for number in plan.printed} - set(names)):
        faults.append(f"printed numbers are of arms that it does not have ({', '.join(strange)})")
    if len(set(names)) < len(names):
        faults.append(f"arm names repeat ({', '.join(names)})")
    if len(pools := {arm.pool for arm in plan.arms if arm.pool}) > 1:
        faults.append(f"models of all categories must be of one pool, but are of {len(pools)}")
    if plan.baseline is not None and plan.baseline not in names:
        faults.append(f"baseline {plan.baseline!r} is none of its arms ({', '.join(names)})")
    axes: dict[str, Sequence[Hashable]] = {
        "category": plan.categories,
        "shots": plan.shots,
        "seed": plan.seeds,
        "task": plan.tasks,
    }
    faults += [
        f"{axis} {value!r} is listed twice"
        for axis, values in axes.items()
        for value, times in Counter(values).items()
        if times > 1
    ]
    known = {axis: frozenset(values) for axis, values in {"arm": names, **axes}.items()}
    seeds: dict[tuple[str, str, Shots, str], set[int]] = defaultdict(set)
    for block in (*plan.cells.blocks, *plan.proxies.blocks):
        for axis, values in known.items():
            for value in block.seeds if axis == "seed" else (getattr(block, axis),):
                if value not in values:
                    faults.append(f"cell {block.digests[0]} has {axis} {value!r}, which the plan does not list")
    for block in plan.cells.blocks:
        earlier = seeds[block.arm, block.category, block.shots, block.task]
        if twice := earlier & set(block.seeds) or len(set(block.seeds)) < len(block.seeds):
            named = min(twice) if isinstance(twice, set) else next(s for s in block.seeds if block.seeds.count(s) > 1)
            place = (block.arm, block.category, block.shots, named, block.task)
            faults.append(f"cell {place} is planned twice")
        earlier.update(block.seeds)
    return faults
