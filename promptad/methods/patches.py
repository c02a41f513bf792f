"""Patch features as the methods without prompts take them: layers side by side on the finest grid."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from promptad.backbone_names import default_memory_layers
from promptad.backbones import Backbone
from promptad.features import Features
from promptad.shared_config import MemoryConfig
from promptad.towers import grid_side

CHUNK = 16
"""Query images scored at once; bounds memory, changes no score."""


def patch_views(config: MemoryConfig, backbone: Backbone) -> tuple[str, ...]:
    """The views of the config's layers, or of the backbone's default ones: those of PromptAD's visual memory."""
    kind = "block" if config.memory_tap == "block_output" else "attended"
    return tuple(f"{kind}/{layer}" for layer in config.memory_layers or default_memory_layers(backbone.name))


def support_patches(
    support: Features, views: tuple[str, ...], *, neighbourhood: int = 1
) -> Float[Tensor, "image row column width"]:
    """``joined_patches`` of all support images."""
    return torch.cat(
        [joined_patches(support, views, chunk, neighbourhood=neighbourhood) for chunk in support.chunks(CHUNK)]
    )


def joined_patches(
    features: Features, views: tuple[str, ...], chunk: slice, *, neighbourhood: int = 1
) -> Float[Tensor, "image row column width"]:
    """Layers concatenated along the channels; coarser grids are upsampled bilinearly to the finest.

    With a ``neighbourhood`` p > 1 each patch is first the mean of the p x p patches around it, those inside the image.
    """
    layers = []
    for view in views:
        patches = features.stack(view, chunk.start, chunk.stop).float()
        side = grid_side(patches.shape[1])
        grid = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        if neighbourhood > 1:
            grid = avg_pool2d(grid, neighbourhood, stride=1, padding=neighbourhood // 2, count_include_pad=False)
        layers.append(grid)
    finest = max(grid.shape[-1] for grid in layers)
    sized = [
        grid
        if grid.shape[-1] == finest
        else interpolate(grid, size=(finest, finest), mode="bilinear", align_corners=False)
        for grid in layers
    ]
    return torch.cat(sized, dim=1).permute(0, 2, 3, 1)
