"""Arrays kept beside a cell for figures: their form, checked before anything is drawn from them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.reading.shapes import DocumentError

Arrays = Mapping[str, NDArray[Any]]
"""Arrays of a cell by name, as they are kept for figures."""
Loader = Callable[[str], Arrays | None]
"""Digest of a cell -> the arrays kept for it, or None if none were kept; raises DocumentError if they are damaged."""

COMPARED = "compared/"
"""Prefix of the arrays that hold the same images for every method."""

SCORED = "scored/"
"""Prefix of the arrays that hold images of a set without masks, with scores and without maps."""

BRANCHES = ("textual", "visual", "fused")


def arrays_file(digest: str) -> str:
    """How a page calls the arrays of a cell when they are damaged."""
    return f"examples/{digest}.npz"


def sound(load: Loader, faults: dict[str, str]) -> Loader:
    """A loader that returns None for damaged arrays, and adds their file with the reason to ``faults``."""

    def loaded(digest: str) -> Arrays | None:
        try:
            arrays = load(digest)
            if arrays is not None:
                _check(arrays)
        except DocumentError as error:
            faults[arrays_file(digest)] = str(error)
            return None
        return arrays

    return loaded


def _check(arrays: Arrays) -> None:
    # Images that methods are compared on are kept beside the best and worst located ones, in the same form.
    compared = {name.removeprefix(COMPARED): values for name, values in arrays.items() if name.startswith(COMPARED)}
    scored = {name.removeprefix(SCORED): values for name, values in arrays.items() if name.startswith(SCORED)}
    found = [
        *_example_faults(arrays),
        *_example_faults(compared),
        *(_scored_faults(scored) if scored else ()),
        *_inside_faults(arrays),
    ]
    if found:
        raise DocumentError(f"not arrays for figures: {'; '.join(found[:3])}")


def _example_faults(arrays: Arrays) -> Iterator[str]:
    if "names" not in arrays:
        return
    needed = ("anomalous", "pixel_auroc", "score", "thumbnails", "masks", *BRANCHES)
    absent = [name for name in needed if name not in arrays]
    if absent:
        yield f"{', '.join(absent)} are not there"
        return
    count = len(arrays["names"]) if arrays["names"].ndim == 1 else -1
    texts = ("names", *(name for name in ("chosen_as",) if name in arrays))
    for name in texts:
        if arrays[name].shape != (count,) or arrays[name].dtype.kind != "U":
            yield f"{name} must be a list of texts"
    for name in ("anomalous", "pixel_auroc", "score"):
        if arrays[name].shape != (count,) or arrays[name].dtype.kind not in "bfiu":
            yield f"{name} must have a number for each of {count} images"
    pictures, masks = arrays["thumbnails"], arrays["masks"]
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[::3] != (count, 3) or not pictures.size:
        yield "thumbnails must be pictures (number, height, width, 3) of bytes"
    elif masks.shape != pictures.shape[:3] or masks.dtype != np.bool_:
        yield "masks must be true or false, of the size of the pictures"
    shapes = {arrays[name].shape for name in BRANCHES}
    if any(len(shape) != 3 or shape[0] != count or 0 in shape for shape in shapes):
        yield "maps must be (number, height, width)"
    if any(arrays[name].dtype.kind != "f" for name in BRANCHES):
        yield "maps must be numbers"


def _scored_faults(arrays: Arrays) -> Iterator[str]:
    absent = [name for name in ("names", "chosen_as", "score", "thumbnails") if name not in arrays]
    if absent:
        yield f"{', '.join(absent)} of scored images are not there"
        return
    count = len(arrays["names"]) if arrays["names"].ndim == 1 else -1
    for name in ("names", "chosen_as"):
        if arrays[name].shape != (count,) or arrays[name].dtype.kind != "U":
            yield f"{name} of scored images must be a list of texts"
    if arrays["score"].shape != (count,) or not _finite(arrays["score"]):
        yield f"score of scored images must have a finite number for each of {count} images"
    pictures = arrays["thumbnails"]
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[::3] != (count, 3) or not pictures.size:
        yield "thumbnails of scored images must be pictures (number, height, width, 3) of bytes"


def _inside_faults(arrays: Arrays) -> Iterator[str]:
    features = {name: values for name, values in arrays.items() if name.startswith("embedding/")}
    if any(not _finite(values) or values.ndim != 2 for values in features.values()):
        yield "features must be finite numbers (number, width)"
    elif len({values.shape[1] for values in features.values()}) > 1:
        yield "features must have one width"
    elif features and not any(len(values) for values in features.values()):
        yield "there are no features"
    for name, values in arrays.items():
        if not name.startswith("attention/"):
            continue
        _, kind, *number = name.split("/")
        dimensions = 2 if number else 3
        named = kind in ("qk", "vv") and (not number or (len(number) == 1 and number[0].isdecimal()))
        square = values.ndim == dimensions and values.shape[-1] == values.shape[-2] >= 2
        if not named or not square or not _finite(values):
            yield f"{name} must be attention of tokens to tokens"


def _finite(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "fiu" and bool(np.isfinite(values).all())
