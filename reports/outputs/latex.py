r"""A table as LaTeX for \input: needs \usepackage{booktabs} and nothing else."""

from collections.abc import Sequence

from promptad.scoring.metric_table import METRICS
from reports.reading.plan_parts import Arm
from reports.statistics import Summary
from reports.tables.cautions import one_support_set, out_of_view
from reports.tables.entries import Column, Missing
from reports.tables.formats import (
    MINUS,
    arm_text,
    claim_text,
    column_groups,
    dataset_name,
    heading,
    mark_text,
    percent,
    points,
    probability,
    published_text,
    row_marks,
    warnings,
)
from reports.tables.notes import effects_note, scores_note
from reports.tables.table import Table
from reports.tables.verdicts import no_verdict_text, verdict_note, verdict_text

ROWS = 12
"""Arms per float: a longer table would run off its page."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "[": r"{[}",
    "]": r"{]}",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\to$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "–": "--",
    "—": "---",
    MINUS: r"$-$",
}


def escape(text: str) -> str:
    """Text in which no character is a LaTeX command; brackets are braced, as a row may begin with one."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    r"""Floats of scores and of effects, at most 12 arms each; stands alone after \input."""
    plan = table.plan
    floats = []
    # Two columns and the marks of three components fit the text width of an article.
    for columns in column_groups(table.columns, most=2):
        for first in range(0, len(plan.arms), ROWS):
            arms = plan.arms[first : first + ROWS]
            floats.append(_float(table, arms, columns, effects=False, continued=first > 0))
            if plan.baseline is not None:
                floats.append(_float(table, arms, columns, effects=True, continued=first > 0))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(floats)


def _float(table: Table, arms: Sequence[Arm], columns: Sequence[Column], *, effects: bool, continued: bool) -> str:
    plan = table.plan
    name = "effects" if effects else "scores"
    marked = warnings(table)
    caption = [r"\textbf{" + escape(mark) + ".}" for mark in marked]
    caption += [escape(sentence) for sentence in (*one_support_set(table), *out_of_view(table))]
    caption.append(escape(f"{plan.title}: {name}{', continued' if continued else ''}."))
    caption.append(escape(effects_note(table) if effects else scores_note(table)))
    if any(table.entries[arm.name, column].published for arm in arms for column in columns):
        caption.append(escape(no_verdict_text(plan) or "Published: numbers of the paper, in the same setting as ours."))
        caption.append(escape(verdict_note(table)))
    caption.append(escape("; ".join(f"{key}: {value}" for key, value in heading(table)) + "."))
    head = ["Arm", *table.marks, *(METRICS[column.metric].title for column in columns)]
    marks = len(table.marks)
    body = []
    for arm in arms:
        cells = [
            _effect_lines(table, arm, column) if effects else _score_lines(table, arm, column) for column in columns
        ]
        height = max(len(lines) for lines in cells)
        first = [
            r"\raggedright " + escape(arm_text(arm, baseline=table.is_baseline(arm))),
            *(escape(mark_text(arm.marks.get(mark))) for mark in table.marks),
        ]
        for line in range(height):
            start = first if line == 0 else [""] * len(first)
            texts = [lines[line] if line < len(lines) else "" for lines in cells]
            body.append(" & ".join([*start, *texts]) + (r" \\[3pt]" if line == height - 1 else r" \\"))
    # A label is one per document: the continued floats and the further column groups go without.
    label = f"tab:{plan.name}-{name}-{columns[0].metric}" if not continued and columns else ""
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{' '.join(caption)}}}",
            *([rf"\label{{{label}}}"] if label else []),
            rf"\begin{{tabular}}{{@{{}}p{{0.22\linewidth}}{'c' * marks}{'c' * len(columns)}@{{}}}}",
            r"\toprule",
            " & ".join(escape(text) for text in head) + r" \\",
            " & ".join([""] * (1 + marks) + [_small(column.shots_text) for column in columns]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _score_lines(table: Table, arm: Arm, column: Column) -> list[str]:
    entry = table.entries[arm.name, column]
    if isinstance(entry.value, Missing):
        lines = [r"\emph{" + escape(entry.value.text) + "}"]
    else:
        lines = [escape(percent(entry.value.mean)), _small(_spread(entry.value))]
        if entry.shortfall is not None:
            lines.append(_small(entry.shortfall.text))
        lines += [_small(mark) for mark in row_marks(table, arm, entry)]
    for value in entry.published:
        lines.append(_small(f"published, {dataset_name(value.dataset)}: {published_text(value)}"))
        lines += [_small(verdict_text(value))] if value.verdict != "none" else []
    return lines


def _spread(summary: Summary) -> str:
    if summary.interval is None:
        return f"no interval, n = {summary.n}"
    sd = "" if summary.sd is None else f", SD {percent(summary.sd)}"
    return f"[{percent(summary.interval[0])}, {percent(summary.interval[1])}]{sd}, n = {summary.n}"


def _effect_lines(table: Table, arm: Arm, column: Column) -> list[str]:
    entry = table.entries[arm.name, column]
    effect = entry.effect
    if effect is None:
        return [r"\emph{baseline}" if table.is_baseline(arm) else r"\emph{no baseline}"]
    if isinstance(effect, Missing):
        return [r"\emph{" + escape(effect.text) + "}"]
    summary = effect.summary
    bounds = summary.interval
    spread = (
        f"no interval, n = {summary.n}"
        if bounds is None
        else f"[{points(bounds[0])}, {points(bounds[1])}], n = {summary.n}"
    )
    lines = [escape(points(summary.mean)), _small(spread)]
    if entry.effect_shortfall is not None:
        lines.append(_small(entry.effect_shortfall.text))
    if effect.p is not None:
        lines.append(_small(f"p {probability(effect.p)}, Holm {probability(effect.p_holm)}"))
    lines.append(_small(f"{effect.up} up, {effect.down} down, {effect.tied} equal"))
    return [*lines, _small(claim_text(effect))]


def _small(text: str) -> str:
    return r"{\scriptsize " + escape(text) + "}"
