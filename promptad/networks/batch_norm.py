"""Batch normalisation as plain tensors, with the running statistics that a fitted network scores by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import batch_norm

MOMENTUM = 0.1
"""How much of a batch's statistics enters the running ones, as torch's own layer has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm:
    """``(x - mean) / sqrt(variance + 1e-5) * scale + shift`` over the second axis of x (Ioffe and Szegedy, 2015)."""

    scale: Float[Tensor, " channel"]
    shift: Float[Tensor, " channel"]
    mean: Float[Tensor, " channel"]
    variance: Float[Tensor, " channel"]

    @classmethod
    def new(cls, channels: int) -> Self:
        """The layer before it has seen a batch: mean and shift 0, variance and scale 1."""
        return cls(
            scale=torch.ones(channels),
            shift=torch.zeros(channels),
            mean=torch.zeros(channels),
            variance=torch.ones(channels),
        )

    def __call__(
        self, x: Float[Tensor, "item channel *place"], *, learning: bool = False
    ) -> Float[Tensor, "item channel *place"]:
        """The output by the running statistics; while ``learning`` by the batch's, which then move the running ones.

        They are moved in place: only a layer that ``leaf`` made may learn.
        """
        output: Tensor = batch_norm(
            x, self.mean, self.variance, self.scale, self.shift, training=learning, momentum=MOMENTUM
        )
        return output

    def leaf(self, device: torch.device) -> Self:
        """A copy to learn: scale and shift are leaf tensors that require gradients."""
        scale, shift, mean, variance = (part.detach().to(device, copy=True) for part in self._parts())
        return type(self)(scale=scale.requires_grad_(), shift=shift.requires_grad_(), mean=mean, variance=variance)

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        scale, shift, mean, variance = (part.detach().clone() for part in self._parts())
        return type(self)(scale=scale, shift=shift, mean=mean, variance=variance)

    def parameters(self) -> tuple[Tensor, Tensor]:
        """Scale and shift: what gradients move."""
        return self.scale, self.shift

    def tensors(self, name: str) -> dict[str, Tensor]:
        """All four by name, to save and to restore."""
        names = ("scale", "shift", "mean", "variance")
        return {f"{name}/{part}": value for part, value in zip(names, self._parts(), strict=True)}

    @classmethod
    def restored(cls, name: str, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of ``tensors``."""
        return cls(
            scale=tensors[f"{name}/scale"],
            shift=tensors[f"{name}/shift"],
            mean=tensors[f"{name}/mean"],
            variance=tensors[f"{name}/variance"],
        )

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.scale, self.shift, self.mean, self.variance
