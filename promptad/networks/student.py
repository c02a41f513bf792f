"""MKD's student (Salehi et al., CVPR 2021): a narrow convolutional network that imitates a teacher's maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, conv2d, max_pool2d

from promptad.networks.batch_norm import BatchNorm

WIDTH = 16
"""Channels of every layer but those that imitate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherMap:
    """The form of a map that the student imitates: ``side`` x ``side`` patches of ``width`` channels."""

    side: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A 3 x 3 convolution with padding, then batch normalisation or, without it, a bias."""

    kernel: Float[Tensor, "output input 3 3"]
    norm: BatchNorm | None
    bias: Float[Tensor, " output"] | None

    @classmethod
    def draw(cls, inputs: int, outputs: int, generator: torch.Generator, *, normalised: bool) -> Self:
        """Kernel and bias from U(-1 / sqrt(9 inputs), 1 / sqrt(9 inputs)), as torch's own layer begins with."""
        bound = 1 / math.sqrt(9 * inputs)

        def uniform(*shape: int) -> Tensor:
            return bound * (2 * torch.rand(shape, generator=generator) - 1)

        kernel = uniform(outputs, inputs, 3, 3)
        if normalised:
            return cls(kernel=kernel, norm=BatchNorm.new(outputs), bias=None)
        return cls(kernel=kernel, norm=None, bias=uniform(outputs))

    def __call__(
        self, images: Float[Tensor, "image input row column"], *, learning: bool = False
    ) -> Float[Tensor, "image output row column"]:
        """The layer's output; see ``BatchNorm`` for ``learning``."""
        output: Tensor = conv2d(images, self.kernel, self.bias, padding=1)
        return output if self.norm is None else self.norm(output, learning=learning)

    def leaf(self, device: torch.device) -> Self:
        """A copy to learn."""
        return type(self)(
            kernel=self.kernel.detach().to(device, copy=True).requires_grad_(),
            norm=None if self.norm is None else self.norm.leaf(device),
            bias=None if self.bias is None else self.bias.detach().to(device, copy=True).requires_grad_(),
        )

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        return type(self)(
            kernel=self.kernel.detach().clone(),
            norm=None if self.norm is None else self.norm.frozen(),
            bias=None if self.bias is None else self.bias.detach().clone(),
        )

    def parameters(self) -> tuple[Tensor, ...]:
        """What gradients move."""
        after = () if self.norm is None else self.norm.parameters()
        return (self.kernel, *after, *(() if self.bias is None else (self.bias,)))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Everything by name, to save and to restore."""
        found = {f"{name}/kernel": self.kernel}
        if self.norm is not None:
            found |= self.norm.tensors(f"{name}/norm")
        if self.bias is not None:
            found[f"{name}/bias"] = self.bias
        return found

    @classmethod
    def restored(cls, name: str, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of ``tensors``."""
        bias = tensors.get(f"{name}/bias")
        norm = BatchNorm.restored(f"{name}/norm", tensors) if bias is None else None
        return cls(kernel=tensors[f"{name}/kernel"], norm=norm, bias=bias)


Rectify = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """The network: stages in the order of the maps that they imitate, each with its layers.

    A stage halves the image until one more halving would make it smaller than its map, by two layers and a maximum
    over 2 x 2 pixels each: the first with batch normalisation, the one before the maximum without. Two more layers
    give the map, linear, for a teacher's values have both signs; it is averaged to the map's side if that is no halving
    of the image's. The next stage goes on from the rectified map.
    """

    maps: tuple[TeacherMap, ...]
    stages: tuple[tuple[Convolution, ...], ...]

    @classmethod
    def draw(cls, image_size: int, maps: Sequence[TeacherMap], generator: torch.Generator) -> Self:
        """The initial student of images of ``image_size`` pixels, for maps in the order of falling sides."""
        stages, channels, side = [], 3, image_size
        for each in maps:
            layers = []
            count = halvings(side, each.side)
            for number in range(2 * count + 2):
                outputs = WIDTH if number < 2 * count + 1 else each.width
                layers.append(Convolution.draw(channels, outputs, generator, normalised=number % 2 == 0))
                channels = outputs
            stages.append(tuple(layers))
            side = each.side
        return cls(maps=tuple(maps), stages=tuple(stages))

    def __call__(
        self, images: Float[Tensor, "image 3 side side"], *, learning: bool = False, rectify: Rectify = torch.relu
    ) -> list[Float[Tensor, "image patch width"]]:
        """The maps of each image as the student imitates them."""
        # A quarter of the time of learning on several images is saved with channels innermost.
        images = images.contiguous(memory_format=torch.channels_last)
        found = []
        for each, layers in zip(self.maps, self.stages, strict=True):
            for first, second in _pairs(layers[:-2]):
                images = rectify(second(rectify(first(images, learning=learning))))
                images = max_pool2d(images, 2)
            images = layers[-1](rectify(layers[-2](images, learning=learning)))
            if images.shape[-1] != each.side:
                images = _averaged(images, each.side)
            found.append(images.flatten(2).mT)
            images = rectify(images)
        return found

    def leaf(self, device: torch.device) -> Self:
        """A copy to learn."""
        return self._copied(lambda layer: layer.leaf(device))

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        return self._copied(Convolution.frozen)

    def parameters(self) -> list[Tensor]:
        """What gradients move."""
        return [part for layers in self.stages for layer in layers for part in layer.parameters()]

    def tensors(self) -> dict[str, Tensor]:
        """Layers by name, and the sides and widths of the maps, to save and to restore."""
        found = {"maps": torch.tensor([[each.side, each.width] for each in self.maps])}
        for stage, layers in enumerate(self.stages):
            for number, layer in enumerate(layers):
                found |= layer.tensors(f"stage {stage}/{number}")
        return found

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of ``tensors``."""
        maps = tuple(TeacherMap(side=side, width=width) for side, width in tensors["maps"].tolist())
        stages = []
        for stage in range(len(maps)):
            count = sum(name.startswith(f"stage {stage}/") and name.endswith("/kernel") for name in tensors)
            stages.append(tuple(Convolution.restored(f"stage {stage}/{number}", tensors) for number in range(count)))
        return cls(maps=maps, stages=tuple(stages))

    def _copied(self, copy: Callable[[Convolution], Convolution]) -> Self:
        return type(self)(maps=self.maps, stages=tuple(tuple(map(copy, layers)) for layers in self.stages))


def halvings(side: int, least: int) -> int:
    """How often a side can be halved, fractions dropped, without becoming smaller than ``least``."""
    count = 0
    while side // 2 >= least:
        side, count = side // 2, count + 1
    return count


def guided_relu(values: Tensor) -> Tensor:
    """ReLU whose gradient passes where it is positive alone (guided backpropagation, Springenberg et al., 2015)."""
    result: Tensor = _GuidedReLU.apply(values)
    return result


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        output = values.relu()
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        passed: Tensor = gradient.relu() * (output > 0)
        return passed


def _pairs(layers: Sequence[Convolution]) -> Iterator[tuple[Convolution, Convolution]]:
    return zip(layers[::2], layers[1::2], strict=True)


def _averaged(images: Float[Tensor, "image channel row column"], side: int) -> Float[Tensor, "image channel side side"]:
    """Adaptive average pooling as two products, whose gradient is computed in one order on every device."""
    weights = adaptive_avg_pool1d(torch.eye(images.shape[-1], device=images.device), side)
    averaged: Tensor = weights.T @ images @ weights
    return averaged
