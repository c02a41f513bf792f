"""Plan documents as the study writes them, in all their versions, read into typed values."""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from promptad.scoring.metric_table import METRICS
from reports.reading.forms import PLAN
from reports.reading.records import SCHEMA, Arm, Factor, Obstacle, Plan, PlannedCell, PrintedNumber
from reports.reading.shapes import MOST_FAULTS, DocumentError, check, shown

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


def read_plan(raw: Mapping[str, Any]) -> Plan:
    """The plan JSON as a typed value.

    Raises:
        DocumentError: naming its faults: schema, absent keys, values of other types, unknown baseline or arms, a cell
            planned twice.
    """
    name = raw.get("name", "?")
    if raw.get("schema") != SCHEMA:
        raise DocumentError(
            f"plan schema must be {SCHEMA}, but {shown(name)} has {shown(raw.get('schema'))}: plan it again with this "
            "version"
        )
    check(raw, PLAN, f"plan {shown(name)} must have the form of schema {SCHEMA}, but")
    plan = Plan(
        name=str(raw["name"]),
        ablation=str(raw["ablation"]),
        title=str(raw["title"]),
        question=str(raw["question"]),
        method_note=str(raw.get("method_note") or ""),
        baseline=raw["baseline"],
        backbone=str(raw["backbone"]),
        weights_label=str(raw["weights_label"]),
        protocol=str(raw["protocol"]),
        selection=str(raw["selection"]),
        dataset=str(raw["dataset"]),
        dataset_title=str(raw["dataset_title"]),
        categories=tuple(raw["categories"]),
        shots=tuple(raw["shots"]),
        seeds=tuple(raw["seeds"]),
        tasks=tuple(raw["tasks"]),
        arms=tuple(
            Arm(
                name=arm["name"],
                label=arm["label"],
                marks=arm.get("marks") or {},
                changes=arm.get("changes") or {},
                factors=arm.get("factors") or {},
                method=str(arm.get("method") or ""),
                not_runnable=_not_runnable(arm),
                random_weights=bool(arm.get("random_weights", raw["weights_label"] == RANDOM_LABEL)),
            )
            for arm in raw["arms"]
        ),
        printed=_printed(raw),
        one_support_set={
            (each["arm"], each["shots"]): tuple(each["categories"]) for each in raw.get("one_support_set") or ()
        },
        printed_firsts={
            (each["dataset"], each["metric"], each["shots"]): bool(each["first"])
            for each in raw.get("printed_firsts") or ()
        },
        cells=_planned_cells(raw["cells"]),
        proxies=_planned_cells(raw.get("proxies") or ()),
        data_cautions=tuple(raw.get("data_cautions") or ()),
        left_out=tuple((item["image"], item["reason"]) for item in raw.get("left_out") or ()),
        metrics=tuple(_OLDEST_METRICS if raw.get("metrics") is None else raw["metrics"]),
        design=str(raw.get("design") or ""),
        factors=tuple(
            Factor(name=factor["name"], label=factor.get("label") or factor["name"], levels=tuple(factor["levels"]))
            for factor in raw.get("factors") or ()
        ),
        shown_as=tuple(raw.get("shown_as") or FIRST_FORM),
        prompts=_prompts(raw.get("prompts") or {}),
    )
    faults = list(_plan_faults(plan))
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise DocumentError(f"plan {plan.name} must be consistent, but: {'; '.join(faults[:MOST_FAULTS])}{more}")
    return plan


def _planned_cells(raw: Iterable[Mapping[str, Any]]) -> tuple[PlannedCell, ...]:
    # A document from before rows had shots of their own names the number alone.
    return tuple(
        PlannedCell(**{key: cell[key] for key in PlannedCell.__dataclass_fields__ if key != "images"}, images=images)
        for cell in raw
        for images in [cell.get("images", cell["shots"])]
    )


def _printed(raw: Mapping[str, Any]) -> tuple[PrintedNumber, ...]:
    """The printed numbers; those of a document from before they were decided one by one get no verdict."""
    if raw.get("printed") is not None:
        return tuple(
            PrintedNumber(
                **{key: number[key] for key in PrintedNumber.__dataclass_fields__ if key != "obstacles"},
                obstacles=tuple(
                    Obstacle(reason=obstacle["reason"], text=obstacle["text"]) for obstacle in number["obstacles"]
                ),
            )
            for number in raw["printed"]
        )
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


def _not_runnable(arm: Mapping[str, Any]) -> str | None:
    return None if arm.get("runnable", True) else str(arm.get("not_runnable_reason") or "no reason recorded")


def _prompts(raw: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Suffixes by group; a group of groups ("own": by category) is flattened."""
    found: dict[str, tuple[str, ...]] = {}
    for group, texts in raw.items():
        if isinstance(texts, Mapping):
            found.update({str(name): tuple(map(str, inner)) for name, inner in texts.items()})
        else:
            found[str(group)] = tuple(map(str, texts))
    return found


def _plan_faults(plan: Plan) -> list[str]:
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
        for value in dict.fromkeys(values)
        if values.count(value) > 1
    ]
    known = {axis: frozenset(values) for axis, values in {"arm": names, **axes}.items()}
    places = set()
    for cell in (*plan.cells, *plan.proxies):
        for axis, values in known.items():
            if getattr(cell, axis) not in values:
                faults.append(f"cell {cell.digest} has {axis} {getattr(cell, axis)!r}, which the plan does not list")
    for cell in plan.cells:
        place = (cell.arm, cell.category, cell.shots, cell.seed, cell.task)
        if place in places:
            faults.append(f"cell {place} is planned twice")
        places.add(place)
    return faults
