"""The same test images for every arm: picture, ground truth, and each arm's map or the reason for none."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.reading.kept import COMPARED, Loader
from reports.reading.plan_parts import Arm
from reports.reading.planned_cells import PlannedCell
from reports.reading.shots import Shots
from reports.style import FAINT, Drawing, house_style, six, wrapped
from reports.tables.formats import listing, percent, warnings
from reports.tables.table import Table
from reports.views.examples import LOGICAL_TEXT, Example, draw_map, draw_truth, draw_words, load_examples, short_name

MOST_WORDS = 90
"""Number of letters of a reason that fit into a tile; the CSV has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A rule for choosing images: its `name` in cells, its names in a row and in the figure, and how many are drawn.

    By `area`: those with the smallest defects are drawn; else categories take turns.
    """

    name: str
    row: str
    text: str
    limit: int
    by_area: bool = False


CHOICES = (
    Choice(name="logical", row="Logical", text="the first image of each logical kind of defect", limit=6),
    Choice(name="smallest", row="Smallest", text="the smallest defects", limit=4, by_area=True),
    Choice(name="kind", row="First of its kind", text="the first image of other kinds of defects", limit=8),
)
"""In the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One test image with each arm's example by the arm's name, or the reason for none."""

    image: Example
    by_arm: Mapping[str, Example | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The images of one seed and number of shots that are drawn, by the choice's name, and how many were kept.

    `without` are categories of which no arm kept an image, with the reason.
    """

    arms: tuple[Arm, ...]
    seed: int
    shots: Shots
    lines: Mapping[str, tuple[Line, ...]]
    kept: int
    without: Mapping[str, str]

    @property
    def drawn(self) -> int:
        """How many images are drawn."""
        return sum(map(len, self.lines.values()))

    @property
    def absent(self) -> dict[str, str]:
        """Why an arm has no map of any drawn image, by the arm's label."""
        found: dict[str, str] = {}
        for arm in self.arms:
            said = [line.by_arm[arm.name] for lines in self.lines.values() for line in lines]
            if reasons := [reason for reason in said if isinstance(reason, str)]:
                found |= {arm.label: reasons[0]} if len(reasons) == len(said) else {}
        return found


def choose_compared(table: Table, loader: Loader) -> Compared | None:
    """The images that every arm's cells keep, of the first shots and seed that have any; None if none were kept."""
    found = (_compared_at(table, loader, shots, seed) for shots in table.plan.shots for seed in table.plan.seeds)
    return next((compared for compared in found if compared is not None), None)


def _compared_at(table: Table, loader: Loader, shots: Shots, seed: int) -> Compared | None:
    arms, categories = table.plan.arms, table.plan.categories
    cells = {
        (cell.arm, cell.category): cell
        for cell in table.plan.cells
        if (cell.task, cell.shots, cell.seed) == ("pixel", shots, seed)
    }
    kept = {
        place: {example.name: example for example in load_examples(cell, loader, COMPARED)}
        for place, cell in cells.items()
        if (row := table.rows.found.get(cell.digest)) is not None and row.status == "ok"
    }
    lines = []
    for category in categories:
        # The arms' cells keep the same images, so a missing or damaged cell removes none.
        images: dict[str, Example] = {}
        for arm in arms:
            images = {**kept.get((arm.name, category), {}), **images}
        for name, image in images.items():
            made = {
                arm.name: kept.get((arm.name, category), {}).get(name)
                or _why(table, arm, cells.get((arm.name, category)))
                for arm in arms
            }
            lines.append(Line(image=image, by_arm=made))
    if not lines:
        return None
    shown = {line.image.category for line in lines}
    return Compared(
        arms=arms,
        seed=seed,
        shots=shots,
        lines={choice.name: _chosen(lines, choice) for choice in CHOICES},
        kept=len(lines),
        without={
            category: listing(list(dict.fromkeys(_why(table, arm, cells.get((arm.name, category))) for arm in arms)))
            for category in categories
            if category not in shown
        },
    )


def _why(table: Table, arm: Arm, cell: PlannedCell | None) -> str:
    """Why an arm has no map of an image, or of a category's images."""
    if arm.not_runnable is not None:
        return f"not run: {arm.not_runnable}"
    if cell is None:
        return "not planned"
    if cell.digest in table.rows.faults:
        return f"damaged row: {table.rows.faults[cell.digest]}"
    row = table.rows.found.get(cell.digest)
    if row is None:
        return "missing: not run yet"
    if row.status != "ok":
        return f"{row.status}: {row.reason or 'no reason recorded'}"
    return "no map was kept"


