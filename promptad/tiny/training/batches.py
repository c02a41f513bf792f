"""Batches of rendered pairs with their captions, and which caption is true of which image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from promptad.tiny.render.families import TRAINING
from promptad.tiny.training import captions
from promptad.tiny.training.evaluate import preprocess
from promptad.tiny.training.pool import KINDS, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Pairs, flawless images first: images (2p, 3, 96, 96), masks (p, 96, 96), captions of four kinds (p each)."""

    images: Tensor
    masks: Tensor
    normal: list[str]
    anomalous: list[str]
    own_kind: list[str]
    other_kind: list[str]
    family: Tensor
    kind: Tensor
    generic: Tensor
    """Whether a pair's captions use a name for any product instead of the family's (p,)."""


def batches(pool: Pool, pairs: int, rng: Generator) -> Iterator[Batch]:
    """Endless random batches, each flipped or turned as a whole and jittered in brightness per pair."""
    while True:
        order = rng.permutation(len(pool.family))
        for start in range(0, len(order) - pairs + 1, pairs):
            rows = np.sort(order[start : start + pairs])
            images = np.concatenate([pool.flawless[rows], pool.defective[rows]]).astype(np.float32)
            images *= np.tile(rng.uniform(0.85, 1.15, (pairs, 1, 1, 1)), (2, 1, 1, 1)).astype(np.float32)
            masks = pool.masks[rows]
            turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
            images, masks = np.rot90(images, turns, (1, 2)), np.rot90(masks, turns, (1, 2))
            if mirrored:
                images, masks = images[:, :, ::-1], masks[:, :, ::-1]
            names = [captions.draw_name(rng, TRAINING[f].name) for f in pool.family[rows]]
            others = rng.integers(len(KINDS), size=pairs)
            yield Batch(
                images=preprocess(np.clip(images, 0, 255).astype(np.uint8)),
                masks=torch.from_numpy(np.ascontiguousarray(masks)),
                normal=[captions.normal_caption(rng, name) for name, _ in names],
                anomalous=[captions.anomalous_caption(rng, name) for name, _ in names],
                own_kind=[
                    captions.kind_caption(rng, name, KINDS[k])
                    for (name, _), k in zip(names, pool.kind[rows], strict=True)
                ],
                other_kind=[
                    captions.kind_caption(rng, name, KINDS[k]) for (name, _), k in zip(names, others, strict=True)
                ],
                family=torch.from_numpy(pool.family[rows]),
                kind=torch.from_numpy(pool.kind[rows]),
                generic=torch.tensor([generic for _, generic in names]),
            )


def truth_matrix(batch: Batch) -> Tensor:
    """Which captions (normal, anomalous, own kind: 3p) are true of which images (flawless, defective: 2p)."""
    product = (batch.family[:, None] == batch.family[None, :]) | batch.generic[None, :]
    kind = product & (batch.kind[:, None] == batch.kind[None, :])
    never = torch.zeros_like(product)
    return torch.cat([torch.cat([product, never, never], dim=1), torch.cat([never, product, kind], dim=1)])
