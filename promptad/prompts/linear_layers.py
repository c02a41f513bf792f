"""Linear layers as plain tensors, drawn from a generator, for small learned networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, relu


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """x W^T + b, with W ``weight`` and b ``bias``."""

    weight: Float[Tensor, "output input"]
    bias: Float[Tensor, " output"]

    @classmethod
    def draw(cls, inputs: int, outputs: int, generator: torch.Generator) -> Self:
        """Weights and biases from U(-1 / sqrt(inputs), 1 / sqrt(inputs)), as torch's own layer begins with."""
        bound = 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> Tensor:
            return bound * (2 * torch.rand(shape, generator=generator) - 1)

        return cls(weight=uniform(outputs, inputs), bias=uniform(outputs))

    def __call__(self, x: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch output"]:
        """The layer's output."""
        output: Tensor = linear(x, self.weight, self.bias)
        return output

    def leaf(self, device: torch.device, dtype: torch.dtype) -> Self:
        """A copy to learn: leaf tensors that require gradients."""
        weight, bias = (part.detach().to(device, dtype, copy=True).requires_grad_() for part in self.parameters())
        return type(self)(weight=weight, bias=bias)

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        weight, bias = (part.detach().clone() for part in self.parameters())
        return type(self)(weight=weight, bias=bias)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return self.weight.numel() + self.bias.numel()

    def parameters(self) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        return self.weight, self.bias


def feed_forward(layers: Sequence[Linear], x: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch output"]:
    """The layers one after the other, with ReLU between them."""
    for layer in layers[:-1]:
        x = relu(layer(x))
    return layers[-1](x)


def layer_tensors(name: str, layers: Sequence[Linear]) -> dict[str, Tensor]:
    """Weights and biases by name, to save and to restore."""
    return {
        f"{name}/{number}/{part}": value
        for number, layer in enumerate(layers)
        for part, value in (("weight", layer.weight), ("bias", layer.bias))
    }


def restored_layers(name: str, tensors: Mapping[str, Tensor]) -> tuple[Linear, ...]:
    """The inverse of ``layer_tensors``."""
    count = sum(key.startswith(f"{name}/") and key.endswith("/weight") for key in tensors)
    return tuple(
        Linear(weight=tensors[f"{name}/{number}/weight"], bias=tensors[f"{name}/{number}/bias"])
        for number in range(count)
    )
