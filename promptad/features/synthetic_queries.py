"""Queries for a detector where only normal images exist: views of support images, some with pasted defects."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptad.datasets import Sample
from promptad.features.extraction import ImageInput, content_of
from promptad.features.support_poses import VIEWS
from promptad.images.preparation import Pixels, Preprocessing, resized_pixels, support_views
from promptad.images.pseudo_anomalies import DEFECTS, VERSION, pasted
from promptad.randomness import numpy_generator

DEFECTIVE = 24
"""Number of images with a pasted defect: equally many of each kind."""


def split_support(support: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The support images to fit on, and those held out: a quarter, at least one; none if there is a single image."""
    held_out = len(support) // 4 or int(len(support) > 1)
    kept = len(support) - held_out
    return tuple(support[:kept]), tuple(support[kept:])


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticQueries:
    """Labelled images made of normal ones. ``note`` states of which; a sample's path is that of its original image."""

    samples: tuple[Sample, ...]
    inputs: tuple[ImageInput, ...]
    note: str
    masks: dict[str, functools.partial[NDArray[np.bool_]]]

    def mask(self, sample: Sample, *, size: int) -> NDArray[np.bool_]:
        """The mask of a sample: bool, shape (size, size), sampled at the nearest pixel."""
        if not sample.anomalous:
            return np.zeros((size, size), dtype=np.bool_)
        mask = self.masks[sample.name]()
        centres = (np.arange(size) + 0.5) / size
        rows, columns = ((centres * side).astype(np.intp) for side in mask.shape)
        return np.asarray(mask[np.ix_(rows, columns)])


def synthetic_queries(
    support: Sequence[Sample], *, preprocessing: Preprocessing, shift: int, category: str, seed: int
) -> SyntheticQueries:
    """Views of the held-out support images, and ``DEFECTIVE`` views with defects; the same for every config.

    ``support`` is the whole draw of the seed. A single support image is also the one for fitting: then only its turned
    and shifted views are queries, never the image itself, and ``note`` says so.
    """
    _, held_out = split_support(support)
    note = f"pseudo-anomalies on {len(held_out)} held-out support image{'s' * (len(held_out) > 1)}"
    if not held_out:
        note = "pseudo-anomalies on augmented views of the one support image, which is fitted on too"
    images = held_out or tuple(support)
    numbers = range(0 if held_out else 1, VIEWS)
    made = _Views(preprocessing, shift)
    samples, inputs, masks = [], [], {}
    for number in numbers:
        image = images[number % len(images)]
        name = f"view {number} of {image.name}"
        samples.append(Sample(name=name, path=image.path, anomalous=False, kind="good"))
        inputs.append(ImageInput(identity=made.identity(image, number), pixels=made.clean(image, number), name=name))
    for count in range(DEFECTIVE):
        image, kind = images[count % len(images)], tuple(DEFECTS)[count % len(DEFECTS)]
        purpose = (category, "pseudo-anomalies", str(count))
        number = int(numpy_generator(seed, *purpose, "view").choice(numbers))
        name = f"{kind} {count} on view {number} of {image.name}"
        samples.append(Sample(name=name, path=image.path, anomalous=True, kind=kind))
        identity = f"{made.identity(image, number)}+{kind}-v{VERSION}-{seed}-{category}-{count}"
        inputs.append(
            ImageInput(
                identity=identity,
                pixels=functools.partial(made.defective, image, number, kind, seed, purpose),
                name=name,
            )
        )
        masks[name] = functools.partial(made.mask, image, number, kind, seed, purpose)
    return SyntheticQueries(samples=tuple(samples), inputs=tuple(inputs), note=note, masks=masks)


class _Views:
    """Views of support images, made when an image's first one is requested."""

    def __init__(self, preprocessing: Preprocessing, shift: int) -> None:
        self._shift = shift
        self._make = functools.cache(
            lambda image: support_views(resized_pixels(image.path, preprocessing, content=self._content(image)), shift)
        )
        self._content = functools.cache(content_of)

    def identity(self, image: Sample, number: int) -> str:
        """The same name as in ``view_inputs``, so that both share features."""
        digest = self._content(image)
        return digest if number == 0 else f"{digest}+view{number}-shift{self._shift}"

    def clean(self, image: Sample, number: int) -> functools.partial[Pixels]:
        return functools.partial(self._view, image, number)

    def defective(self, image: Sample, number: int, kind: str, seed: int, purpose: tuple[str, ...]) -> Pixels:
        return pasted(kind, self._view(image, number), numpy_generator(seed, *purpose))[0]

    def mask(self, image: Sample, number: int, kind: str, seed: int, purpose: tuple[str, ...]) -> NDArray[np.bool_]:
        return pasted(kind, self._view(image, number), numpy_generator(seed, *purpose))[1]

    def _view(self, image: Sample, number: int) -> Pixels:
        return self._make(image)[number]