def _chosen(lines: Sequence[Line], choice: Choice) -> tuple[Line, ...]:
    """The drawn images, up to the limit: the smallest defects, or one image of each category in turn."""
    found = [line for line in lines if line.image.chosen_as == choice.name]
    if choice.by_area:
        found.sort(key=lambda line: float("inf") if line.image.defect_area is None else line.image.defect_area)
        return tuple(found[: choice.limit])
    turns: dict[str, int] = {}
    places = []
    for place, line in enumerate(found):
        turn = turns.get(line.image.category, 0)
        turns[line.image.category] = turn + 1
        places.append((turn, place))
    kept = sorted(place for _, place in sorted(places)[: choice.limit])
    return tuple(found[place] for place in kept)


def compared_drawings(table: Table, compared: Compared) -> tuple[Drawing, ...]:
    """A figure per choice of images: a row per image, a column per arm, also for arms that have no map."""
    return tuple(_drawing(table, compared, choice) for choice in CHOICES if compared.lines[choice.name])


def _drawing(table: Table, compared: Compared, choice: Choice) -> Drawing:
    lines = compared.lines[choice.name]
    labels = ", ".join(arm.label for arm in compared.arms)
    return Drawing(
        stem=f"compared_{choice.name}",
        alt=f"Test images, {choice.text}: picture, ground truth and the anomaly maps of {labels}.",
        figure=_panel(compared, choice, ", ".join(warnings(table))),
        data=tuple(_datum(line, arm, choice) for line in lines for arm in compared.arms),
        wide=True,
        photographs=True,
    )


def _panel(compared: Compared, choice: Choice, mark: str) -> Figure:
    lines = compared.lines[choice.name]
    headings = ["Image", "Ground truth", *(wrapped(arm.label, 18) for arm in compared.arms)]
    with house_style():
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, hspace=0.03, wspace=0.02)
        size = (1.6 + 1.5 * len(headings), 1.72 * len(lines) + (0.75 if mark else 0.4))
        figure = Figure(figsize=size, dpi=110, layout=layout)
        grid = figure.subplots(len(lines), 1 + len(headings), squeeze=False, width_ratios=[1.06] + [1] * len(headings))
        if mark:
            figure.suptitle(mark, fontweight="bold", fontsize=11)
        for row, line in zip(grid, lines, strict=True):
            image = line.image
            row[0].axis("off")
            row[0].text(0, 0.74, choice.row, fontsize=10, fontweight="bold", va="bottom")
            row[0].text(0, 0.68, "\n".join(_about(image)), fontsize=9, va="top", linespacing=1.3)
            for axes in row[1:]:
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
            row[1].imshow(image.thumbnail)
            draw_truth(row[2], image.thumbnail, image.mask)
            for axes, arm in zip(row[3:], compared.arms, strict=True):
                made = line.by_arm[arm.name]
                if isinstance(made, str):
                    draw_words(
                        axes, image.thumbnail, wrapped(textwrap.shorten(made, MOST_WORDS, placeholder=" …"), 20), 7.5
                    )
                    axes.set_xlabel("no map", fontsize=9, color=FAINT, labelpad=3)
                    continue
                draw_map(axes, made.thumbnail, made.maps["fused"])
                axes.set_xlabel(f"AUROC {percent(made.pixel_auroc)}", fontsize=9, labelpad=3)
        for axes, title in zip(grid[0, 1:], headings, strict=True):
            axes.set_title(title, fontsize=10, pad=4)
    return figure


def _about(image: Example) -> list[str]:
    lines = [image.category, *short_name(image.name)]
    if image.defect_area is not None:
        lines.append(f"defect {percent(image.defect_area)}%")
    return [*lines, *(["logical anomaly"] if image.logical and image.chosen_as != "logical" else [])]


def _datum(line: Line, arm: Arm, choice: Choice) -> Mapping[str, str]:
    image, made = line.image, line.by_arm[arm.name]
    known = {
        "shown_as": choice.name,
        "category": image.category,
        "image": image.name,
        "logical": LOGICAL_TEXT[image.logical],
        "defect_area": six(image.defect_area),
        "arm": arm.name,
    }
    if isinstance(made, str):
        return {**known, "pixel_auroc": "NA", "minimum": "NA", "maximum": "NA", "why": made}
    finite = bool(np.isfinite(made.maps["fused"]).all())
    low, high = (float(made.maps["fused"].min()), float(made.maps["fused"].max())) if finite else (None, None)
    return {
        **known,
        "pixel_auroc": six(made.pixel_auroc),
        "minimum": six(low),
        "maximum": six(high),
        "why": "ok" if finite else "map not finite",
    }
