"""Figures of a model's inside: features of prompts and images on a plane, and attention by block."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.reading.kept import Arrays, Loader
from reports.reading.planned_cells import PlannedCell
from reports.style import FAINT, SEQUENTIAL, SERIES, Drawing, clean, house_style, six
from reports.tables.formats import warnings
from reports.tables.table import Table

KINDS = {
    "normal_prompts": ("normal prompts", "o", SERIES[2]),
    "manual_prompts": ("manual anomaly prompts", "^", SERIES[4]),
    "learnable_prompts": ("learnable anomaly prompts", "v", SERIES[1]),
    "visual": ("normal visual features", ".", SERIES[0]),
}


def _kept(table: Table, loader: Loader, prefix: str) -> list[tuple[PlannedCell, Arrays]]:
    """The first cell of each task that kept arrays whose names begin so."""
    found: dict[str, tuple[PlannedCell, Arrays]] = {}
    for cell in table.plan.cells:
        if cell.task in found or cell.digest not in table.rows.found:
            continue
        arrays = loader(cell.digest) or {}
        if any(name.startswith(prefix) for name in arrays):
            found[cell.task] = (cell, arrays)
    return list(found.values())


def plane(features: NDArray[Any]) -> NDArray[np.float64]:
    """Positions (number, 2) by t-SNE, begun from the principal components; for fewer than four, the components."""
    values = np.asarray(features, dtype=np.float64)
    if len(values) < 4:
        centred = values - values.mean(axis=0)
        left, size, _ = np.linalg.svd(centred, full_matrices=False)
        return np.asarray((left * size)[:, :2], dtype=np.float64)
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(values) - 1) / 3)
    made = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=0, n_jobs=1).fit_transform(values)
    return np.asarray(made, dtype=np.float64)


def embedding_drawings(table: Table, loader: Loader) -> tuple[Drawing, ...]:
    """A plane per task: features of prompts and of normal images by t-SNE; distances on it are no measure."""
    return tuple(_embedding(table, cell, arrays) for cell, arrays in _kept(table, loader, "embedding/"))


def _embedding(table: Table, cell: PlannedCell, arrays: Arrays) -> Drawing:
    groups = {
        name.removeprefix("embedding/"): np.asarray(values, dtype=np.float64)
        for name, values in arrays.items()
        if name.startswith("embedding/") and len(values)
    }
    positions = plane(np.concatenate(list(groups.values())))
    data: list[dict[str, str]] = []
    with house_style():
        figure = Figure(figsize=(5.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        start = 0
        for place, (name, values) in enumerate(groups.items()):
            label, marker, colour = KINDS.get(name, (name, "s", SERIES[place % len(SERIES)]))
            spots = positions[start : start + len(values)]
            start += len(values)
            axes.plot(spots[:, 0], spots[:, 1], marker, color=colour, label=f"{label} ({len(values)})", alpha=0.8)
            data += [{"kind": name, "task": cell.task, "x": six(x), "y": six(y)} for x, y in spots]
        axes.set_xticks([])
        axes.set_yticks([])
        title = f"{cell.category}, {cell.task} task, {cell.shots}-shot, seed {cell.seed}"
        clean(axes, "\n".join([title, *warnings(table)]))
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return Drawing(
        stem=f"embedding_{cell.task}",
        alt=f"t-SNE of prompt and visual features of {cell.category}, {cell.task} task.",
        figure=figure,
        data=tuple(data),
    )


def attention_drawings(table: Table, loader: Loader) -> tuple[Drawing, ...]:
    """Attention by block: of the class token over the image, and of every token to every other."""
    return tuple(_attention(table, cell, arrays) for cell, arrays in _kept(table, loader, "attention/")[:1])


def attention_blocks(arrays: Arrays, kind: str) -> list[NDArray[np.float64]]:
    """Matrices token x token in the order of the blocks, from one stack or from arrays named by block."""
    if f"attention/{kind}" in arrays:
        return [np.asarray(block, dtype=np.float64) for block in arrays[f"attention/{kind}"]]
    prefix = f"attention/{kind}/"
    names = sorted(
        (name for name in arrays if name.startswith(prefix)), key=lambda name: int(name.removeprefix(prefix))
    )
    return [np.asarray(arrays[name], dtype=np.float64) for name in names]


def _attention(table: Table, cell: PlannedCell, arrays: Arrays) -> Drawing:
    rows = [(kind, blocks) for kind in ("qk", "vv") if (blocks := attention_blocks(arrays, kind))]
    most = max((len(blocks) for _, blocks in rows), default=1)
    data: list[dict[str, str]] = []
    with house_style():
        figure = Figure(figsize=(1.0 + 1.25 * most, 0.8 + 1.45 * len(rows)), layout="constrained")
        grid = figure.subplots(max(1, len(rows)), most, squeeze=False)
        for y, (kind, blocks) in enumerate(rows):
            for x, block in enumerate(blocks):
                axes = grid[y, x]
                axes.imshow(np.log(np.maximum(block, 1e-6)), cmap=SEQUENTIAL, interpolation="nearest")
                own = float(np.mean(np.diag(block)))
                first = float(np.mean(block[1:, 0]))
                data.append({"kind": kind, "block": str(x + 1), "to_itself": six(own), "to_class_token": six(first)})
                axes.set_xlabel(f"self {100 * own:.0f}%", fontsize=8, color=FAINT)
                axes.set_title(f"block {x + 1}" if y == 0 else "", fontsize=10)
            grid[y, 0].set_ylabel({"qk": "QK", "vv": "VV"}[kind], fontsize=12, fontweight="bold")
        for axes in grid.ravel():
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        marks = warnings(table)
        figure.suptitle("  ".join([f"{cell.category}, {cell.shots}-shot", *marks]), fontsize=11, fontweight="bold")
    return Drawing(
        stem="attention",
        alt="Attention from every token (rows) to every token (columns) by block, mean over heads, log colours.",
        figure=figure,
        data=tuple(data),
        wide=True,
        photographs=True,
    )
