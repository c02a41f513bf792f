"""Which method is first in each setting, beside the paper's count of settings in which it is first.

A setting is a data set, a metric and a number of shots of the tables by method (1 and 4). Places are by mean; whether a
first place is also a claim, the effects of its table decide.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.reading.plan_document import Plan
from reports.reading.plan_parts import Arm
from reports.reading.shots import Shots
from reports.statistics import Effect, Summary, claim
from reports.tables.by_category import places
from reports.tables.entries import Column, Entry
from reports.tables.table import Table

TABLES: Mapping[str, str] = {"table1": "Table 1", "table4": "Table 4"}
"""Ablations whose rows are the paper's methods, each of its metric alone, and what the paper calls them."""

Lead = Literal["claim", "no claim", "not tested", "shared"]
"""The claim about the lead of a setting's first over its second; tests are against the table's baseline alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One column of a table. `places` by arm (1: highest mean), of arms whose planned seeds are complete.

    `lead` is None where fewer than two arms have a place.
    """

    table: Table
    column: Column
    places: Mapping[str, int]
    lead: Lead | None

    @property
    def complete(self) -> bool:
        """True if every method that can run here has a place."""
        return len(self.places) == len(self.table.plan.runnable)

    @property
    def key(self) -> tuple[str, str, object]:
        """Equal keys mean the same setting in different studies."""
        return self.table.plan.dataset, self.column.metric, self.column.shots

    def first(self, label: str) -> bool:
        """True if the arm of that label has the first place, alone or with others."""
        return any(self.places.get(arm.name) == 1 for arm in self.table.plan.runnable if arm.label == label)

    def entry(self, label: str) -> tuple[Arm, Entry] | None:
        """The arm of that label and its entry in this setting; None if the table has no such row."""
        found = next((arm for arm in self.table.plan.arms if arm.label == label), None)
        return None if found is None else (found, self.table.entries[found.name, self.column])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Settings that were measured alike: one backbone, one protocol, one selection. `method` is the one in question.

    `published`: for every setting that the paper prints in these tables, whether the method is first there.
    """

    method: str
    settings: tuple[Setting, ...]
    published: Mapping[tuple[str, str, Shots | None], bool]

    @property
    def plan(self) -> Plan:
        """One of the plans; all have its backbone, weights, protocol and selection."""
        return self.settings[0].table.plan

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that settings are of."""
        return tuple({setting.table.plan.name: setting.table for setting in self.settings}.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """The methods of all settings."""
        return tuple(dict.fromkeys(arm.label for table in self.tables for arm in table.plan.arms))

    @property
    def counted(self) -> tuple[Setting, ...]:
        """The settings in which every method that can run has a number; others have no first place."""
        return tuple(setting for setting in self.settings if setting.complete)


def rankings(tables: Iterable[Table]) -> tuple[Ranking, ...]:
    """The rankings of the tables by method, in the tables' order; none where fewer than two methods can run.

    Tables share a ranking if they differ only in data set, metric and shots; so no ranking holds a setting twice.
    """
    groups: list[list[Table]] = []
    for table in tables:
        if table.plan.ablation not in TABLES or _method(table) is None or len(table.plan.runnable) < 2:
            continue
        group = next((group for group in groups if all(_alike(table, other) for other in group)), None)
        if group is None:
            groups.append([table])
        else:
            group.append(table)
    return tuple(ranking for group in groups for ranking in [_ranking(group)] if ranking.settings)


def _ranking(tables: Sequence[Table]) -> Ranking:
    method = _method(tables[0])
    assert method is not None
    published: dict[tuple[str, str, Shots | None], bool] = {}
    for table in tables:
        published |= table.plan.printed_firsts
    return Ranking(
        method=method.label,
        settings=tuple(_setting(table, column) for table in tables for column in table.columns),
        published=published,
    )


def _method(table: Table) -> Arm | None:
    """The ranking's method: the one with which others are compared, if it runs."""
    return next((arm for arm in table.plan.runnable if table.is_baseline(arm)), None)


def _alike(one: Table, other: Table) -> bool:
    """Whether the settings of two tables may be counted together."""
    mine, theirs = one.plan, other.plan
    same = all(
        getattr(mine, name) == getattr(theirs, name)
        for name in ("baseline", "backbone", "weights_label", "protocol", "selection")
    )
    if mine.dataset == theirs.dataset:
        same &= (mine.categories, mine.seeds) == (theirs.categories, theirs.seeds)
        metrics = {column.metric for column in one.columns} & {column.metric for column in other.columns}
        same &= not metrics or not set(mine.shots) & set(theirs.shots)
    labels = {arm.name: arm.label for arm in theirs.arms}
    # Methods are known by their labels, which say for how many categories one model is.
    same &= all(labels.get(arm.name, arm.label) == arm.label for arm in mine.arms)
    return same and _conditions_agree(one, other)


def _conditions_agree(one: Table, other: Table) -> bool:
    """Whether the rows agree in weights and activation, and in whether support images and suffixes are the user's."""
    mine, theirs = _conditions(one), _conditions(other)
    return mine <= theirs or theirs <= mine


def _conditions(table: Table) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    for row in table.rows.found.values():
        config = row.cell.get("config") or {}
        suffixes = config.get("own_suffixes") is not None
        found.add((row.cell.get("weights"), row.cell.get("activation"), row.cell.get("support") is not None, suffixes))
    return found


def _setting(table: Table, column: Column) -> Setting:
    means = {}
    for arm in table.plan.runnable:
        entry = table.entries[arm.name, column]
        # A mean over fewer seeds than the others' is another number.
        if isinstance(entry.value, Summary) and entry.shortfall is None:
            means[arm.name] = entry.value.mean
    placed = places(means)
    return Setting(table=table, column=column, places=placed, lead=_lead(table, column, placed))


def _lead(table: Table, column: Column, placed: Mapping[str, int]) -> Lead | None:
    if len(placed) < 2:
        return None
    first, second = ([name for name, place in placed.items() if place == wanted] for wanted in (1, 2))
    if len(first) > 1:
        return "shared"
    (best,) = first
    baseline = table.plan.baseline
    if best == baseline:
        claims = [_claimed(table, column, name) for name in second]
        return "claim" if all(found == "lower" for found in claims) else "no claim"
    if second == [baseline]:
        return "claim" if _claimed(table, column, best) == "higher" else "no claim"
    return "not tested"


def _claimed(table: Table, column: Column, name: str) -> str | None:
    """The claim about an arm against the baseline, after correction over its table."""
    effect = table.entries[name, column].effect
    return claim(effect) if isinstance(effect, Effect) else None
