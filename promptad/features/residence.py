"""Features that stay on an accelerator between cells, so that a category's are copied to it once."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

SHARE = 0.4
"""The part of a process's memory on the card that features may fill."""

AT_ONCE = 16
"""Images that are copied together."""


def residence_on(device: torch.device, gpus: float) -> Residence | None:
    """Room for features on the card of a process that was given ``gpus`` of it; None on a CPU, which maps them."""
    if device.type == "cpu":
        return None
    total = torch.cuda.get_device_properties(device).total_memory if torch.cuda.is_available() else 0
    return Residence(int(SHARE * min(gpus, 1.0) * total))


class Residence:
    """Whole views on a device, at most ``budget`` bytes of them together; they go when their features go."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: weakref.WeakSet[Tensor] = weakref.WeakSet()

    @property
    def used(self) -> int:
        """Bytes that are taken now."""
        return sum(tensor.nbytes for tensor in self._held)

    def moved(self, images: Sequence[Tensor], device: torch.device) -> Tensor | None:
        """All images of a view as one tensor on the device; None where there is no room."""
        # What is scored first may be learned from later: it must be an ordinary tensor.
        with torch.inference_mode(mode=False):
            return self._moved(images, device)

    def _moved(self, images: Sequence[Tensor], device: torch.device) -> Tensor | None:
        first = images[0]
        if self.used + len(images) * first.nbytes > self._budget:
            return None
        whole = torch.empty((len(images), *first.shape), dtype=first.dtype, device=device)
        # Two buffers that the card reads by itself: one is filled while the other is copied.
        pinned = device.type == "cuda" and torch.cuda.is_available()
        buffers = [torch.empty((AT_ONCE, *first.shape), dtype=first.dtype, pin_memory=pinned) for _ in range(2)]
        copied = [torch.cuda.Event() if pinned else None for _ in buffers]
        for turn, start in enumerate(range(0, len(images), AT_ONCE)):
            buffer, event = buffers[turn % 2], copied[turn % 2]
            if event is not None:
                event.synchronize()
            part = list(images[start : start + AT_ONCE])
            torch.stack(part, out=buffer[: len(part)])
            whole[start : start + len(part)].copy_(buffer[: len(part)], non_blocking=pinned)
            if event is not None:
                event.record()
        if pinned:
            # The buffers are let go here, and must have been read.
            torch.cuda.current_stream().synchronize()
        self._held.add(whole)
        return whole
