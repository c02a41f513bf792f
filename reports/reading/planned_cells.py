"""The cells of a plan: one by one for tables, and in blocks as documents store them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import overload

from reports.reading.shapes import Document, DocumentError
from reports.reading.shots import Shots

DIGITS = 32
"""Of the digests of one block, which stand one after the other; a block of others lists its cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCell:
    """One planned measurement: which arm, category, shots, seed and task the row `digest` holds.

    `shots` is the column that it stands in, `images` how many support images the cell has.
    """

    digest: str
    arm: str
    category: str
    shots: Shots
    images: int
    seed: int
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBlock:
    """Cells that differ in their seed alone: `digests` in the order of `seeds`."""

    arm: str
    category: str
    shots: Shots
    images: int
    task: str
    seeds: tuple[int, ...]
    digests: tuple[str, ...]

    def cells(self) -> Iterator[PlannedCell]:
        """Each of its cells."""
        for seed, digest in zip(self.seeds, self.digests, strict=True):
            yield PlannedCell(
                digest=digest,
                arm=self.arm,
                category=self.category,
                shots=self.shots,
                images=self.images,
                seed=seed,
                task=self.task,
            )

    @classmethod
    def from_json(cls, raw: Document) -> PlannedBlock:
        """From its part of a document: a block, or a cell, as older documents list them."""
        if "digests" in raw:
            text = raw["digests"]
            digests = tuple(text[start : start + DIGITS] for start in range(0, len(text), DIGITS))
            seeds = tuple(raw["seeds"])
        else:
            digests, seeds = (raw["digest"],), (raw["seed"],)
        if len(digests) != len(seeds):
            raise DocumentError(
                f"cells of arm {raw['arm']!r} must have a digest for each of {len(seeds)} seeds, but have "
                f"{len(digests)}"
            )
        return cls(
            arm=raw["arm"],
            category=raw["category"],
            shots=raw["shots"],
            # A document from before rows had shots of their own names the number alone.
            images=raw.get("images", raw["shots"]),
            task=raw["task"],
            seeds=seeds,
            digests=digests,
        )

    def as_json(self) -> list[dict[str, object]]:
        """As documents hold it: one value, or one for each cell whose digest has another length."""
        place: dict[str, object] = {
            "arm": self.arm,
            "category": self.category,
            "shots": self.shots,
            "images": self.images,
            "task": self.task,
        }
        if all(len(digest) == DIGITS for digest in self.digests):
            return [{"digests": "".join(self.digests), **place, "seeds": list(self.seeds)}]
        return [
            {"digest": digest, **place, "seed": seed} for digest, seed in zip(self.digests, self.seeds, strict=True)
        ]

    def _joins(self, other: PlannedBlock) -> bool:
        mine = (self.arm, self.category, self.shots, self.images, self.task)
        return mine == (other.arm, other.category, other.shots, other.images, other.task)


class PlannedCells(Sequence[PlannedCell]):
    """Planned cells in their order, kept in blocks: a million of them is a few megabytes."""

    def __init__(self, blocks: Iterable[PlannedBlock] = ()) -> None:
        found: list[list[PlannedBlock]] = []
        for block in blocks:
            if found and found[-1][-1]._joins(block):
                found[-1].append(block)
            else:
                found.append([block])
        self.blocks: tuple[PlannedBlock, ...] = tuple(_joined(parts) for parts in found)
        self._cells: tuple[PlannedCell, ...] | None = None

    @classmethod
    def from_json(cls, raw: Iterable[Document]) -> PlannedCells:
        """From their part of a document."""
        return cls(PlannedBlock.from_json(each) for each in raw)

    def as_json(self) -> list[dict[str, object]]:
        """As a document holds them."""
        return [each for block in self.blocks for each in block.as_json()]

    def tasks(self) -> Iterator[tuple[str, str]]:
        """Digest and task of every cell."""
        for block in self.blocks:
            for digest in block.digests:
                yield digest, block.task

    def __iter__(self) -> Iterator[PlannedCell]:
        """Each cell."""
        return iter(self._listed())

    def __len__(self) -> int:
        """How many there are."""
        return sum(len(block.digests) for block in self.blocks)

    @overload
    def __getitem__(self, place: int) -> PlannedCell: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PlannedCell]: ...
    def __getitem__(self, place: int | slice) -> PlannedCell | Sequence[PlannedCell]:
        """A cell, or some of them."""
        return self._listed()[place]

    def __eq__(self, other: object) -> bool:
        """Whether they are the same cells in the same order."""
        return isinstance(other, PlannedCells) and self.blocks == other.blocks

    def __hash__(self) -> int:
        """Equal for equal cells."""
        return hash(self.blocks)

    def _listed(self) -> tuple[PlannedCell, ...]:
        if self._cells is None:
            self._cells = tuple(chain.from_iterable(block.cells() for block in self.blocks))
        return self._cells


def _joined(blocks: Sequence[PlannedBlock]) -> PlannedBlock:
    first = blocks[0]
    if len(blocks) == 1:
        return first
    return PlannedBlock(
        arm=first.arm,
        category=first.category,
        shots=first.shots,
        images=first.images,
        task=first.task,
        seeds=tuple(chain.from_iterable(block.seeds for block in blocks)),
        digests=tuple(chain.from_iterable(block.digests for block in blocks)),
    )
