"""Benchmark results as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import companies
from cells import IMAGE_SIDE


def to_markdown(results: dict[str, Any]) -> str:
    """The whole page; ratios are of times measured in one run on one machine."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "open_clip_torch", "numpy", "ray"))
    blocks = [
        "# Benchmarks",
        "`make bench` writes this page and `benchmarks.json`. Read the ratios; the seconds belong to this machine: "
        f"{machine['processor']}, {machine['threads']} threads, no GPU ({versions}).",
        "## One cell: the plain way and ours",
        "The plain way (`tests/benchmarks/plain.py`) is the released code's procedure: 77-token prompts; each of 100"
        " epochs decodes, encodes and scores support and test images again. A few epochs are measured, the rest is "
        "**extrapolated linearly**. Ours is `Workbench.run` with an empty feature cache (first cell), then with "
        "another lambda on the same images (further cell), then with every epoch scored on the test set as in the "
        "plain way (every epoch). Released protocol in fp32; equal: scores and AUROC after two epochs differ by at "
        "most 1e-4.",
        _table(
            [
                "backbone",
                "shots",
                "test images",
                "task",
                "plain, 100 epochs",
                "ours, first cell",
                "further cell",
                "every epoch",
                "first ratio",
                "further ratio",
                "every-epoch ratio",
                "equal",
            ],
            (
                [
                    case["backbone"],
                    case["shots"],
                    case["test_images"],
                    task,
                    _time(entry["plain_seconds"]),
                    _time(entry["first_cell_seconds"]),
                    _time(entry.get("further_cell_seconds")),
                    _time(entry.get("every_epoch_seconds")),
                    _ratio(entry["first_cell_ratio"]),
                    _ratio(entry.get("further_cell_ratio")),
                    _ratio(entry.get("every_epoch_ratio")),
                    "yes" if entry["equal"] else "NO",
                ]
                for case in results["cells"]
                for task, entry in case["tasks"].items()
            ),
        ),
        "## Where a first cell's seconds go",
        _table(
            [
                "backbone",
                "shots",
                "test images",
                "task",
                "decode, resize, encode",
                "prompt steps",
                "scoring",
                "metrics",
                "examples",
                "metrics, share of a further cell",
            ],
            (
                [
                    case["backbone"],
                    case["shots"],
                    case["test_images"],
                    task,
                    *(
                        _time(entry["stages"].get(stage, 0.0))
                        for stage in ("features", "fit", "score", "metrics", "examples")
                    ),
                    f"{100 * metrics_share(entry):.1f} %",
                ]
                for case in results["cells"]
                for task, entry in case["tasks"].items()
            ),
        ),
        f"Measured apart, on {IMAGE_SIDE} x {IMAGE_SIDE} PNG files:",
        _table(
            ["backbone", "decode + resize, ms per image", "encode, ms per image", "write row + examples, ms per cell"],
            (
                [
                    entry["backbone"],
                    *(_milliseconds(entry[f"{stage}_seconds"]) for stage in ("decode", "encode", "write")),
                ]
                for entry in results["stages"]
            ),
        ),
        "## The floor",
        "The floor is the matrix products alone, at this machine's rate for these shapes: encoding an image once "
        "with both branches, and one prompt step forward and backward over the tree.",
        _table(
            [
                "backbone",
                "encode, ms per image",
                "floor",
                "ours / floor",
                "prompt step, ms",
                "floor",
                "ours / floor",
                "tree nodes",
            ],
            (
                [
                    case["backbone"],
                    _milliseconds(case["floor"]["encode_seconds"]),
                    _milliseconds(case["floor"]["encode_floor_seconds"]),
                    _ratio(case["floor"]["encode_ratio"]),
                    _milliseconds(case["floor"]["step_seconds"]),
                    _milliseconds(case["floor"]["step_floor_seconds"]),
                    _ratio(case["floor"]["step_ratio"]),
                    case["floor"]["tree_nodes"],
                ]
                for case in _first_of_each_backbone(results["cells"])
                if "floor" in case
            ),
        ),
        "## In company",
        "CPU milliseconds of a step for each cell, one thread, and how many times less than alone; the numbers are to "
        "the bit those of each cell alone, or the size is not used (`tests/benchmarks/companies.py`).",
        _table(companies.COLUMNS, companies.rows(results.get("companies", []))),
        "## Memory and cache",
        "Private memory belongs to one worker: the libraries' own, weights, and the cell's data. Resident memory also "
        "counts mapped files (libraries, the feature cache), which a node's workers share and the kernel can drop.",
        _table(
            [
                "backbone",
                "test images",
                "weights",
                "libraries",
                "private peak",
                "beyond weights",
                "resident peak",
                "cache per image",
                "first cell",
                "second cell, warm",
            ],
            (
                [
                    entry["backbone"],
                    entry["test_images"],
                    _size(entry["weights_bytes"]),
                    _size(entry["libraries_bytes"]),
                    _size(entry["private_bytes"]),
                    _size(entry["private_bytes"] - entry["weights_bytes"]),
                    _size(entry["resident_bytes"]),
                    _size(entry["cache_bytes_per_image"]),
                    _time(entry["first_cell_seconds"]),
                    _time(entry["second_cell_seconds"]),
                ]
                for entry in results["memory"]
            ),
        ),
        "## Metrics",
        _table(
            ["metric", "against", "difference", "ours", "reference", "ratio"],
            (
                [
                    entry["metric"],
                    entry["against"],
                    f"{entry['difference']:.1e}",
                    _time(entry["ours_seconds"]),
                    _time(entry["reference_seconds"]),
                    _ratio(entry["ratio"]),
                ]
                for entry in results["metrics"]
            ),
        ),
        "## Scheduling on Ray",
        "The executor on cells that only wait, so that more workers than cores can be tried. Overhead is the time "
        "between a worker's rows minus the cell; start-up (until every worker has its first row, all on this "
        "machine's cores) occurs once per study.",
        _table(
            ["workers", "cell", "overhead per cell", "overhead", "start-up"],
            (
                [
                    entry["workers"],
                    _time(entry["cell_seconds"]),
                    _milliseconds(entry["overhead_seconds"]) + " ms",
                    f"{100 * entry['overhead']:.1f} %",
                    _time(entry["start_seconds"]),
                ]
                for entry in results["scheduling"]
            ),
        ),
        "## A study that is partly done",
        "`run table3` on one embedded category, again after some of its rows were removed (features are cached):",
        _table(
            ["cells planned", "missing", "seconds"],
            (
                [entry["planned"], entry["missing"], _time(entry["seconds"])]
                for entry in results["study_cost"]["entries"]
            ),
        ),
        "## The whole paper, replayed",
        results["replay"]["note"],
        _table(
            ["workers", "makespan", "speed-up", "efficiency"],
            (
                [
                    entry["nodes"],
                    _time(entry["seconds"]),
                    _ratio(entry["speed_up"]),
                    f"{100 * entry['efficiency']:.0f} %",
                ]
                for entry in results["replay"]["entries"]
            ),
        ),
        "## Targets",
        _table(["target", "measured", ""], ([t["target"], t["measured"], t["verdict"]] for t in results["targets"])),
        "[speed.md](speed.md) explains the missed targets and what else was tried.",
    ]
    return "\n\n".join(blocks) + "\n"


def metrics_share(entry: dict[str, Any]) -> float:
    """Metrics' share of a cell whose images are encoded already."""
    stages = entry["stages"]
    return float(stages["metrics"] / (stages["total"] - stages["features"]))


def _first_of_each_backbone(cases: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return {case["backbone"]: case for case in reversed(cases)}.values()


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head, *lines = ("| " + " | ".join(str(value) for value in line) + " |" for line in (heads, *rows))
    return "\n".join((head, "|" + "---|" * len(heads), *lines))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5970 else f"{seconds / 3600:.3g} h"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"


def _ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 20 else f"{value:.2f}"


def _size(value: float) -> str:
    return f"{value / 2**30:.2f} GB" if value >= 2**30 else f"{value / 2**20:.1f} MB"
