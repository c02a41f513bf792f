"""Nearest neighbours and coresets of feature vectors, in tiles: no whole query x memory matrix is ever held.

A tile of distances has at most ``TILE`` entries, 64 MB in float32; with its indices, and the copies that sorting and
subtracting make of both, a search for up to a thousand neighbours holds at most half a gigabyte beside its arguments
and results.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

TILE = 2**24
"""Most entries of a tile."""

BLOCK = 2**16
"""Upper bound on the elements gathered at once when exact distances are recomputed on a CPU, where they stay in its
cache; a single query may exceed it. On an accelerator it is ``TILE``: a block costs it some microseconds."""


def nearest(
    query: Float[Tensor, "query width"], memory: Float[Tensor, "entry width"], count: int, *, tile: int = TILE
) -> tuple[Float[Tensor, "query count"], Int[Tensor, "query count"]]:
    """Distances and indices of the ``count`` nearest entries, nearest first; all entries if there are fewer.

    A matrix product ranks the entries; the distances of the nearest are then computed from differences: exact, and 0
    between equals. Ties within the rounding of the product (about 1e-3 between unit vectors) are broken arbitrarily.
    Time is linear in the number of entries; memory is that of a ``tile``, whatever their number.

    Raises:
        ValueError: an empty memory, or a count below 1.
    """
    if count < 1 or not len(memory):
        raise ValueError(f"neighbours need count >= 1 and a memory, but got {count} and {len(memory)} entries")
    squares = torch.linalg.vector_norm(memory, dim=1).square()
    step = max(1, min(len(memory), tile // 256))
    # The best neighbours so far are held beside a tile's: sorted, with their indices.
    rows = max(1, tile // max(step, 4 * min(count, len(memory))))
    found = [_nearest_in_tiles(part, memory, squares, count, step) for part in query.split(rows)]
    return torch.cat([distance for distance, _ in found]), torch.cat([index for _, index in found])


def greedy_coreset(features: Float[Tensor, "entry width"], size: int) -> Int[Tensor, " size"]:
    """Indices of a minimax facility location coreset (PatchCore, algorithm 1: k-centre), greedily from entry 0.

    Each step takes the entry that is farthest from those taken, of equally far ones the first. Time is size x entries;
    memory is four numbers per entry.

    Raises:
        ValueError: a size that is not between 1 and the number of entries.
    """
    if not 1 <= size <= len(features):
        raise ValueError(f"a coreset's size must be between 1 and {len(features)}, but got {size}")
    squares = torch.linalg.vector_norm(features, dim=1).square()

    # An index is a tensor of one element: as a number it would have to come back from an accelerator first.
    def squared_gaps(index: Int[Tensor, "1"]) -> Tensor:
        own = features.index_select(0, index)[0]
        return torch.addmv(squares, features, own, alpha=-2).add_(squares.index_select(0, index))

    taken = [torch.zeros(1, dtype=torch.long, device=features.device)]
    gap = squared_gaps(taken[0])
    for _ in range(1, size):
        # Rounding must not select an entry twice.
        gap.index_fill_(0, taken[-1], -torch.inf)
        taken.append(gap.argmax(dim=0, keepdim=True))
        gap = torch.minimum(gap, squared_gaps(taken[-1]))
    return torch.cat(taken)


def _closeness(query: Tensor, memory: Tensor, squares: Tensor) -> Tensor:
    """``|m|^2 - 2 q.m``, which ranks a query's entries as their distances do, since ``|q|^2`` is the same for all."""
    return torch.addmm(squares, query, memory.T, alpha=-2)


def _nearest_in_tiles(query: Tensor, memory: Tensor, squares: Tensor, count: int, step: int) -> tuple[Tensor, Tensor]:
    best, where = query.new_empty(len(query), 0), torch.empty(len(query), 0, dtype=torch.long, device=query.device)
    for start in range(0, len(memory), step):
        here = _closeness(query, memory[start : start + step], squares[start : start + step])
        # For one neighbour the minimum is equal and many times faster.
        least, index = here.min(dim=1, keepdim=True) if count == 1 else _smallest(here, count)
        best, where = torch.cat([best, least], dim=1), torch.cat([where, index + start], dim=1)
        best, order = _smallest(best, count)
        where = where.gather(1, order)
    rows = max(1, (BLOCK if query.device.type == "cpu" else TILE) // (where.shape[1] * query.shape[1]))
    blocks = zip(query.split(rows), where.split(rows), strict=True)
    exact = torch.cat([_distances(part, memory, near) for part, near in blocks])
    exact, order = exact.sort(dim=1, stable=True)
    return exact, where.gather(1, order)


def _distances(query: Tensor, memory: Tensor, near: Tensor) -> Tensor:
    found = memory.index_select(0, near.flatten()).view(*near.shape, -1)
    distances: Tensor = torch.linalg.vector_norm(found.sub_(query[:, None]), dim=2)
    return distances


def _smallest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    least, index = values.topk(min(count, values.shape[1]), dim=1, largest=False)
    return least, index
