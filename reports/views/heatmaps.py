"""Kept anomaly maps for the page's browser: pictures as files, maps as small arrays that the page colours."""

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reports.reading.kept import COMPARED, Arrays, Loader
from reports.reading.planned_cells import PlannedCell
from reports.staging import Staging, compact_json
from reports.tables.table import Table
from reports.views.examples import MAPS

MOST_CELLS = 1000
"""Upper bound on the cells whose maps the page shows, beginning with the first seeds of every table."""


def write_heatmaps(tables: Sequence[Table], loader: Loader, stage: Staging) -> dict[str, Any]:
    """Write images/ and data/heatmaps.js; return what the page needs before it loads them: choices and counts."""
    uses: dict[str, list[tuple[int, int]]] = {}
    cells: dict[str, PlannedCell] = {}
    for number, table in enumerate(tables):
        arms = {arm.name: place for place, arm in enumerate(table.plan.arms)}
        for cell in table.plan.cells:
            if cell.task == "pixel" and cell.digest in table.rows.found:
                uses.setdefault(cell.digest, []).append((number, arms[cell.arm]))
                cells[cell.digest] = cell
    order = sorted(cells.values(), key=lambda cell: (cell.seed, cell.images))
    entries: list[dict[str, Any]] = []
    shown = 0
    kept = 0
    for cell in order:
        if shown >= MOST_CELLS:
            break
        arrays = loader(cell.digest)
        if arrays is None or "names" not in arrays:
            continue
        kept += 1
        shown += 1
        entries += _entries(cell, arrays, uses[cell.digest], stage)
    content = {
        "plans": [
            {
                "name": table.plan.name,
                "title": table.plan.title,
                "data": table.plan.dataset_title,
                "arms": [arm.label for arm in table.plan.arms],
            }
            for table in tables
        ],
        "entries": entries,
    }
    if entries:
        stage.add("data/heatmaps.js", f"study.heatmaps={compact_json(content)};\n")
    return {"count": len(entries), "cells": kept, "limit": MOST_CELLS if shown >= MOST_CELLS else 0}


def _entries(cell: PlannedCell, arrays: Arrays, uses: list[tuple[int, int]], stage: Staging) -> list[dict[str, Any]]:
    """An entry per image; one that was chosen for several reasons is one entry with all of them."""
    found: dict[str, dict[str, Any]] = {}
    for prefix in ("", COMPARED):
        kept = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for index, name in enumerate(map(str, kept.get("names", ()))):
            entry = found.get(name) or _entry(cell, kept, index, uses, stage)
            found[name] = entry | {"w": list(dict.fromkeys([*entry["w"], *_reasons(kept, index, prefix)]))}
    return list(found.values())


def _entry(
    cell: PlannedCell, arrays: Arrays, index: int, uses: list[tuple[int, int]], stage: Staging
) -> dict[str, Any]:
    name = str(arrays["names"][index])
    thumbnail = np.asarray(arrays["thumbnails"][index], dtype=np.uint8)
    mask = np.asarray(arrays["masks"][index], dtype=np.bool_)
    auroc = float(arrays["pixel_auroc"][index])
    return {
        "u": uses,
        "c": cell.category,
        "k": name.removeprefix("test/").rpartition("/")[0] or "not named",
        "n": name,
        "s": cell.images,
        "e": cell.seed,
        "a": round(auroc, 5) if np.isfinite(auroc) else None,
        "w": [],
        "t": _kept(stage, thumbnail, _photograph),
        "g": _kept(stage, mask, _outline),
        "m": {kind: quantised(np.asarray(arrays[kind][index], dtype=np.float32)) for kind, _ in MAPS},
    }


def _reasons(arrays: Arrays, index: int, prefix: str) -> list[str]:
    """Why an image was kept, in words: a logical one is called so whatever else it was chosen for."""
    chosen = str(arrays["chosen_as"][index]) if "chosen_as" in arrays else ""
    words = [{"kind": "first of its kind"}.get(chosen, chosen)] if chosen else []
    words += ["logical"] if "logical" in arrays and bool(arrays["logical"][index]) else []
    return [*words, "compared"] if prefix else words


def quantised(anomaly_map: NDArray[np.float32]) -> list[Any] | None:
    """[height, width, lowest, highest, bytes in base64]: values between lowest and highest in 256 steps.

    None if a value is not finite: the branch is off.
    """
    if not np.isfinite(anomaly_map).all():
        return None
    low, high = float(anomaly_map.min()), float(anomaly_map.max())
    steps = np.round(255 * (anomaly_map - low) / (high - low)) if high > low else np.zeros_like(anomaly_map)
    height, width = anomaly_map.shape
    return [height, width, round(low, 5), round(high, 5), base64.b64encode(steps.astype(np.uint8).tobytes()).decode()]


def _kept(stage: Staging, pixels: NDArray[Any], encode: Any) -> str:
    """Name of the picture's file; equal pictures share one."""
    digest = hashlib.blake2b(pixels.tobytes() + repr(pixels.shape).encode(), digest_size=8).hexdigest()
    name = f"images/{digest}{'.jpg' if encode is _photograph else '.png'}"
    if not stage.holds(name):
        stage.add(name, encode(pixels))
    return name


def _photograph(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, format="JPEG", quality=86, optimize=False)
    return buffer.getvalue()


def _outline(mask: NDArray[np.bool_]) -> bytes:
    """The mask's border, opaque, over its inside, half transparent."""
    padded = np.pad(mask, 2)
    inner = np.ones_like(mask)
    for y in range(5):
        for x in range(5):
            inner &= padded[y : y + mask.shape[0], x : x + mask.shape[1]]
    pixels = np.where(mask & ~inner, 2, np.where(mask, 1, 0)).astype(np.uint8)
    image = Image.fromarray(pixels, mode="P")
    image.putpalette([0, 0, 0, 86, 240, 200, 86, 240, 200])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=bytes([0, 70, 255]))
    return buffer.getvalue()
