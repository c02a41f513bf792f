"""The images that a cell scores: the category's test images, or pseudo-anomalies on its normal ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptad.datasets import Category, Sample
from promptad.features.extraction import ImageInput, sample_inputs
from promptad.features.synthetic_queries import split_support, synthetic_queries
from promptad.images.preparation import Preprocessing, load_mask
from study.records.cell import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Labelled images of a cell. ``support`` are the images for fitting, ``note`` names other queries than test images.

    ``key`` is equal for cells that score the same images. ``load_mask(sample, size=...)`` gives a bool array.
    """

    key: tuple[object, ...]
    samples: tuple[Sample, ...]
    support: tuple[Sample, ...]
    inputs: Callable[[], Sequence[ImageInput]]
    load_mask: Callable[..., NDArray[np.bool_]]
    note: str | None = None


def queries_of(
    cell: Cell, category: Category, support: tuple[Sample, ...], *, preprocessing: Preprocessing, shift: int
) -> Queries:
    """The images that ``cell`` scores. ``support`` is the draw of its seed; ``shift`` is half a patch, in pixels."""
    if cell.query == "test":
        return Queries(
            key=(category.name, cell.data, "test"),
            samples=category.test,
            support=support,
            inputs=functools.partial(sample_inputs, category.test, preprocessing),
            load_mask=functools.partial(load_mask, preprocessing=preprocessing),
        )
    made = synthetic_queries(support, preprocessing=preprocessing, shift=shift, category=cell.category, seed=cell.seed)
    return Queries(
        key=(category.name, cell.data, "synthetic", cell.seed, tuple(sample.name for sample in support)),
        samples=made.samples,
        support=split_support(support)[0] or support,
        inputs=lambda: made.inputs,
        load_mask=made.mask,
        note=made.note,
    )
