"""Test images of sets without masks: those that an arm scored highest and lowest, without maps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from reports.reading.kept import SCORED, Loader
from reports.reading.plan_parts import Arm
from reports.reading.planned_cells import PlannedCell
from reports.reading.shots import Shots, shots_text
from reports.style import Drawing, house_style, six
from reports.tables.formats import warnings
from reports.tables.table import Table
from reports.views.examples import short_name, shown_arm

CHOSEN: Mapping[str, str] = {
    "highest": "Anomalous, highest score",
    "lowest": "Anomalous, lowest score",
    "normal": "Normal, highest score",
}
"""The figure's heading for each reason to show an image, in the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """One test image and its score; `chosen_as` is one of CHOSEN; thumbnail (h, w, 3) uint8."""

    category: str
    name: str
    chosen_as: str
    score: float
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImages:
    """The chosen images of one arm at one seed and number of shots, by why they were chosen."""

    arm: Arm
    seed: int
    shots: Shots
    rows: Mapping[str, tuple[ScoredImage, ...]]


def choose_scored(table: Table, loader: Loader, limit: int = 4) -> ScoredImages | None:
    """Images of the shown arm, at most `limit` for each reason; every category has one before any has two.

    The seed and the shots are the first of the plan that kept images. None if no image-level cell of it kept some.
    """
    arm = shown_arm(table)
    if arm is None:
        return None
    cells = [
        cell
        for cell in table.plan.cells
        if cell.arm == arm.name and cell.task == "image" and cell.digest in table.rows.found
    ]
    for shots in table.plan.shots:
        for seed in table.plan.seeds:
            found = [
                image
                for cell in cells
                if (cell.shots, cell.seed) == (shots, seed)
                for image in load_scored(cell, loader)
            ]
            if found:
                rows = {why: _spread([one for one in found if one.chosen_as == why], limit) for why in CHOSEN}
                return ScoredImages(
                    arm=arm, seed=seed, shots=shots, rows={why: row for why, row in rows.items() if row}
                )
    return None


def _spread(found: list[ScoredImage], limit: int) -> tuple[ScoredImage, ...]:
    """Each category's first image, then each category's second: scores of different categories are not comparable."""
    places: dict[str, int] = {}
    turns = []
    for image in found:
        turns.append(places.setdefault(image.category, 0))
        places[image.category] += 1
    order = sorted(range(len(found)), key=lambda number: turns[number])
    return tuple(found[number] for number in order[:limit])


def load_scored(cell: PlannedCell, loader: Loader) -> list[ScoredImage]:
    """The images that a cell kept for its scores; none if there are no such arrays."""
    arrays = loader(cell.digest) or {}
    if f"{SCORED}names" not in arrays:
        return []
    names, chosen, scores, thumbnails = (
        arrays[f"{SCORED}{name}"] for name in ("names", "chosen_as", "score", "thumbnails")
    )
    return [
        ScoredImage(
            category=cell.category,
            name=str(name),
            chosen_as=str(why),
            score=float(score),
            thumbnail=np.asarray(thumbnail, dtype=np.uint8),
        )
        for name, why, score, thumbnail in zip(names, chosen, scores, thumbnails, strict=True)
    ]


def scored_caption(images: ScoredImages) -> str:
    """What the figure shows, and why there are no maps."""
    return (
        f"Test images that “{images.arm.label}” scored highest and lowest ({shots_text(images.shots)}, seed "
        f"{images.seed}). The set has no masks, so there are no pixel-level cells, and image-level ones make no map. "
        "Compare scores within a category, not between categories."
    )


def scored_panel(images: ScoredImages, mark: str = "") -> Figure:
    """A row for each reason, its images side by side with their names and scores."""
    columns = max(len(row) for row in images.rows.values())
    with house_style():
        layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04)
        size = (max(4.4, 1.9 * columns), 2.5 * len(images.rows) + (0.3 if mark else 0))
        figure = Figure(figsize=size, dpi=110, layout=layout)
        grid = figure.subplots(len(images.rows), columns, squeeze=False)
        if mark:
            figure.suptitle(mark, fontweight="bold", fontsize=11)
        for axes in grid.flat:
            axes.axis("off")
        for line, (why, row) in zip(grid, images.rows.items(), strict=True):
            line[0].set_title(CHOSEN[why], loc="left", fontsize=10, fontweight="bold")
            for axes, image in zip(line, row, strict=False):
                axes.imshow(image.thumbnail)
                words = [image.category, *short_name(image.name), f"score {image.score:.3f}"]
                axes.text(
                    0, -0.03, "\n".join(words), transform=axes.transAxes, fontsize=8.5, va="top", linespacing=1.25
                )
    return figure


def scored_drawing(table: Table, images: ScoredImages) -> Drawing:
    """The panel as a drawing, with names and scores as data."""
    data = [
        {"shown_as": why, "category": image.category, "image": image.name, "score": six(image.score)}
        for why, row in images.rows.items()
        for image in row
    ]
    return Drawing(
        stem="examples",
        alt=f"Test images that {images.arm.label} scored highest and lowest, with their scores.",
        figure=scored_panel(images, ", ".join(warnings(table))),
        data=tuple(data),
        photographs=True,
    )
