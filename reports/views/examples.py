"""Test images that an arm located best and worst, with its anomaly maps laid over them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from reports.reading.kept import Loader
from reports.reading.plan_parts import Arm
from reports.reading.planned_cells import PlannedCell
from reports.reading.shots import Shots
from reports.style import FAINT, INK, TILE, Drawing, house_style, six
from reports.tables.formats import percent, warnings
from reports.tables.table import Table

MAPS = (("textual", "Prompt-guided map"), ("visual", "Vision-guided map"), ("fused", "Fused map"))
MAP_COLOURS = "inferno"
CONTOUR = "#56f0c8"
LOGICAL_TEXT = {True: "yes", False: "no", None: "not recorded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One test image: thumbnail (h, w, 3) uint8, mask (h, w) bool, maps (h', w') in [0, 1], all-nan if a branch is off.

    `pixel_auroc` is of this image alone, a fraction. `logical`: whether its kind of defect is something at a
    wrong place or missing. `defect_area` is the share of pixels that are anomalous. Both are None
    if they were not recorded.
    """

    category: str
    name: str
    chosen_as: str
    logical: bool | None
    defect_area: float | None
    pixel_auroc: float
    score: float
    thumbnail: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    maps: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The chosen images of one arm at one seed and number of shots, best and worst located first."""

    arm: Arm
    seed: int
    shots: Shots
    best: tuple[Example, ...]
    worst: tuple[Example, ...]
    smallest: tuple[Example, ...] = ()


def choose_examples(table: Table, loader: Loader, limit: int = 3) -> Examples | None:
    """The best and worst located defects of the shown arm, at most one per category and `limit` each.

    The shown arm has most components on (the last of equals), else it is the baseline. The seed and the shots are the
    first of the plan that kept images. None if no arrays were kept.
    """
    plan, arm = table.plan, shown_arm(table)
    if arm is None:
        return None
    cells = [
        cell for cell in plan.cells if cell.arm == arm.name and cell.task == "pixel" and cell.digest in table.rows.found
    ]
    for shots in plan.shots:
        for seed in plan.seeds:
            found = [
                example
                for cell in cells
                if (cell.shots, cell.seed) == (shots, seed)
                for example in load_examples(cell, loader)
            ]
            if found:
                best = _one_per_category(sorted(found, key=lambda e: (-e.pixel_auroc, e.category, e.name)), limit)
                chosen = {(example.category, example.name) for example in best}
                rest = [example for example in found if (example.category, example.name) not in chosen]
                worst = _one_per_category(sorted(rest, key=lambda e: (e.pixel_auroc, e.category, e.name)), limit)
                chosen |= {(example.category, example.name) for example in worst}
                left = [e for e in found if (e.category, e.name) not in chosen and e.chosen_as == "smallest"]
                smallest = _one_per_category(sorted(left, key=lambda e: (e.mask.mean(), e.category, e.name)), limit)
                return Examples(arm=arm, seed=seed, shots=shots, best=best, worst=worst, smallest=smallest)
    return None


def shown_arm(table: Table) -> Arm | None:
    """The arm whose images are shown: that with most components on (the last of equals), else the baseline.

    None if no arm can be run.
    """
    runnable = {arm.name: arm for arm in table.plan.runnable}
    on = {name: sum(mark is True for mark in arm.marks.values()) for name, arm in runnable.items()}
    most = max(on.values(), default=0)
    if most:
        return runnable[[name for name, count in on.items() if count == most][-1]]
    return runnable.get(table.plan.baseline or "") or next(iter(runnable.values()), None)


def _one_per_category(ordered: list[Example], limit: int) -> tuple[Example, ...]:
    first: dict[str, Example] = {}
    for example in ordered:
        first.setdefault(example.category, example)
    return tuple(first.values())[:limit]


def load_examples(cell: PlannedCell, loader: Loader, prefix: str = "") -> list[Example]:
    """The images that a cell kept in arrays whose names begin with `prefix`; empty without such arrays."""
    arrays = {
        name.removeprefix(prefix): kept for name, kept in (loader(cell.digest) or {}).items() if name.startswith(prefix)
    }
    if "names" not in arrays:
        return []
    return [
        Example(
            category=cell.category,
            name=str(arrays["names"][index]),
            chosen_as=str(arrays["chosen_as"][index]) if "chosen_as" in arrays else "",
            logical=bool(arrays["logical"][index]) if "logical" in arrays else None,
            defect_area=float(arrays["defect_area"][index]) if "defect_area" in arrays else None,
            pixel_auroc=float(arrays["pixel_auroc"][index]),
            score=float(arrays["score"][index]),
            thumbnail=np.asarray(arrays["thumbnails"][index], dtype=np.uint8),
            mask=np.asarray(arrays["masks"][index], dtype=np.bool_),
            maps={name: np.asarray(arrays[name][index], dtype=np.float32) for name, _ in MAPS},
        )
        for index in range(len(arrays["names"]))
        if bool(arrays["anomalous"][index]) and math.isfinite(float(arrays["pixel_auroc"][index]))
    ]


def upsampled(anomaly_map: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The map on (height, width), bilinear with pixel centres at half integers."""
    image = Image.fromarray(np.ascontiguousarray(anomaly_map, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def overlay(
    thumbnail: NDArray[np.uint8], anomaly_map: NDArray[np.float32], strength: float = 0.62
) -> NDArray[np.uint8]:
    """The greyed image (h, w, 3) under the map's colours, scaled to the map's own minimum and maximum."""
    height, width = thumbnail.shape[:2]
    large = upsampled(anomaly_map, height, width)
    low, high = float(large.min()), float(large.max())
    scaled = (large - low) / (high - low) if high > low else np.zeros_like(large)
    colours = np.asarray(mpl.colormaps[MAP_COLOURS](scaled))[..., :3]
    grey = np.asarray(Image.fromarray(thumbnail).convert("L"), dtype=np.float64)[..., None] / 255
    return np.asarray(np.round(255 * (strength * colours + (1 - strength) * grey)), dtype=np.uint8)


def short_name(name: str) -> list[str]:
    """An image's name in lines: its folder and its number, without what all names share."""
    folder, slash, number = name.removeprefix("test/").rsplit(".", 1)[0].partition("/")
    return [folder + slash, number] if slash else [folder]


def example_panel(examples: Examples, mark: str = "") -> Figure:
    """A row per image: the image, its ground truth as a contour, and three maps; a branch that is off has a label."""
    shown = [*examples.best, *examples.worst, *examples.smallest]
    headings = ["Image", "Ground truth", *(title for _, title in MAPS)]
    with house_style():
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, hspace=0.02, wspace=0.02)
        figure = Figure(figsize=(8.6, 1.52 * len(shown) + (0.75 if mark else 0.5)), dpi=110, layout=layout)
        grid = figure.subplots(len(shown), 1 + len(headings), squeeze=False, width_ratios=[0.92] + [1] * len(headings))
        if mark:
            figure.suptitle(mark, fontweight="bold", fontsize=11)
        for row, example in enumerate(shown):
            seen = row < len(examples.best) + len(examples.worst)
            kind = "Best located" if row < len(examples.best) else "Worst located" if seen else "Smallest defect"
            lines = [example.category, *short_name(example.name), f"AUROC {percent(example.pixel_auroc)}"]
            text = "\n".join([*lines, *(["logical anomaly"] if example.logical else [])])
            grid[row, 0].axis("off")
            grid[row, 0].text(0, 0.74, kind, fontsize=10, fontweight="bold", va="bottom")
            grid[row, 0].text(0, 0.68, text, fontsize=9, va="top", linespacing=1.3)
            for axes in grid[row, 1:]:
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
            grid[row, 1].imshow(example.thumbnail)
            draw_truth(grid[row, 2], example.thumbnail, example.mask)
            for axes, (name, _) in zip(grid[row, 3:], MAPS, strict=True):
                draw_map(axes, example.thumbnail, example.maps[name])
        for axes, title in zip(grid[0, 1:], headings, strict=True):
            axes.set_title(title, fontsize=10, pad=4)
    return figure


def draw_truth(axes: Axes, thumbnail: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """The image with the ground truth's contour."""
    axes.imshow(thumbnail)
    if mask.any():
        for colour, width in ((INK, 3.0), (CONTOUR, 1.4)):
            axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=width)


def draw_words(axes: Axes, thumbnail: NDArray[np.uint8], text: str, size: float = 9) -> None:
    """A grey tile of the image's size with the reason why there is no map."""
    axes.set_facecolor(TILE)
    axes.set_aspect(thumbnail.shape[0] / thumbnail.shape[1])
    axes.text(0.5, 0.5, text, ha="center", va="center", style="italic", fontsize=size, color=FAINT)


def draw_map(axes: Axes, thumbnail: NDArray[np.uint8], anomaly_map: NDArray[np.float32]) -> None:
    """The image under the map in its own colours, with the map's range; or the reason for none."""
    if not np.isfinite(anomaly_map).all():
        # An absent branch is all-nan; a map with only some holes is no map either.
        draw_words(axes, thumbnail, "branch off" if np.isnan(anomaly_map).all() else "map not finite")
        return
    axes.imshow(overlay(thumbnail, anomaly_map))
    axes.text(
        0.03,
        0.03,
        f"{float(anomaly_map.min()):.2f} to {float(anomaly_map.max()):.2f}",
        transform=axes.transAxes,
        fontsize=7.5,
        color="white",
        bbox={"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5},
    )


def example_drawing(table: Table, examples: Examples) -> Drawing:
    """The panel as a drawing, with the range of every map as data."""
    groups = (("best", examples.best), ("worst", examples.worst), ("smallest", examples.smallest))
    data = [
        {
            "shown_as": group,
            "category": example.category,
            "image": example.name,
            "logical": LOGICAL_TEXT[example.logical],
            "pixel_auroc": six(example.pixel_auroc),
            "map": name,
            "minimum": six(float(example.maps[name].min())) if np.isfinite(example.maps[name]).all() else "NA",
            "maximum": six(float(example.maps[name].max())) if np.isfinite(example.maps[name]).all() else "NA",
        }
        for group, shown in groups
        for example in shown
        for name, _ in MAPS
    ]
    return Drawing(
        stem="examples",
        alt=f"Test images located best and worst by {examples.arm.label}, with ground truth and anomaly maps.",
        figure=example_panel(examples, ", ".join(warnings(table))),
        data=tuple(data),
        wide=True,
        photographs=True,
    )
