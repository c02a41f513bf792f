"""AnoPLe's decoder: from local features to vectors in the joint space, one for each patch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, gelu

from promptad.configs.anople_config import AnoPLeConfig
from promptad.randomness import drawn_for, torch_generator

_SIDES = {"windows": 3, "patches": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """D(Z) = Z + conv(GELU(conv(Z))), zero beyond the border. In single precision, whatever the tower's is.

    The second convolution begins with zeros, so that an untrained decoder returns what it reads.
    """

    first: Float[Tensor, "hidden embed side side"]
    first_bias: Float[Tensor, " hidden"]
    second: Float[Tensor, "embed hidden side side"]
    second_bias: Float[Tensor, " embed"]

    @classmethod
    def draw(cls, embed: int, config: AnoPLeConfig, *, category: str | None, seed: int) -> Self | None:
        """Initial values as torch's own convolution has them; None for a config without a decoder.

        ``category`` None: of all categories together.
        """
        if config.decoder == "none":
            return None
        side, hidden = _SIDES[config.decoder], config.decoder_width
        bound = 1 / math.sqrt(embed * side**2)
        generator = torch_generator(seed, *drawn_for(category), "decoder")

        def uniform(*shape: int) -> Tensor:
            return bound * (2 * torch.rand(shape, generator=generator) - 1)

        return cls(
            first=uniform(hidden, embed, side, side),
            first_bias=uniform(hidden),
            second=torch.zeros(embed, hidden, side, side),
            second_bias=torch.zeros(embed),
        )

    def __call__(self, grid: Float[Tensor, "image embed row column"]) -> Float[Tensor, "image embed row column"]:
        """The vectors of each patch."""
        padding = self.first.shape[-1] // 2
        hidden = gelu(conv2d(grid, self.first, self.first_bias, padding=padding))
        return grid + conv2d(hidden, self.second, self.second_bias, padding=padding)

    def leaf(self, device: torch.device) -> Self:
        """A copy to learn: leaf tensors that require gradients."""
        return type(self)(**{name: part.to(device, copy=True).requires_grad_() for name, part in self._parts().items()})

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        return type(self)(**{name: part.detach().clone() for name, part in self._parts().items()})

    def parameters(self) -> list[Tensor]:
        """Weights and biases of both convolutions."""
        return list(self._parts().values())

    def tensors(self) -> dict[str, Tensor]:
        """The same by name, to save and to restore."""
        return {f"decoder/{name}": part for name, part in self._parts().items()}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """The inverse of ``tensors``; None where there is no decoder among them."""
        parts = {name.removeprefix("decoder/"): part for name, part in tensors.items() if name.startswith("decoder/")}
        return cls(**parts) if parts else None

    def _parts(self) -> dict[str, Tensor]:
        return {
            "first": self.first,
            "first_bias": self.first_bias,
            "second": self.second,
            "second_bias": self.second_bias,
        }
