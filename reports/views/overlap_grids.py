"""The overlap of prompts and images in feature space, as a table: measured per seed, then averaged over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.reading.kept import Arrays, Loader
from reports.reading.planned_cells import PlannedCell
from reports.reading.shots import Shots, shots_text
from reports.statistics import Summary, summarize
from reports.tables.formats import MINUS, no_interval_reason, seeds_text
from reports.tables.grids import Grid, Spot
from reports.tables.overlap import OverlapError, kinship, median_distance, separability, squared_mmd
from reports.tables.table import Table

EMBEDDED, PARTS = "embedding/", "parts/"
"""Prefixes of a cell's arrays of features, and of those with the prompts' prefixes and suffixes."""
NO_PART = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two kinds of features, each one or several groups of a cell's arrays, and the paper's statement about them."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    label: str
    said: str


NORMAL, MANUAL, LEARNABLE, VISUAL = ("normal_prompts",), ("manual_prompts",), ("learnable_prompts",), ("visual",)
_APART = "“very clear discrimination”"
PAIRS = (
    Pair(first=NORMAL, second=VISUAL, label="normal prompts and normal visual features", said="overlap “very high”"),
    Pair(
        first=MANUAL + LEARNABLE,
        second=VISUAL,
        label="anomaly prompts and normal visual features",
        said="nothing: to compare the row above with",
    ),
    Pair(first=NORMAL, second=MANUAL, label="normal and manual anomaly prompts", said=_APART),
    Pair(first=NORMAL, second=LEARNABLE, label="normal and learnable anomaly prompts", said=_APART),
    Pair(first=NORMAL, second=MANUAL + LEARNABLE, label="normal and all anomaly prompts", said=_APART),
    Pair(first=MANUAL, second=LEARNABLE, label="manual and learnable anomaly prompts", said="nothing"),
)
OVERLAP_CAPTION = (
    "The table measures the features before t-SNE, at every seed: mean, 95% interval over seeds, n and SD. "
    "Separability is the AUROC, as a fraction, of telling two kinds apart along the difference of their means, "
    "each pair of features judged by others (no prompt by one with its prefix or suffix): 0.5 says that they "
    "overlap, 1 that they lie apart; values below 0.5 arise by chance. MMD² (unbiased; a Gaussian kernel as wide "
    "as the median distance of all features of a seed) is 0 for one distribution, at most 2, and by chance below "
    "0. CLIP's texts and images lie apart whatever they show (the modality gap): a separability near 1 of prompts "
    "and images does not by itself say that they disagree about what is normal. Compare the rows of normal and of "
    "anomaly prompts."
)
MEASURES = (("Separability", "AUROC: 0.5 overlap, 1 apart"), ("MMD²", "0: one distribution"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Measures of a pair at one seed: separability in [0, 1], and squared MMD."""

    separability: float
    squared_mmd: float


def overlap_of(arrays: Arrays, pair: Pair) -> Overlap:
    """The overlap of a pair in one cell; the kernel is as wide as the median distance of any two of its features.

    Raises:
        OverlapError: a kind with too few features, or prompts without their prefixes and suffixes in the cell.
    """
    groups = {
        name.removeprefix(EMBEDDED): np.asarray(values, dtype=np.float64)
        for name, values in arrays.items()
        if name.startswith(EMBEDDED)
    }
    if absent := [name for name in (*pair.first, *pair.second) if name not in groups]:
        raise OverlapError(f"a cell must keep features of every kind, but this one kept no {' and '.join(absent)}")
    first, second = (np.concatenate([groups[name] for name in names]) for names in (pair.first, pair.second))
    kin = kinship(*(np.concatenate([_parts(arrays, name) for name in names]) for names in (pair.first, pair.second)))
    width = median_distance(np.concatenate(list(groups.values())))
    return Overlap(separability=separability(first, second, kin), squared_mmd=squared_mmd(first, second, kin, width))


def _parts(arrays: Arrays, group: str) -> NDArray[np.int64]:
    """Prefix and suffix of each feature of a group, number x 2; images have neither."""
    if group in VISUAL:
        return np.full((len(arrays[EMBEDDED + group]), 2), NO_PART, dtype=np.int64)
    if PARTS + group not in arrays:
        raise OverlapError(
            "prompts with one prefix or suffix must not judge each other, but an earlier version did not record which "
            "these have: run the figure in a new study folder"
        )
    return np.asarray(arrays[PARTS + group], dtype=np.int64)


def overlap_grids(table: Table, loader: Loader) -> tuple[Grid, ...]:
    """A grid for each arm, category, task and number of shots whose cells kept features: rows pairs, columns measures.

    Each measure is computed per seed; the grid prints its mean over seeds with its interval.
    """
    cells: dict[tuple[str, str, str, Shots], list[PlannedCell]] = {}
    for cell in table.plan.cells:
        cells.setdefault((cell.arm, cell.category, cell.task, cell.shots), []).append(cell)
    labels = {arm.name: arm.label for arm in table.plan.arms}
    grids = []
    for (arm, category, task, shots), planned in cells.items():
        kept = [loader(cell.digest) or {} for cell in planned if cell.digest in table.rows.found]
        kept = [arrays for arrays in kept if any(name.startswith(EMBEDDED) for name in arrays)]
        if not kept:
            continue
        whose = [labels[arm]] if len(labels) > 1 else []
        seeds = seeds_text(len(planned)) if len(kept) == len(planned) else f"{len(kept)} of {seeds_text(len(planned))}"
        title = ", ".join([*whose, category, f"{task} task", shots_text(shots), seeds])
        rows = tuple(_row(kept, pair) for pair in PAIRS)
        grids.append(
            Grid(title=title, head=(("Features", ""), *MEASURES, ("The paper says", "of its t-SNE")), rows=rows)
        )
    return tuple(grids)


def _row(kept: Sequence[Arrays], pair: Pair) -> tuple[Spot, ...]:
    found: list[Overlap] = []
    reasons: list[str] = []
    for arrays in kept:
        try:
            found.append(overlap_of(arrays, pair))
        except OverlapError as error:
            reasons.append(str(error))
    counts = {name: len(kept[0].get(EMBEDDED + name, ())) for name in (*pair.first, *pair.second)}
    numbers = " and ".join(str(sum(counts[name] for name in names)) for names in (pair.first, pair.second))
    label = Spot(main=pair.label, lines=(f"{numbers} features",), tone="label")
    said = Spot(main=pair.said, tone="text")
    if not found:
        absent = Spot(main="not measured", notes=(reasons[0],), tone="absent")
        return label, absent, absent, said
    notes = (f"not measured at {seeds_text(len(reasons))}: {reasons[0]}",) if reasons else ()
    measured = ([one.separability for one in found], [one.squared_mmd for one in found])
    return label, *(_spot(summarize(values), notes) for values in measured), said


def _spot(summary: Summary, notes: tuple[str, ...]) -> Spot:
    if summary.interval is None:
        lines = (no_interval_reason(summary), seeds_text(summary.n))
    else:
        low, high = summary.interval
        lines = (f"{_three(low)} to {_three(high)}", f"n = {summary.n}, SD {_three(summary.sd or 0.0)}")
    return Spot(main=_three(summary.mean), lines=lines, notes=notes)


def _three(value: float) -> str:
    """A measure with three decimals; what rounds to zero has no sign."""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", MINUS)
