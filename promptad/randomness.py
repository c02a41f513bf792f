"""Random generators by purpose. No draw in this package comes from global state."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def seed_of(seed: int, *purpose: str) -> int:
    """A 63-bit seed from a study's seed and what is drawn, e.g. ``seed_of(3, "bottle", "support")``.

    The method's config is no part of it on purpose: all arms of an ablation share their draws, so that their
    differences are paired.
    """
    digest = hashlib.blake2b("\0".join((str(seed), *purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def drawn_for(category: str | None) -> tuple[str, ...]:
    """The part of a purpose that names whose draws they are; None: of all categories together, and nothing is named."""
    return () if category is None else (category,)


def numpy_generator(seed: int, *purpose: str) -> np.random.Generator:
    """NumPy generator for one purpose."""
    return np.random.default_rng(seed_of(seed, *purpose))


def torch_generator(seed: int, *purpose: str) -> torch.Generator:
    """CPU generator of torch for one purpose."""
    return torch.Generator().manual_seed(seed_of(seed, *purpose))
