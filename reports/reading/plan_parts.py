"""The parts of a plan document, as frozen values that write themselves as JSON and read themselves from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.reading.shapes import Document
from reports.reading.shots import Shots


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One variant of an ablation.

    `factors` are the levels it stands for, `marks` those of them that are on or off. `method` is the paper's word for
    the row's method, `runs` the method that runs, on `backbone` (None: not known), with `config` (None: not known, or
    it has no cells) and its `changes` to the base. An arm with `not_runnable` has no cells: only published numbers.
    `pool` are the categories that its one model is learned from; empty where each category has a model of its own.
    """

    name: str
    label: str
    method: str
    runs: str
    factors: Mapping[str, object]
    marks: Mapping[str, object]
    not_runnable: str | None
    backbone: str | None
    random_weights: bool
    changes: Mapping[str, object]
    config: Mapping[str, object] | None
    pool: tuple[str, ...] = ()

    @property
    def runnable(self) -> bool:
        """True if cells were planned for it."""
        return self.not_runnable is None

    @classmethod
    def from_json(cls, raw: Document, *, random_weights: bool) -> Arm:
        """From its part of a document; ``random_weights``: what one says of all arms that does not say it of each."""
        runnable = raw.get("runnable", True)
        return cls(
            name=raw["name"],
            label=raw["label"],
            method=str(raw.get("method") or ""),
            # Documents from before there were other methods do not say it.
            runs=str(raw.get("runs") or "promptad"),
            factors=raw.get("factors") or {},
            marks=raw.get("marks") or {},
            not_runnable=None if runnable else str(raw.get("not_runnable_reason") or "no reason recorded"),
            backbone=raw.get("backbone"),
            random_weights=bool(raw.get("random_weights", random_weights)),
            changes=raw.get("changes") or {},
            config=raw.get("config"),
            pool=tuple(raw.get("pool") or ()),
        )

    def as_json(self) -> dict[str, object]:
        """As a document holds it."""
        return {
            "name": self.name,
            "label": self.label,
            "method": self.method,
            "runs": self.runs,
            "factors": dict(self.factors),
            "marks": dict(self.marks),
            "runnable": self.runnable,
            "not_runnable_reason": self.not_runnable,
            "backbone": self.backbone,
            "random_weights": self.random_weights,
            "changes": dict(self.changes),
            "config": None if self.config is None else dict(self.config),
            "pool": list(self.pool),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Something that an ablation varies, with its levels in order."""

    name: str
    label: str
    levels: tuple[object, ...]

    @property
    def numeric(self) -> bool:
        """True if every level is a number."""
        return bool(self.levels) and all(
            isinstance(level, int | float) and not isinstance(level, bool) for level in self.levels
        )

    @classmethod
    def from_json(cls, raw: Document) -> Factor:
        """From its part of a document."""
        return cls(name=raw["name"], label=raw.get("label") or raw["name"], levels=tuple(raw["levels"]))

    def as_json(self) -> dict[str, object]:
        """As a document holds it."""
        return {"name": self.name, "label": self.label, "levels": list(self.levels)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a printed number gets no verdict: a word for the kind of reason, and a clause for people."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedNumber:
    """A number of the paper beside an arm, a metric and a column; `value` and `std` in percent, as printed.

    `category` is None for a mean over all categories. `printed_shots` are those that the paper prints it for. `note`
    says what the paper says otherwise elsewhere. `draws` is false where an arm sees no support image, so that its seeds
    are equal and the plain difference is all there is to say. There is a verdict if there is no obstacle.
    """

    arm: str
    shots: Shots
    metric: str
    dataset: str
    category: str | None
    printed_shots: Shots | None
    value: float
    std: float | None
    note: str
    draws: bool
    obstacles: tuple[Obstacle, ...]

    @classmethod
    def from_json(cls, raw: Document) -> PrintedNumber:
        """From its part of a document."""
        return cls(
            arm=raw["arm"],
            shots=raw["shots"],
            metric=raw["metric"],
            dataset=raw["dataset"],
            category=raw["category"],
            printed_shots=raw["printed_shots"],
            value=raw["value"],
            std=raw["std"],
            note=raw["note"],
            draws=raw["draws"],
            obstacles=tuple(Obstacle(reason=each["reason"], text=each["text"]) for each in raw["obstacles"]),
        )

    def as_json(self) -> dict[str, object]:
        """As a document holds it."""
        return {
            "arm": self.arm,
            "shots": self.shots,
            "metric": self.metric,
            "dataset": self.dataset,
            "category": self.category,
            "printed_shots": self.printed_shots,
            "value": self.value,
            "std": self.std,
            "note": self.note,
            "draws": self.draws,
            "obstacles": [{"reason": each.reason, "text": each.text} for each in self.obstacles],
        }
