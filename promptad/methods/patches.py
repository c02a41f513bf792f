"""Patch features for methods without prompts: layers concatenated on the finest grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, avg_pool2d, interpolate, unfold

from promptad.backbones.backbone import Backbone
from promptad.backbones.backbone_names import default_memory_layers
from promptad.backbones.towers import grid_side
from promptad.configs.shared_config import Activations
from promptad.features.encoding import raw_view
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


def patch_views(config: NamesLayers, backbone: Backbone, activations: Activations = "unit") -> tuple[str, ...]:
    """The views of the config's layers, or of the backbone's default ones: those of PromptAD's visual memory."""
    kind = "block" if config.memory_tap == "block_output" else "attended"
    layers = config.memory_layers or default_memory_layers(backbone.name)
    return tuple(view_as(f"{kind}/{layer}", activations) for layer in layers)


def view_as(view: str, activations: Activations) -> str:
    """The name of a view whose features are l2-normalised, or as the tower makes them."""
    return raw_view(view) if activations == "raw" else view


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
    return gathered(
        support,
        lambda chunk: joined_patches(support, views, chunk, neighbourhood=neighbourhood, channels=channels),
    )


def gathered(support: Features, patches_of: Callable[[slice], Tensor]) -> Tensor:
    """What ``patches_of`` makes of some images at a time, of all: image first."""
    whole = None
    for chunk in patch_chunks(support):
        part = patches_of(chunk)
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


def reference_patches(
    features: Features, views: tuple[str, ...], chunk: slice, *, neighbourhood: int, width: int
) -> Float[Tensor, "image row column width"]:
    """Patches as PatchCore's released code makes them (Roth et al., CVPR 2022, section 3.1).

    A layer's p x p window, with zeros outside the image, is one list of channels x p x p numbers, which adaptive
    average pooling makes ``width`` ones: means of neighbours in that list, and not of a channel's window. Coarser
    layers are upsampled bilinearly to the finest; then the layers' lists, joined, are pooled to ``width`` again.
    """
    layers = []
    finest = max(grid_side(len(features.views[view][0])) for view in views)
    for view in views:
        patches = features.stack(view, chunk.start, chunk.stop).float()
        side = grid_side(patches.shape[1])
        grid = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        windows = unfold(grid, neighbourhood, padding=neighbourhood // 2).mT
        pooled = adaptive_avg_pool1d(windows, width).unflatten(1, (side, side))
        if side < finest:
            # Both are linear, so a layer may be pooled before it grows.
            grown = interpolate(pooled.permute(0, 3, 1, 2), size=(finest, finest), mode="bilinear", align_corners=False)
            pooled = grown.permute(0, 2, 3, 1)
        layers.append(pooled.flatten(1, 2))
    joined: Tensor = adaptive_avg_pool1d(torch.cat(layers, dim=-1), width).unflatten(1, (finest, finest))
    return joined


def _within(channels: Tensor, start: int, stop: int) -> Tensor:
    return channels[(channels >= start) & (channels < stop)] - start
