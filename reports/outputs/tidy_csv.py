"""A table as tidy CSV, for other programs: one line per number, fractions, six decimals."""

import csv
import io
from collections.abc import Iterable, Sequence

from reports.reading.plan_parts import Arm
from reports.statistics import Effect, Summary, claim
from reports.tables.entries import Column, Entry, Missing
from reports.tables.table import Table

NOT_GIVEN = "NA"
"""Stands in a CSV field that has no number; `status` and `reason` of the line say why."""


def to_csv(table: Table) -> str:
    """One line per arm, metric and shots; scores and effects as fractions, "NA" where there is no number."""
    lines = []
    for column in table.columns:
        for arm in table.plan.arms:
            entry = table.entries[arm.name, column]
            lines.append(
                {
                    **_context(table, arm, column),
                    "selected_on_test": _truth(entry.selected_on_test),
                    "seeds": _joined(str(seed) for seed in entry.seeds),
                    **_summary_fields(entry.value),
                    "n_categories": str(entry.n_categories),
                    **_effect_fields(table, arm, entry),
                    "published_dataset": _joined(value.dataset for value in entry.published),
                    "published": _joined(_fraction(value.value) for value in entry.published),
                    **_verdict_fields(entry),
                    "one_support_set": _truth(bool(entry.one_support_set)),
                    **_status_fields(entry.value, entry.shortfall),
                    "digests": _joined(entry.digests),
                }
            )
    return _csv(lines)


def to_category_csv(table: Table) -> str:
    """One line per arm, metric, shots and category; the mean is over the seeds that are there (`n_seeds`)."""
    lines = []
    for column in table.columns:
        for arm in table.plan.arms:
            entry = table.entries[arm.name, column]
            for category in table.plan.categories:
                found = table.by_category[arm.name, column, category]
                delta = found.delta if isinstance(found.delta, Summary) else None
                lines.append(
                    {
                        **_context(table, arm, column),
                        "selected_on_test": _truth(entry.selected_on_test),
                        "category": category,
                        **_summary_fields(found.value),
                        **_difference_fields(delta),
                        **_status_fields(found.value, found.shortfall),
                        "digests": _joined(found.digests),
                    }
                )
    return _csv(lines)


def _context(table: Table, arm: Arm, column: Column) -> dict[str, str]:
    plan = table.plan
    return {
        "ablation": plan.ablation,
        "dataset": plan.dataset,
        "dataset_title": plan.dataset_title,
        "backbone": plan.backbone,
        "weights": plan.weights_label,
        "protocol": plan.protocol,
        "selection": plan.selection,
        "random_weights": _truth(arm.random_weights),
        "arm": arm.name,
        "label": arm.label,
        "setting": "multi_class" if arm.pool else "one_class",
        "metric": column.metric,
        "shots": str(column.shots),
    }


def _summary_fields(value: Summary | Missing) -> dict[str, str]:
    found = value if isinstance(value, Summary) else None
    return {
        "mean": _fraction(found.mean if found else None),
        "sd": _fraction(found.sd if found else None),
        "ci_low": _fraction(found.low if found else None),
        "ci_high": _fraction(found.high if found else None),
        "n_seeds": str(found.n if found else 0),
    }


def _difference_fields(summary: Summary | None) -> dict[str, str]:
    return {
        "effect": _fraction(summary.mean if summary else None),
        "effect_low": _fraction(summary.low if summary else None),
        "effect_high": _fraction(summary.high if summary else None),
    }


def _effect_fields(table: Table, arm: Arm, entry: Entry) -> dict[str, str]:
    effect = entry.effect if isinstance(entry.effect, Effect) else None
    if isinstance(entry.effect, Missing):
        status, reason = entry.effect.text, entry.effect.reason
    elif effect is None:
        status, reason = ("baseline" if table.is_baseline(arm) else "no baseline"), NOT_GIVEN
    elif entry.effect_shortfall is not None:
        status, reason = entry.effect_shortfall.text, entry.effect_shortfall.reason
    else:
        status, reason = "ok", NOT_GIVEN
    return {
        **_difference_fields(effect.summary if effect else None),
        "effect_n": str(effect.summary.n if effect else 0),
        "p": _significant(effect.p if effect else None),
        "p_holm": _significant(effect.p_holm if effect else None),
        "p_equivalent_holm": _significant(effect.p_equivalent_holm if effect else None),
        "claim": claim(effect) if effect else NOT_GIVEN,
        "categories_up": str(effect.up) if effect else NOT_GIVEN,
        "categories_down": str(effect.down) if effect else NOT_GIVEN,
        "categories_equal": str(effect.tied) if effect else NOT_GIVEN,
        "effect_status": status,
        "effect_reason": reason,
    }


def _verdict_fields(entry: Entry) -> dict[str, str]:
    value = entry.published[0] if entry.published else None
    return {
        "verdict": "no published value" if value is None else value.verdict,
        "difference": _fraction(value.difference if value else None),
        "difference_low": _fraction(value.low if value else None),
        "difference_high": _fraction(value.high if value else None),
        "more_seeds": NOT_GIVEN if value is None or value.more_seeds is None else str(value.more_seeds),
        "no_verdict_because": _joined(value.reasons if value else ()),
        "published_note": (value.note if value else "") or NOT_GIVEN,
    }


def _status_fields(value: Summary | Missing, shortfall: Missing | None) -> dict[str, str]:
    why = value if isinstance(value, Missing) else shortfall
    return {"status": why.text if why else "ok", "reason": why.reason if why else NOT_GIVEN}


def _fraction(value: float | None) -> str:
    return NOT_GIVEN if value is None else f"{value:.6f}"


def _significant(value: float | None) -> str:
    return NOT_GIVEN if value is None else f"{value:.4g}"


def _joined(items: Iterable[str]) -> str:
    return ";".join(items) or NOT_GIVEN


def _truth(value: bool) -> str:
    return "yes" if value else "no"


def _csv(lines: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else ["ablation"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
