"""Nearest neighbours and coresets of feature vectors, in tiles: no whole query x memory matrix is ever held.

A tile of distances has at most ``TILE`` entries, 64 MB in float32; with its indices, and the copies that sorting and
subtracting make of both, a search holds at most half a gigabyte beside its arguments and results.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

TILE = 2**24
"""Most entries of a tile."""


def distances(
    query: Float[Tensor, "query width"], memory: Float[Tensor, "entry width"]
) -> Float[Tensor, "query entry"]:
    """Euclidean distances by one matrix product: ||q||^2 + ||m||^2 - 2 q.m, cut off at 0.

    Rounding leaves up to about 5e-4 between equal unit vectors in float32; ``nearest`` mends that for what it finds.
    """
    squared = query.square().sum(dim=1)[:, None] + memory.square().sum(dim=1) - 2 * query @ memory.T
    return squared.clamp(min=0).sqrt()


def nearest(
    query: Float[Tensor, "query width"], memory: Float[Tensor, "entry width"], count: int, *, tile: int = TILE
) -> tuple[Float[Tensor, "query count"], Int[Tensor, "query count"]]:
    """Distances and indices of the ``count`` nearest entries, nearest first; all entries if there are fewer.

    The distances are those of differences, so that an entry is at exactly 0 from itself. Time is linear in the number
    of entries; memory is that of a ``tile``, whatever their number.

    Raises:
        ValueError: an empty memory, or a count below 1.
    """
    if count < 1 or not len(memory):
        raise ValueError(f"neighbours need count >= 1 and a memory, but got {count} and {len(memory)} entries")
    step = max(1, min(len(memory), tile // 256))
    rows = max(1, tile // max(step, min(count, len(memory)) * query.shape[1]))
    found = [_nearest_in_tiles(part, memory, count, step) for part in query.split(rows)]
    return torch.cat([distance for distance, _ in found]), torch.cat([index for _, index in found])


def greedy_coreset(features: Float[Tensor, "entry width"], size: int, *, tile: int = TILE) -> Int[Tensor, " size"]:
    """Indices of a minimax facility location coreset (PatchCore, algorithm 1: k-centre), greedily from entry 0.

    Each step takes the entry that is farthest from those taken, of equally far ones the first. Time is size x entries;
    beside a ``tile``, memory is two numbers per entry.

    Raises:
        ValueError: a size that is not between 1 and the number of entries.
    """
    if not 1 <= size <= len(features):
        raise ValueError(f"a coreset's size must be between 1 and {len(features)}, but got {size}")
    parts = features.split(max(1, tile // features.shape[1]))
    squares = torch.cat([part.square().sum(dim=1) for part in parts])

    def squared_gaps(index: Tensor) -> Tensor:
        return squares + squares[index] - 2 * (features @ features[index])

    taken = torch.zeros(size, dtype=torch.long, device=features.device)
    gap = squared_gaps(taken[0])
    for step in range(1, size):
        # Rounding must not let an entry be taken twice.
        gap[taken[step - 1]] = -torch.inf
        taken[step] = gap.argmax()
        gap = torch.minimum(gap, squared_gaps(taken[step]))
    return taken


def _nearest_in_tiles(query: Tensor, memory: Tensor, count: int, step: int) -> tuple[Tensor, Tensor]:
    best, where = query.new_empty(len(query), 0), torch.empty(len(query), 0, dtype=torch.long, device=query.device)
    for start in range(0, len(memory), step):
        here = distances(query, memory[start : start + step])
        index = torch.arange(start, start + here.shape[1], device=here.device).expand_as(here)
        here, index = torch.cat([best, here], dim=1), torch.cat([where, index], dim=1)
        best, order = here.topk(min(count, here.shape[1]), dim=1, largest=False)
        where = index.gather(1, order)
    exact = (query[:, None] - memory[where]).norm(dim=2)
    exact, order = exact.sort(dim=1, stable=True)
    return exact, where.gather(1, order)
