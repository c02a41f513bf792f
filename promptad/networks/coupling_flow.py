"""DifferNet's normalising flow (Rudolph et al., WACV 2021): affine coupling blocks with fixed permutations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.prompts.linear_layers import Linear, feed_forward, layer_tensors, restored_layers

SOFTNESS = 0.636
"""About 2 / pi, so that the soft clamp of a scale tends to the clamp itself."""

HIDDEN_LAYERS = 3
"""Hidden layers of the network that makes a half's scale and translation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """One block: the channels in another ``order``, then each half moved by what a network makes of the other.

    With x = (x1, x2): u1 = x1 e^s(x2) + t(x2), then u2 = x2 e^s'(u1) + t'(u1). ``first`` is the network of s and t
    (its output's two halves), ``second`` that of s' and t'.
    """

    order: Int[Tensor, " channel"]
    first: tuple[Linear, ...]
    second: tuple[Linear, ...]

    @classmethod
    def draw(cls, channels: int, width: int, generator: torch.Generator) -> Self:
        """A permutation, and two networks with hidden layers of ``width``; of odd channels the second half has more."""
        half = channels // 2

        def network(inputs: int, outputs: int) -> tuple[Linear, ...]:
            sizes = (inputs, *[width] * HIDDEN_LAYERS, 2 * outputs)
            return tuple(Linear.draw(*ends, generator) for ends in itertools.pairwise(sizes))

        order = torch.randperm(channels, generator=generator)
        return cls(order=order, first=network(channels - half, half), second=network(half, channels - half))

    def __call__(
        self, vectors: Float[Tensor, "vector channel"], clamp: float
    ) -> tuple[Float[Tensor, "vector channel"], Float[Tensor, " vector"]]:
        """The block's output, and the logarithm of its Jacobian's determinant: the sum of all s."""
        half = vectors.shape[1] // 2
        one, two = vectors[:, self.order].split([half, vectors.shape[1] - half], dim=1)
        scale, shift = feed_forward(self.first, two).chunk(2, dim=1)
        first = soft_clamp(scale, clamp)
        one = one * first.exp() + shift
        scale, shift = feed_forward(self.second, one).chunk(2, dim=1)
        second = soft_clamp(scale, clamp)
        two = two * second.exp() + shift
        return torch.cat([one, two], dim=1), first.sum(dim=1) + second.sum(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CouplingFlow:
    """Coupling blocks one after the other; ``clamp`` bounds every s softly."""

    blocks: tuple[Coupling, ...]
    clamp: float

    @classmethod
    def draw(cls, channels: int, *, blocks: int, width: int, clamp: float, generator: torch.Generator) -> Self:
        """The initial flow of vectors with so many channels, which must be at least 2."""
        drawn = tuple(Coupling.draw(channels, width, generator) for _ in range(blocks))
        return cls(blocks=drawn, clamp=clamp)

    def __call__(
        self, vectors: Float[Tensor, "vector channel"]
    ) -> tuple[Float[Tensor, "vector channel"], Float[Tensor, " vector"]]:
        """Z of each vector, and the logarithm of the determinant of dz / dy."""
        determinant = vectors.new_zeros(len(vectors))
        for block in self.blocks:
            vectors, own = block(vectors, self.clamp)
            determinant = determinant + own
        return vectors, determinant

    def leaf(self, device: torch.device) -> Self:
        """A copy to learn."""
        return self._copied(lambda layer: layer.leaf(device, torch.float32), device)

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        return self._copied(Linear.frozen, self.blocks[0].order.device)

    def parameters(self) -> list[Tensor]:
        """What gradients move."""
        layers = (layer for block in self.blocks for layer in (*block.first, *block.second))
        return [part for layer in layers for part in layer.parameters()]

    def tensors(self) -> dict[str, Tensor]:
        """Permutations and networks by name, to save and to restore."""
        found = {}
        for number, block in enumerate(self.blocks):
            found[f"block {number}/order"] = block.order
            found |= layer_tensors(f"block {number}/first", block.first)
            found |= layer_tensors(f"block {number}/second", block.second)
        return found

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], clamp: float) -> Self:
        """The inverse of ``tensors``."""
        blocks = tuple(
            Coupling(
                order=tensors[f"block {number}/order"],
                first=restored_layers(f"block {number}/first", tensors),
                second=restored_layers(f"block {number}/second", tensors),
            )
            for number in range(sum(name.endswith("/order") for name in tensors))
        )
        return cls(blocks=blocks, clamp=clamp)

    def _copied(self, copy: Callable[[Linear], Linear], device: torch.device) -> Self:
        blocks = tuple(
            Coupling(
                order=block.order.to(device),
                first=tuple(map(copy, block.first)),
                second=tuple(map(copy, block.second)),
            )
            for block in self.blocks
        )
        return type(self)(blocks=blocks, clamp=self.clamp)


def soft_clamp(scale: Tensor, clamp: float) -> Tensor:
    """``clamp * 0.636 atan(scale / clamp)``: about ``0.636 scale`` near 0, between -clamp and clamp everywhere."""
    return clamp * SOFTNESS * torch.atan(scale / clamp)


def negative_log_likelihood(
    z: Float[Tensor, "vector channel"], determinant: Float[Tensor, " vector"]
) -> Float[Tensor, ""]:
    """``mean(|z|^2 / 2 - log|det|) / channels``: of a standard normal z, without its constant: DifferNet's loss."""
    return (z.square().sum(dim=1) / 2 - determinant).mean() / z.shape[1]
