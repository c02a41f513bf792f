"""The coreset of normal patches that PatchCore and FastRecon keep."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.configs.method_configs import CoresetConfig
from promptad.randomness import torch_generator
from promptad.scoring.neighbours import greedy_coreset


def coreset(
    patches: Float[Tensor, "patch width"], config: CoresetConfig, *, category: str, seed: int
) -> Float[Tensor, "entry width"]:
    """The patches that a greedy k-centre selection keeps, in the order in which it takes them.

    It selects in a random projection to ``config.projection`` channels (PatchCore, section 3.2), which nearly keeps
    distances (Johnson and Lindenstrauss); narrower patches are not projected. It returns the unprojected patches.
    """
    width = patches.shape[1]
    seen = patches
    if width > config.projection:
        generator = torch_generator(seed, category, "coreset projection")
        matrix = torch.randn((width, config.projection), generator=generator) / config.projection**0.5
        seen = patches @ matrix.to(patches.device, patches.dtype)
    return patches[greedy_coreset(seen, config.entries(*patches.shape))]
