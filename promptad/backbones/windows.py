"""Windows of an image: class tokens of a few neighbouring patches, encoded without the others."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from promptad.backbones import open_clip_parts
from promptad.backbones.towers import UnsupportedTowerError, grid_side, require_class_token

WINDOWS_AT_ONCE = 256
"""Number of windows in one pass of the tower; bounds memory."""

SMALLEST = 1e-12
"""Lower bound for scores in a harmonic mean, which is undefined at 0."""


def window_patches(side: int, size: int) -> Int[Tensor, "window patch"]:
    """Indices of the patches in each ``size`` x ``size`` window of a ``side`` x ``side`` grid, stride 1, row by row.

    Raises:
        UnsupportedTowerError: a window that is larger than the grid.
    """
    if not 1 <= size <= side:
        raise UnsupportedTowerError(
            f"a window must be between 1 and {side} patches wide for this backbone, but got {size}: use other windows, "
            "or a backbone with smaller patches"
        )
    grid = torch.arange(side * side).view(1, 1, side, side).float()
    return nn.functional.unfold(grid, size)[0].T.long()


@torch.inference_mode()
def encode_windows(
    visual: nn.Module, images: Float[Tensor, "image 3 height width"], sizes: Collection[int]
) -> dict[int, Float[Tensor, "image window embed"]]:
    """The projected class token of every window, not normalised; the tower runs on the window's patch tokens alone.

    Patch tokens have their positional embeddings, as in the whole image; patches outside are not masked but absent.
    A window of the whole grid gives the global feature.

    Raises:
        UnsupportedTowerError: a tower without class token or patch tokens (a ResNet), or a window larger than the grid.
    """
    if not isinstance(visual, VisionTransformer):
        raise UnsupportedTowerError("windows need a transformer backbone, but this one is a ResNet")
    require_class_token(visual)
    tokens = open_clip_parts.embedded(visual, images)
    side = grid_side(tokens.shape[1] - 1)
    return {size: _encode(visual, tokens, window_patches(side, size).to(tokens.device)) for size in sizes}


def window_map(scores: Float[Tensor, "image window"], size: int) -> Float[Tensor, "image row column"]:
    """Each patch's harmonic mean of the scores of all windows around it (WinCLIP, section 4.2)."""
    windows = grid_side(scores.shape[1])
    inverse = (1 / scores.float().clamp(min=SMALLEST)).view(-1, windows, windows)
    around = [nn.functional.pad(part, [size - 1] * 4) for part in (inverse, torch.ones_like(inverse[:1]))]
    # The ratio of means equals that of sums; a convolution would be less precise on a GPU.
    total, count = (nn.functional.avg_pool2d(part, size, stride=1) for part in around)
    return count / total


def harmonic_mean(parts: Collection[Float[Tensor, "*shape"]]) -> Float[Tensor, "*shape"]:
    """Harmonic mean of scores, element by element; shapes are broadcast."""
    total = sum((1 / part.clamp(min=SMALLEST) for part in parts), start=torch.zeros(()))
    return len(parts) / total


def _encode(visual: VisionTransformer, tokens: Tensor, patches: Tensor) -> Tensor:
    images, windows = len(tokens), len(patches)
    inside = tokens[:, 1:][:, patches]
    first = tokens[:, :1, None].expand(-1, windows, -1, -1)
    sequences = torch.cat([first, inside], dim=2).flatten(0, 1)
    pooled = []
    for part in sequences.split(WINDOWS_AT_ONCE):
        feature = open_clip_parts.pooled(visual, visual.transformer(part))
        pooled.append(feature if visual.proj is None else feature @ visual.proj)
    return torch.cat(pooled).view(images, windows, -1)
