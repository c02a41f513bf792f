"""A ranking in words, as a table of the page, as Markdown and as tidy CSV."""

import csv
import io
from collections.abc import Sequence

from reports.outputs.tidy_csv import NOT_GIVEN
from reports.statistics import Summary
from reports.tables.entries import Missing
from reports.tables.formats import column_title, listing, missing_text, percent, warnings
from reports.tables.grids import Grid, Spot
from reports.tables.ranks import TABLES, Lead, Ranking, Setting
from reports.tables.table import Table

NOTE = (
    "A setting is a data set, a metric and a number of shots. Each place has the rank by mean among the methods whose "
    "planned seeds are complete, and the mean in percent; equal means share a rank. Ranks are no claims: whether the "
    "first is higher than the second is told by the paired effect against the baseline, after Holm's correction in its "
    "own table. Settings that lack a method's number are shown, and not counted."
)

_LEADS: dict[Lead, str] = {
    "claim": "lead is a claim",
    "no claim": "lead is no claim",
    "not tested": "lead not tested here",
    "shared": "first place is shared",
}


def rank_sentences(ranking: Ranking) -> tuple[str, ...]:
    """How often the method is first, how many of these leads are claims, the paper's count, and what is not counted."""
    method, counted = ranking.method, ranking.counted
    firsts = [setting for setting in counted if setting.first(method)]
    said = []
    if counted:
        claimed = sum(setting.lead == "claim" for setting in firsts)
        shared = sum(setting.lead == "shared" for setting in firsts)
        sentence = f"{method} is first by mean in {len(firsts)} of {_settings(len(counted))}"
        if firsts:
            sentence += f"; its lead over the second is a claim in {claimed} of these {len(firsts)}"
        sentence += f", and {shared} of them it shares." if shared else "."
        said.append(sentence)
    else:
        said.append("No setting has a number of every method yet, so none has a first.")
    if left := len(ranking.settings) - len(counted):
        said.append(f"{_settings(left).capitalize()} {'is' if left == 1 else 'are'} not counted: a number is missing.")
    if ranking.published:
        numbers = _paper_tables(ranking)
        said.append(
            f"In the paper's numbers ({numbers}) {method} is first in {sum(ranking.published.values())} of "
            f"{len(ranking.published)}."
        )
    return tuple(said)


def _settings(number: int) -> str:
    return f"{number} setting" if number == 1 else f"{number} settings"


def _paper_tables(ranking: Ranking) -> str:
    names = dict.fromkeys(TABLES[table.plan.ablation] for table in ranking.tables)
    return listing(list(names))


def rank_facts(ranking: Ranking) -> str:
    """Facts that all settings of a ranking share: weights, backbone, protocol and selection."""
    plan = ranking.plan
    marks = list(dict.fromkeys(mark for table in ranking.tables for mark in warnings(table)))
    parts = [
        plan.weights_label,
        f"backbone {plan.backbone}",
        f"protocol {plan.protocol}",
        f"selection {plan.selection}",
    ]
    return "; ".join([*marks, *parts])


def rank_grid(ranking: Ranking) -> Grid:
    """Rows are methods, columns settings; the cells behind a number begin with its plan's name."""
    head = (("Method", ""), *((_data(setting.table), column_title(setting.column)) for setting in ranking.settings))
    rows = []
    for label in ranking.labels:
        tone = "baseline" if label == ranking.method else "label"
        rows.append((Spot(main=label, tone=tone), *(_spot(setting, label) for setting in ranking.settings)))
    return Grid(title="", head=head, rows=tuple(rows))


def _data(table: Table) -> str:
    categories = len(table.plan.categories)
    return f"{table.plan.dataset_title}, {categories} {'category' if categories == 1 else 'categories'}"


def _spot(setting: Setting, label: str) -> Spot:
    found = setting.entry(label)
    if found is None:
        return Spot(main="not in this table", tone="absent")
    arm, entry = found
    if not arm.runnable:
        return Spot(main="not run", notes=(arm.not_runnable or "",), tone="absent")
    behind = (setting.table.plan.name, arm.name, setting.column.metric, str(setting.column.shots))
    if isinstance(entry.value, Missing):
        return Spot(main="no rank", notes=(missing_text(entry.value),), tone="absent", behind=behind)
    mean = percent(entry.value.mean)
    if entry.shortfall is not None:
        return Spot(main="no rank", notes=(f"{mean}, {missing_text(entry.shortfall)}",), tone="absent", behind=behind)
    place = setting.places[arm.name]
    lines = (mean, *_lead_lines(setting, place))
    tone = {1: "ours first", 2: "ours second"}.get(place, "ours lower")
    notes = () if setting.complete else (f"of {len(setting.places)} with a number",)
    return Spot(main=str(place), lines=lines, notes=notes, tone=tone, behind=behind)


def _lead_lines(setting: Setting, place: int) -> tuple[str, ...]:
    return () if place != 1 or setting.lead is None else (_LEADS[setting.lead],)


def to_markdown(rankings: Sequence[Ranking]) -> str:
    """All rankings, each with its sentences, facts and table."""
    blocks = ["# Ranks of the methods", NOTE]
    for ranking in rankings:
        grid = rank_grid(ranking)
        blocks += [f"## {rank_facts(ranking)}", " ".join(rank_sentences(ranking))]
        head = [", ".join(part for part in column if part) for column in grid.head]
        rows = [[spots[0].main, *(_text(spot) for spot in spots[1:])] for spots in grid.rows]
        lines = [head, ["---"] * len(head), *rows]
        blocks.append("\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines))
    return "\n\n".join(blocks) + "\n"


def _text(spot: Spot) -> str:
    more = "; ".join([*spot.lines, *spot.notes])
    return f"{spot.main} ({more})" if more else spot.main


def to_csv(rankings: Sequence[Ranking]) -> str:
    """A line per ranking, setting and method of its table; means as fractions, "NA" where there is none."""
    lines = []
    for number, ranking in enumerate(rankings, start=1):
        for setting in ranking.settings:
            lines += [_line(number, ranking, setting, label) for label in ranking.labels if setting.entry(label)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else ["ranking"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _line(number: int, ranking: Ranking, setting: Setting, label: str) -> dict[str, str]:
    found = setting.entry(label)
    assert found is not None
    arm, entry = found
    plan = setting.table.plan
    place = setting.places.get(arm.name)
    missing = entry.value if isinstance(entry.value, Missing) else entry.shortfall
    return {
        "ranking": str(number),
        "method_in_question": ranking.method,
        "plan": plan.name,
        "backbone": plan.backbone,
        "weights": plan.weights_label,
        "protocol": plan.protocol,
        "selection": plan.selection,
        "dataset": plan.dataset,
        "categories": str(len(plan.categories)),
        "metric": setting.column.metric,
        "shots": str(setting.column.shots),
        "counted": "yes" if setting.complete else "no",
        "arm": arm.name,
        "label": label,
        "rank": NOT_GIVEN if place is None else str(place),
        "mean": f"{entry.value.mean:.6f}" if isinstance(entry.value, Summary) else NOT_GIVEN,
        "lead": setting.lead if place == 1 and setting.lead is not None else NOT_GIVEN,
        "status": "ok" if missing is None else missing.text,
        "reason": NOT_GIVEN if missing is None else missing.reason,
    }
