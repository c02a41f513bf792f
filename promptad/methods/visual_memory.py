"""PromptAD's visual memory (eq. 8) as part of a fitted method: patches of the support images, and maps by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.features.extraction import Features
from promptad.scoring.anomaly_scores import visual_map

CHUNK = 16
"""Query images scored at once; bounds memory, changes no score."""


def remembered_patches(support: Features, views: Sequence[str]) -> dict[str, Float[Tensor, "entry width"]]:
    """All patches of the support images, by memory view."""
    return {view: support.stack(view).flatten(0, 1) for view in views}


def visual_maps(
    query: Features, memories: Mapping[str, Float[Tensor, "entry width"]], support: tuple[str, ...]
) -> Float[Tensor, "image row column"]:
    """M_v of every query image: no prompt changes it, so that arms and epochs on the same images share it.

    ``support`` are the identities of the images whose patches the memories are; () if unknown, and nothing is shared.
    """

    def compute() -> Tensor:
        parts = [
            visual_map([query.stack(view, chunk.start, chunk.stop) for view in memories], list(memories.values()))
            for chunk in query.chunks(CHUNK)
        ]
        return torch.cat(parts).float()

    return query.remembered.get(("visual map", *memories, *support), compute) if support else compute()
