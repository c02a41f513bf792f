"""Patch features for methods without prompts: layers concatenated on the finest grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from promptad.backbones.backbone import Backbone
from promptad.backbones.backbone_names import default_memory_layers
from promptad.backbones.towers import grid_side
from promptad.features.extraction import Features

CHUNK, ACCELERATOR_CHUNK = 2, 32
"""Images whose patches are joined together, on a CPU and on an accelerator: bounds memory, changes no score."""


def patch_chunks(features: Features) -> Iterator[slice]:
    """Slices of images whose patches are joined together."""
    return features.chunks(CHUNK if features.device.type == "cpu" else ACCELERATOR_CHUNK)


class NamesLayers(Protocol):
    """A config with memory layers, whatever else it has."""

    @property
    def memory_layers(self) -> tuple[int, ...] | None:
        """Blocks whose patches are used; None: the backbone's default."""
        ...

    @property
    def memory_tap(self) -> Literal["block_output", "after_next_attention"]:
        """Where in a block."""
        ...


def patch_views(config: NamesLayers, backbone: Backbone) -> tuple[str, ...]:
    """The views of the config's layers, or of the backbone's default ones: those of PromptAD's visual memory."""
    kind = "block" if config.memory_tap == "block_output" else "attended"
    return tuple(f"{kind}/{layer}" for layer in config.memory_layers or default_memory_layers(backbone.name))


def joined_width(features: Features, views: tuple[str, ...]) -> int:
    """How many channels ``joined_patches`` has if none are picked."""
    return sum(features.views[view][0].shape[-1] for view in views)


def support_patches(
    support: Features,
    views: tuple[str, ...],
    *,
    neighbourhood: int = 1,
    channels: Int[Tensor, " channel"] | None = None,
) -> Float[Tensor, "image row column width"]:
    """``joined_patches`` of all support images."""
    whole = None
    for chunk in patch_chunks(support):
        part = joined_patches(support, views, chunk, neighbourhood=neighbourhood, channels=channels)
        if whole is None:
            whole = part.new_empty((len(support), *part.shape[1:]))
        whole[chunk] = part
    assert whole is not None, "no support image"
    return whole


def joined_patches(
    features: Features,
    views: tuple[str, ...],
    chunk: slice,
    *,
    neighbourhood: int = 1,
    channels: Int[Tensor, " channel"] | None = None,
) -> Float[Tensor, "image row column width"]:
    """Layers concatenated along the channels; coarser grids are upsampled bilinearly to the finest.

    With a ``neighbourhood`` p > 1 each patch is first the mean of the p x p patches around it, those inside the image.
    Only ``channels`` (ascending, on the CPU) are joined, if given.
    """
    shapes = [features.views[view][0].shape for view in views]
    sides = [grid_side(patches) for patches, _ in shapes]
    starts = itertools.accumulate((width for _, width in shapes), initial=0)
    picked = None if channels is None else [_within(channels, *ends) for ends in itertools.pairwise(starts)]
    grids = []
    # Layers of equal grids, all of a transformer's, go through the rest together.
    for side, group in itertools.groupby(range(len(views)), key=sides.__getitem__):
        numbers = list(group)
        own = None if picked is None else [picked[number] for number in numbers]
        if own is not None and not any(map(len, own)):
            continue
        patches = features.joined([views[number] for number in numbers], chunk.start, chunk.stop, channels=own).float()
        grid = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        if neighbourhood > 1:
            grid = avg_pool2d(grid, neighbourhood, stride=1, padding=neighbourhood // 2, count_include_pad=False)
        grids.append(grid)
    finest = max(sides)
    sized = [
        grid
        if grid.shape[-1] == finest
        else interpolate(grid, size=(finest, finest), mode="bilinear", align_corners=False)
        for grid in grids
    ]
    whole = sized[0] if len(sized) == 1 else torch.cat(sized, dim=1)
    return whole.permute(0, 2, 3, 1).contiguous()


def _within(channels: Tensor, start: int, stop: int) -> Tensor:
    return channels[(channels >= start) & (channels < stop)] - start
