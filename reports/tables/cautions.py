"""What a reader must know before using a number of a table."""

from collections.abc import Mapping, Sequence

from promptad.scoring.metric_table import METRICS
from reports.reading.rows import Sight
from reports.statistics import Summary
from reports.tables.findings import columns_text, primary_columns
from reports.tables.formats import listing, percent, points
from reports.tables.notes import on_one_set
from reports.tables.table import Table

WHOLE = frozenset({"squash", "squash_via_1024"})
"""Geometries that see the whole image."""
WELL_BELOW = 0.1
"""So far below a metric's chance, a blind guess is unlikely to be all that there is."""
LISTED = 6
"""Categories that are named one by one."""


def cautions(table: Table) -> tuple[str, ...]:
    """Every caution of a table, the gravest first."""
    said = [*_random_weights(table), *_toy_model(table), *_selected_on_test(table), *one_support_set(table)]
    said += [*out_of_view(table), *_below_chance(table), *_mixed_devices(table)]
    plan = table.plan
    said += [f"THE DATA: {caution}" for caution in plan.data_cautions]
    said += [
        f"{task.capitalize()} metrics are over {len(plan.categories) - len(reasons)} of "
        f"{len(plan.categories)} categories: {'; '.join(reasons.values())}."
        for task, reasons in table.unmeasurable.items()
        if reasons
    ]
    if len(plan.seeds) == 1:
        said.append("One seed: no standard deviation and no interval can be given.")
    return tuple(said)


def _random_weights(table: Table) -> list[str]:
    random, run = table.plan.random_arms, table.plan.runnable
    if not random:
        return []
    if len(random) == len(run):
        return ["RANDOM WEIGHTS: the backbone was never trained. These numbers test the machinery, not the method."]
    named = listing([f"“{arm.label}”" for arm in random])
    return [f"RANDOM WEIGHTS in {named}: that backbone was never trained, and its numbers test the machinery alone."]


def _toy_model(table: Table) -> list[str]:
    plan = table.plan
    if plan.backbone != "tiny" or plan.dataset == "synthetic" or not plan.cells:
        return []
    return [
        "TOY MODEL: the embedded tiny CLIP has seen rendered pictures alone. On other images these numbers test the "
        "machinery, not the method: use --backbone ViT-B-16-plus-240:laion400m_e32 or other real weights."
    ]


def _mixed_devices(table: Table) -> list[str]:
    rows = [row for row in table.rows.found.values() if row.provenance.get("device") is not None]
    devices = {str(row.provenance.get("card") or row.provenance["device"]) for row in rows if row.status == "ok"}
    if len(devices) < 2:
        return []
    return [
        f"MIXED DEVICES: cells of this table ran on {listing(sorted(devices))}, which round differently. Learning "
        "makes much of little: single cells may differ by points between devices, and effects hold a part of that. "
        "Run a table on one kind of device."
    ]


def _below_chance(table: Table) -> list[str]:
    """Metrics that a model without any knowledge would not have: rather labels, masks or folders are swapped."""
    low: dict[str, list[str]] = {}
    chances: dict[str, None] = {}
    for (arm, column, category), entry in table.by_category.items():
        metric = METRICS[column.metric]
        if metric.chance is not None and isinstance(entry.value, Summary) and _surely_below(entry.value, metric.chance):
            place = f"{metric.title} of {category}"
            chances[percent(metric.chance)] = None
            low.setdefault(place, []).append(f"{percent(entry.value.mean)} ({arm})")
    if not low:
        return []
    named = [
        f"{place} is {first}" + (f" and as low for {len(others)} more" if others else "")
        for place, (first, *others) in low.items()
    ]
    return [
        f"BELOW CHANCE: {_named(named)}. A method that knows nothing has {listing(list(chances))}: look whether "
        "labels, masks or folders are swapped, or the model misreads these images."
    ]


def _surely_below(value: Summary, chance: float) -> bool:
    return value.mean < chance - WELL_BELOW and (value.interval is None or value.interval[1] < chance)


