"""Nearest neighbours and coresets of feature vectors, in tiles: no whole query x memory matrix is ever held."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

TILE = 2**24
"""Most entries of a tile of distances: 64 MB in float32."""


def distances(
    query: Float[Tensor, "query width"], memory: Float[Tensor, "entry width"]
) -> Float[Tensor, "query entry"]:
    """Euclidean distances by one matrix product: ||q||^2 + ||m||^2 - 2 q.m, cut off at 0."""
    squared = query.square().sum(1)[:, None] + memory.square().sum(1) - 2 * query @ memory.T
    return squared.clamp(min=0).sqrt()


def nearest(
    query: Float[Tensor, "query width"], memory: Float[Tensor, "entry width"], count: int, *, tile: int = TILE
) -> tuple[Float[Tensor, "query count"], Int[Tensor, "query count"]]:
    """Distances and indices of the ``count`` nearest entries, nearest first; all entries if there are fewer.

    Time is linear in the number of entries; memory is that of a ``tile`` of distances, whatever their number.

    Raises:
        ValueError: an empty memory, or a count below 1.
    """
    if count < 1 or not len(memory):
        raise ValueError(f"neighbours need count >= 1 and a memory, but got {count} and {len(memory)} entries")
    step = max(1, min(len(memory), tile // 256))
    rows = max(1, tile // step)
    found = []
    for part in query.split(rows):
        best: Tensor | None = None
        where: Tensor | None = None
        for start in range(0, len(memory), step):
            here = distances(part, memory[start : start + step])
            index = torch.arange(start, start + here.shape[1], device=here.device).expand_as(here)
            if best is not None and where is not None:
                here, index = torch.cat([best, here], dim=1), torch.cat([where, index], dim=1)
            best, order = here.topk(min(count, here.shape[1]), dim=1, largest=False)
            where = index.gather(1, order)
        assert best is not None
        assert where is not None
        found.append((best, where))
    return torch.cat([part for part, _ in found]), torch.cat([part for _, part in found])


def greedy_coreset(features: Float[Tensor, "entry width"], size: int) -> Int[Tensor, " size"]:
    """Indices of a minimax facility location coreset (PatchCore, algorithm 1), greedily from entry 0.

    Each step takes the entry that is farthest from those taken. Time is size x entries, memory one number per entry.

    Raises:
        ValueError: a size that is not between 1 and the number of entries.
    """
    if not 1 <= size <= len(features):
        raise ValueError(f"a coreset's size must be between 1 and {len(features)}, but got {size}")
    taken = torch.zeros(size, dtype=torch.long, device=features.device)
    gap = distances(features, features[:1])[:, 0]
    for step in range(1, size):
        taken[step] = gap.argmax()
        gap = torch.minimum(gap, distances(features, features[taken[step]][None])[:, 0])
    return taken
