"""Images for the report: those that a cell located or scored best and worst, and some chosen without scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptad.datasets import Sample
from promptad.images.preparation import Preprocessing, load_mask, thumbnail
from promptad.methods import Scores
from reports.reading.kept import Arrays
from study.bench.ground_truth import MaskedMaps

EXAMPLES_EACH = 2
"""How many best and how many worst located images are kept."""

SMALLEST = 1
"""How many images with the smallest defects are kept too."""

LOGICAL_KINDS = frozenset({"logical_anomalies", "cable_swap", "missing_cable", "misplaced", "flip", "missing"})
"""Kinds of defects where something is at a wrong place or missing: one such image is kept too."""

COMPARED = 6
"""Upper bound on the images of a category that are kept to compare methods."""

THUMBNAIL = 160
"""Side of the kept pictures and masks in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Each image whose defect is in view, by its number: its own pixel AUROC, and the defect's area."""

    located: Mapping[int, float]
    area: Mapping[int, float]


def example_maps(
    samples: Sequence[Sample],
    masked: MaskedMaps,
    result: Scores,
    preprocessing: Preprocessing,
    *,
    compared: bool = False,
) -> Arrays | None:
    """Pictures, masks and maps of the best and the worst located anomalous images, best first; None if there is none.

    Images are ranked by their own pixel AUROC; maps are kept on the patch grid. A branch that the method
    does not have is all NaN. Of the other images, that with the smallest defect and the best located one with a logical
    defect follow; ``chosen_as`` is the reason of each image (best, worst, smallest, logical), ``logical`` whether
    its kind of defect is a logical one, and ``defect_area`` is the share of its pixels that are anomalous.

    With ``compared`` the same arrays of the images that ``compared_images`` chooses are there too, their names after
    ``compared/``: they are the same images for every method.
    """
    seen = _seen(masked)
    ranked = sorted(seen.located, key=lambda index: (-seen.located[index], index))
    if not ranked:
        return None
    best, rest = ranked[:EXAMPLES_EACH], ranked[EXAMPLES_EACH:]
    worst, middle = rest[-EXAMPLES_EACH:], rest[:-EXAMPLES_EACH]
    smallest = sorted(middle, key=lambda index: (seen.area[index], index))[:SMALLEST]
    logical = [index for index in middle if index not in smallest and samples[index].kind in LOGICAL_KINDS][:1]
    reasons = {"best": best, "worst": worst, "smallest": smallest, "logical": logical}
    scores = masked.maxima()
    kept = _arrays(reasons, samples, seen, result, scores, preprocessing)
    if compared:
        chosen = _arrays(compared_images(samples, seen.area), samples, seen, result, scores, preprocessing)
        return {**kept, **{f"compared/{name}": values for name, values in chosen.items()}}
    return kept


def scored_examples(samples: Sequence[Sample], scores: Sequence[float], preprocessing: Preprocessing) -> Arrays:
    """Pictures of a set without masks, with their scores: what an image-level cell shows, as it has no maps.

    ``scored/chosen_as`` is the reason: anomalous images with the ``highest`` and ``lowest`` scores, and ``normal`` ones
    with the highest, the most telling first.
    """
    anomalous = [number for number, sample in enumerate(samples) if sample.anomalous]
    normal = [number for number, sample in enumerate(samples) if not sample.anomalous]
    ranked = sorted(anomalous, key=lambda number: (-scores[number], number))
    highest, rest = ranked[:EXAMPLES_EACH], ranked[EXAMPLES_EACH:]
    reasons = {
        "highest": highest,
        "lowest": rest[::-1][:EXAMPLES_EACH],
        "normal": sorted(normal, key=lambda number: (-scores[number], number))[:EXAMPLES_EACH],
    }
    chosen = [number for numbers in reasons.values() for number in numbers]
    return {
        "scored/names": np.array([samples[number].name for number in chosen]),
        "scored/chosen_as": np.array([reason for reason, numbers in reasons.items() for _ in numbers]),
        "scored/score": np.array([scores[number] for number in chosen], dtype=np.float64),
        "scored/thumbnails": np.stack([thumbnail(samples[number], preprocessing, THUMBNAIL) for number in chosen]),
    }


def compared_images(samples: Sequence[Sample], area: Mapping[int, float]) -> dict[str, list[int]]:
    """The images on which methods are compared, by reason; ``area`` has the defect's area of every candidate.

    The first image of each logical kind, the image with the smallest defect, then the first image of each other kind,
    at most ``COMPARED`` in all. The choice depends on the data alone, on no score.
    """
    firsts: dict[str, int] = {}
    for index in sorted(area):
        firsts.setdefault(samples[index].kind, index)
    logical = [index for kind, index in firsts.items() if kind in LOGICAL_KINDS]
    others = [index for index in sorted(area, key=lambda index: (area[index], index)) if index not in logical]
    smallest = others[:SMALLEST]
    kinds = [index for index in firsts.values() if index not in logical and index not in smallest]
    reasons: dict[str, list[int]] = {}
    left = COMPARED
    for reason, indices in (("logical", logical), ("smallest", smallest), ("kind", kinds)):
        reasons[reason] = indices[:left]
        left -= len(reasons[reason])
    return reasons


def _seen(masked: MaskedMaps) -> _Seen:
    found = masked.located()
    return _Seen(
        located={index: auroc for index, (auroc, _) in found.items()},
        area={index: area for index, (_, area) in found.items()},
    )


def _arrays(
    reasons: Mapping[str, Sequence[int]],
    samples: Sequence[Sample],
    seen: _Seen,
    result: Scores,
    scores: NDArray[np.float32],
    preprocessing: Preprocessing,
) -> Arrays:
    """What is kept of the chosen images, in the order of the reasons; ``scores`` are those of all images."""
    assert result.maps is not None
    chosen = [index for indices in reasons.values() for index in indices]
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
        "logical": np.array([sample.kind in LOGICAL_KINDS for sample in shown]),
        "pixel_auroc": np.array([seen.located[index] for index in chosen]),
        "defect_area": np.array([seen.area[index] for index in chosen]),
        "score": scores[chosen],
        "thumbnails": np.stack([thumbnail(sample, preprocessing, THUMBNAIL) for sample in shown]),
        "masks": np.stack([load_mask(sample, preprocessing=preprocessing, size=THUMBNAIL) for sample in shown]),
        "fused": fused,
        **branches,
    }
