"""Views that are pictures, not features: read on every request, and never held in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from torch import Tensor

PIXELS = "pixels"
"""The view that is the tower's input: image x 3 x height x width, preprocessed."""

PICTURES = {1: "pictures/1", 2: "pictures/2"}
"""The views that are uint8 pixels, image x height x width x 3, by how many times the tower's size they have."""


def is_picture(view: str) -> bool:
    """Whether a view is no feature."""
    return view == PIXELS or view in PICTURES.values()


class ReadOnRequest(Sequence[Tensor]):
    """Tensors that are read whenever one is asked for."""

    def __init__(self, reads: Sequence[Callable[[], Tensor]]) -> None:
        self._reads = reads

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self._reads)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> ReadOnRequest: ...

    def __getitem__(self, index: int | slice) -> Tensor | ReadOnRequest:
        """One tensor, or those of a slice, to be read later."""
        return ReadOnRequest(self._reads[index]) if isinstance(index, slice) else self._reads[index]()
