"""Maps worth looking at: the best and worst located test images of a pixel cell, a tiny and a logical defect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptad import metrics
from promptad.datasets import Sample
from promptad.images import Preprocessing, load_mask, thumbnail
from promptad.methods import Scores
from study.truth import MaskedMaps

EXAMPLES_EACH = 2
"""How many best and how many worst located images are kept."""

SMALLEST = 1
"""How many images with the smallest defects are kept besides."""

LOGICAL_KINDS = frozenset({"logical_anomalies", "cable_swap", "missing_cable", "misplaced", "flip", "missing"})
"""Kinds of defects that are something at a wrong place, or nothing at all: one such image is kept besides."""

THUMBNAIL = 160
"""Side of the kept pictures and masks in pixels."""


def example_maps(
    samples: Sequence[Sample],
    masked: MaskedMaps,
    result: Scores,
    preprocessing: Preprocessing,
) -> dict[str, NDArray[Any]] | None:
    """Pictures, masks and maps of the best and the worst located anomalous images, best first; None if there is none.

    Images are ranked by their own pixel AUROC; what is kept are the maps on the patch grid. A branch that the method
    does not have is all NaN. Of the other images, that with the smallest defect and the best located one with a logical
    defect follow; ``chosen_as`` says which image is here for what (best, worst, smallest, logical), and
    ``defect_area`` is the share of its pixels that are anomalous.
    """
    assert result.maps is not None
    located: dict[int, float] = {}
    area: dict[int, float] = {}
    images = 0
    for masks, maps in masked:
        for index, (mask, anomaly_map) in enumerate(zip(masks, maps, strict=True), start=images):
            if mask.any() and not mask.all():
                located[index] = metrics.auroc(mask.ravel(), anomaly_map.ravel())
                area[index] = float(mask.mean())
        images += len(masks)
    ranked = sorted(located, key=lambda index: (-located[index], index))
    if not ranked:
        return None
    best, rest = ranked[:EXAMPLES_EACH], ranked[EXAMPLES_EACH:]
    worst, middle = rest[-EXAMPLES_EACH:], rest[:-EXAMPLES_EACH]
    smallest = sorted(middle, key=lambda index: (area[index], index))[:SMALLEST]
    logical = [index for index in middle if index not in smallest and samples[index].kind in LOGICAL_KINDS][:1]
    chosen = [*best, *worst, *smallest, *logical]
    reasons = {"best": best, "worst": worst, "smallest": smallest, "logical": logical}
    shown = [samples[index] for index in chosen]
    fused = result.maps.numpy()[chosen]
    absent = np.full(fused.shape, np.nan, dtype=np.float32)
    branches = {
        name: result.branches[name].numpy()[chosen] if name in result.branches else absent
        for name in ("textual", "visual")
    }
    return {
        "names": np.array([sample.name for sample in shown]),
        "anomalous": np.array([sample.anomalous for sample in shown]),
        "chosen_as": np.array([reason for reason, indices in reasons.items() for _ in indices]),
        "pixel_auroc": np.array([located[index] for index in chosen]),
        "defect_area": np.array([area[index] for index in chosen]),
        "score": masked.maxima()[chosen],
        "thumbnails": np.stack([thumbnail(sample, preprocessing, THUMBNAIL) for sample in shown]),
        "masks": np.stack([load_mask(sample, preprocessing=preprocessing, size=THUMBNAIL) for sample in shown]),
        "fused": fused,
        **branches,
    }
