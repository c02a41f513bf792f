"""SimpleNet's two networks (Liu et al., CVPR 2023): the feature adaptor, and the discriminator of patches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import leaky_relu

from promptad.networks.batch_norm import BatchNorm
from promptad.prompts.linear_layers import Linear, layer_tensors, restored_layers

SLOPE = 0.2
"""Of the leaky ReLU below 0."""


def xavier_linear(inputs: int, outputs: int, generator: torch.Generator) -> Linear:
    """A layer whose weights are N(0, 2 / (inputs + outputs)) (Glorot and Bengio, 2010), its bias as torch draws it."""
    drawn = Linear.draw(inputs, outputs, generator)
    deviation = math.sqrt(2 / (inputs + outputs))
    return dataclasses.replace(drawn, weight=deviation * torch.randn(outputs, inputs, generator=generator))


@dataclass(frozen=True, slots=True, kw_only=True)
class Discriminator:
    """D(q) = v . LeakyReLU(BatchNorm(U q + b)): high for patches like the normal ones, without bound.

    ``hidden`` is U with b, ``output`` v, which has no bias.
    """

    hidden: Linear
    norm: BatchNorm
    output: Float[Tensor, " hidden"]

    @classmethod
    def draw(cls, width: int, hidden_width: int, generator: torch.Generator) -> Self:
        """The initial network for patches of ``width`` channels."""
        hidden = xavier_linear(width, hidden_width, generator)
        output = math.sqrt(2 / (hidden_width + 1)) * torch.randn(hidden_width, generator=generator)
        return cls(hidden=hidden, norm=BatchNorm.new(hidden_width), output=output)

    def __call__(self, patches: Float[Tensor, "patch width"], *, learning: bool = False) -> Float[Tensor, " patch"]:
        """D of each patch; see ``BatchNorm`` for ``learning``."""
        hidden = leaky_relu(self.norm(self.hidden(patches), learning=learning), SLOPE)
        return hidden @ self.output

    def leaf(self, device: torch.device) -> Self:
        """A copy to learn."""
        return type(self)(
            hidden=self.hidden.leaf(device, torch.float32),
            norm=self.norm.leaf(device),
            output=self.output.detach().to(device, copy=True).requires_grad_(),
        )

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        return type(self)(hidden=self.hidden.frozen(), norm=self.norm.frozen(), output=self.output.detach().clone())

    def parameters(self) -> tuple[Tensor, ...]:
        """What gradients move."""
        return (*self.hidden.parameters(), *self.norm.parameters(), self.output)

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name, to save and to restore."""
        return {**layer_tensors("hidden", (self.hidden,)), **self.norm.tensors("norm"), "output": self.output}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of ``tensors``."""
        (hidden,) = restored_layers("hidden", tensors)
        return cls(hidden=hidden, norm=BatchNorm.restored("norm", tensors), output=tensors["output"])


def truncated_l1(
    normal: Float[Tensor, " patch"], anomalous: Float[Tensor, " patch"], threshold: float
) -> Float[Tensor, ""]:
    """SimpleNet's loss: the mean of max(0, th - D(normal)) plus that of max(0, th + D(anomalous)), th ``threshold``."""
    return (threshold - normal).clamp(min=0).mean() + (threshold + anomalous).clamp(min=0).mean()
