"""Support images in slightly different poses: more memory entries from the same few images."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from promptad.datasets.content import digest_of_file
from promptad.datasets.sample import Sample
from promptad.features.extraction import ImageInput, content_of
from promptad.images.preparation import Pixels, Preprocessing, resized_pixels, support_views

VIEWS = 20
"""Views of one image: five small rotations times four shifts of half a patch; the first is the image itself."""


def view_inputs(paths: Sequence[Path], preprocessing: Preprocessing, *, shift: int) -> list[ImageInput]:
    """Augmented views of image files, each identified by the file's content and its number.

    ``shift`` is in pixels of the network's input, half a patch being usual.
    """
    return _view_inputs([(path, digest_of_file(path)) for path in paths], preprocessing, shift)


def sample_view_inputs(samples: Sequence[Sample], preprocessing: Preprocessing, *, shift: int) -> list[ImageInput]:
    """``view_inputs`` of images of a category, identified by the content that they had when it was opened."""
    return _view_inputs([(sample.path, content_of(sample)) for sample in samples], preprocessing, shift)


def _view_inputs(files: Sequence[tuple[Path, str]], preprocessing: Preprocessing, shift: int) -> list[ImageInput]:
    inputs = []
    for path, identity in files:
        views = _LazyViews(path, identity, preprocessing, shift)
        for number in range(VIEWS):
            name = identity if number == 0 else f"{identity}+view{number}-shift{shift}"
            inputs.append(
                ImageInput(
                    identity=name,
                    pixels=functools.partial(views.pixels, number),
                    name=f"{path} (view {number})",
                    enlarged=functools.partial(views.pixels, number),
                )
            )
    return inputs


class _LazyViews:
    """The views of one file, made when the first of a size is requested."""

    def __init__(self, path: Path, content: str, preprocessing: Preprocessing, shift: int) -> None:
        def made(factor: int) -> list[Pixels]:
            larger = preprocessing.at_size(factor * preprocessing.size)
            return support_views(resized_pixels(path, larger, content=content), factor * shift)

        self._made = functools.cache(made)

    def pixels(self, number: int, factor: int = 1) -> Pixels:
        return self._made(factor)[number]
