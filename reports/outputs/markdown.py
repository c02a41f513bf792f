"""A table as Markdown."""

from collections.abc import Iterable, Sequence

from reports.reading.plan_parts import Arm
from reports.tables.cautions import cautions
from reports.tables.entries import Column, Missing
from reports.tables.findings import details, lead
from reports.tables.formats import (
    arm_text,
    claim_text,
    column_groups,
    column_title,
    dataset_name,
    effect_text,
    heading,
    mark_text,
    missing_text,
    probability,
    published_text,
    row_marks,
    summary_text,
    warnings,
)
from reports.tables.notes import effects_note, scores_note
from reports.tables.table import Table
from reports.tables.verdicts import no_verdict_text, printed_notes, verdict_note, verdict_text


def to_markdown(table: Table) -> str:
    """The table with its heading, findings, scores, effects, published values and categories as Markdown."""
    plan = table.plan
    marked = warnings(table)
    mark = f" [{', '.join(marked)}]" if marked else ""
    blocks = [f"# {plan.title}", plan.question]
    blocks += [f"> {caution}" for caution in cautions(table)]
    blocks.append("\n".join(f"- {name}: {value}" for name, value in heading(table)))
    if plan.method_note:
        blocks.append(plan.method_note)
    blocks.append("\n".join([lead(table), "", *(f"- {sentence}" for sentence in details(table))]))
    for columns in column_groups(table.columns):
        head = ["Arm", *table.marks, *(column_title(column) for column in columns)]
        blocks.append(f"## Scores{mark}\n\n{scores_note(table)}")
        blocks.append(
            _grid(head, (_arm_cells(table, arm) + [score_text(table, arm, c) for c in columns] for arm in plan.arms))
        )
        if plan.baseline is not None:
            blocks.append(f"## Effects against the baseline{mark}\n\n{effects_note(table)}")
            blocks.append(
                _grid(
                    head,
                    (_arm_cells(table, arm) + [paired_text(table, arm, c) for c in columns] for arm in plan.arms),
                )
            )
    blocks += _published_blocks(table, mark)
    for column in table.columns:
        blocks.append(f"## By category: {column_title(column)}{mark}\n\n{scores_note(table)}")
        rows = (
            [arm.label, *(_category_text(table, arm, column, category) for category in plan.categories)]
            for arm in plan.arms
        )
        blocks.append(_grid(["Arm", *plan.categories], rows))
    if plan.left_out:
        listed = "\n".join(f"- {image}: {reason}" for image, reason in plan.left_out)
        blocks.append(f"## Images left out\n\n{listed}")
    return "\n\n".join(blocks) + "\n"


def score_text(table: Table, arm: Arm, column: Column) -> str:
    """A score with its interval, n, shortfall and selection on test."""
    entry = table.entries[arm.name, column]
    if isinstance(entry.value, Missing):
        return missing_text(entry.value)
    text = summary_text(entry.value, sd=True)
    if entry.shortfall is not None:
        text += f"; {missing_text(entry.shortfall)}"
    return "; ".join([text, *row_marks(table, arm, entry)])


def paired_text(table: Table, arm: Arm, column: Column) -> str:
    """An effect with interval, n, p, Holm's p and counts of categories."""
    entry = table.entries[arm.name, column]
    effect = entry.effect
    if isinstance(effect, Missing):
        return missing_text(effect)
    if effect is None:
        return "baseline" if table.is_baseline(arm) else "no baseline"
    text = (
        f"{effect_text(effect.summary)}; p {probability(effect.p)}, Holm {probability(effect.p_holm)}; "
        f"{effect.up} up, {effect.down} down, {effect.tied} equal; {claim_text(effect)}"
    )
    if entry.effect_on_one_set:
        text += " (one support set)"
    return text if entry.effect_shortfall is None else f"{text}; {missing_text(entry.effect_shortfall)}"


def _arm_cells(table: Table, arm: Arm) -> list[str]:
    return [arm_text(arm, baseline=table.is_baseline(arm)), *(mark_text(arm.marks.get(mark)) for mark in table.marks)]


def _published_blocks(table: Table, mark: str) -> list[str]:
    rows = []
    for column in table.columns:
        for arm in table.plan.arms:
            entry = table.entries[arm.name, column]
            ours = missing_text(entry.value) if isinstance(entry.value, Missing) else summary_text(entry.value)
            rows += [
                [arm.label, column_title(column), ours, dataset_name(p.dataset), published_text(p), verdict_text(p)]
                for p in entry.published
            ]
    if not rows:
        return []
    values = [value for entry in table.entries.values() for value in entry.published]
    said = [no_verdict_text(table.plan) or "", verdict_note(table), *printed_notes(values)]
    head = ["Arm", "Metric", f"Ours ({table.plan.dataset_title})", "Published on", "Published", "Verdict"]
    return [f"## Published numbers{mark}", *(sentence for sentence in said if sentence), _grid(head, rows)]


def _category_text(table: Table, arm: Arm, column: Column, category: str) -> str:
    found = table.by_category[arm.name, column, category]
    if isinstance(found.value, Missing):
        return missing_text(found.value)
    text = summary_text(found.value)
    return text if found.shortfall is None else f"{text}; {missing_text(found.shortfall)}"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