def _selected_on_test(table: Table) -> list[str]:
    if not table.selected_on_test:
        return []
    arms = [
        arm.label
        for arm in table.plan.arms
        if any(table.entries[arm.name, column].selected_on_test for column in table.columns)
    ]
    whose = "" if len(arms) in (0, len(table.plan.arms)) else f" ({listing([f'“{arm}”' for arm in arms])})"
    return [
        f"SELECTED ON TEST{whose}: the epoch was chosen by its score on the test set, which makes the numbers "
        f"too good.{_optimism(table)}"
    ]


def _optimism(table: Table) -> str:
    gains = []
    for column in primary_columns(table):
        found = [gap.mean for (_, other), gap in table.optimism.items() if other == column]
        if found:
            low, high = points(min(found)), points(max(found))
            gains.append(f"{low if low == high else f'{low} to {high}'} points of {columns_text([column])}")
    return f" Over the last epoch, that choice gained {listing(gains)} (mean per arm)." if gains else ""


def one_support_set(table: Table) -> list[str]:
    """A caution if all seeds, or those of some arms or categories, share their support images."""
    extent, plan = on_one_set(table), table.plan
    if extent == "none" or len(plan.seeds) == 1:
        return []
    arms = [arm.label for arm in plan.arms if any(arm.name == name for name, _ in plan.one_support_set)]
    shared = {category for categories in plan.one_support_set.values() for category in categories}
    where = "" if extent == "all" else f" of {listing([f'“{arm}”' for arm in arms])}"
    partly = "" if len(shared) == len(plan.categories) else f" in {_named(sorted(shared))}"
    return [
        f"ONE SUPPORT SET: all seeds{where} see the same support images{partly}. The intervals are those of what else "
        "a seed draws (initial tokens, say) and say nothing of other images, so there is no verdict on published "
        "numbers."
    ]


def out_of_view(table: Table) -> tuple[str, ...]:
    """A caution on anomalous images whose anomaly lies outside the model's view, by the cells' geometry."""
    by_geometry: dict[str, dict[str, Sight]] = {}
    for row in table.rows.found.values():
        if row.sight is not None:
            geometry = str((row.cell.get("config") or {}).get("resize"))
            found = by_geometry.setdefault(geometry, {})
            category = str(row.cell.get("category"))
            # Image cells sample no masks, so the category's row with the most lost images is used.
            if category not in found or len(row.sight.vanished) > len(found[category].vanished):
                found[category] = row.sight
    return tuple(
        sentence for geometry, seen in sorted(by_geometry.items()) for sentence in _of_geometry(geometry, seen)
    )


def _of_geometry(geometry: str, seen: Mapping[str, Sight]) -> list[str]:
    said = []
    unseen = [f"{len(s.unseen)} of {s.anomalous} in {name}" for name, s in sorted(seen.items()) if s.unseen]
    if unseen and geometry in WHOLE:
        said.append(f"Some anomalous images have a mask without an anomalous pixel: {_named(unseen)}. Check the masks.")
    elif unseen:
        said.append(
            f"OUT OF VIEW: some anomalous images have no anomalous pixel in what the model sees (resize={geometry}, "
            f"which crops images that are not square): {_named(unseen)}. They count as anomalous in image metrics and "
            "as normal pixels in pixel metrics. --set resize=squash sees whole images."
        )
    if lost := [f"{len(s.vanished)} of {s.anomalous} in {name}" for name, s in sorted(seen.items()) if s.vanished]:
        said.append(
            f"Some anomalies fall between the pixels of the scored map (resize={geometry}) and count as normal pixels "
            f"in pixel metrics: {_named(lost)}. A larger map_size keeps them."
        )
    unknown = [name for name, s in sorted(seen.items()) if s.with_mask < s.anomalous]
    if unknown and geometry not in WHOLE:
        said.append(
            f"Whether every anomaly is in view is not known in {_named(unknown)}, which lack masks: "
            f"resize={geometry} crops images that are not square."
        )
    return said


def _named(parts: Sequence[str]) -> str:
    if len(parts) <= LISTED:
        return listing(parts)
    return f"{', '.join(parts[: LISTED - 1])} and {len(parts) - LISTED + 1} more"
