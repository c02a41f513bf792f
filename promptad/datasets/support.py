"""Which normal images a few-shot method may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptad.datasets.sample import Category, DatasetError, Sample

if TYPE_CHECKING:
    import numpy as np


def draw_support(category: Category, shots: int, generator: np.random.Generator) -> tuple[Sample, ...]:
    """The first `shots` of a random permutation of the normal images sorted by name, in the order drawn.

    Generators in the same state give nested supports: the 1-shot image is the first of the 2-shot ones. Depends on the
    names only, never on the order of a folder's listing. Raises DatasetError unless 1 <= shots <= number of images.
    """
    if shots < 1:
        raise DatasetError(f"shots must be at least 1, but got {shots}")
    if shots > len(category.train):
        raise DatasetError(
            f"shots must be at most the {len(category.train)} normal images of {category.name}, but got {shots}: "
            "ask for fewer shots or add normal images"
        )
    ordered = sorted(category.train, key=lambda sample: sample.name)
    return tuple(ordered[index] for index in generator.permutation(len(ordered))[:shots])


def named_support(category: Category, names: Sequence[str]) -> tuple[Sample, ...]:
    """The normal images with these names, in this order. Raises DatasetError for no, unknown or repeated names."""
    if not names:
        raise DatasetError(f"a support of {category.name} must name at least 1 normal image, but got none")
    by_name = {sample.name: sample for sample in category.train}
    problems = [f"{name} is named {count} times" for name, count in Counter(names).items() if count > 1]
    problems += [
        f"{name} is not a normal image of {category.name}" for name in dict.fromkeys(names) if name not in by_name
    ]
    if problems:
        example = next(iter(by_name), "none")
        raise DatasetError(
            f"support names must be distinct normal images of {category.name} (such as {example}), but "
            + "; ".join(problems)
        )
    return tuple(by_name[name] for name in names)
