"""A pool of rendered training pairs on disk: the same product twice, once flawless and once defective."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from promptad.tiny.render.benchmark import renderer_digest
from promptad.tiny.render.defects import TRAINING_DEFECTS, apply_defect
from promptad.tiny.render.families import TRAINING, Family
from promptad.tiny.render.fields import Field
from promptad.tiny.render.scene import to_bytes

KINDS = tuple(TRAINING_DEFECTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Pairs of images (n, size, size, 3) uint8, masks (n, size, size) bool, and indices of family and kind (n,)."""

    flawless: NDArray[np.uint8]
    defective: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    family: NDArray[np.int64]
    kind: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPair:
    """Two images (size, size, 3) in [0, 1] of one product, the defect's mask, and indices of family and kind."""

    flawless: Field
    defective: Field
    mask: NDArray[np.bool_]
    family: int
    kind: int


def render_pair(
    families: tuple[Family, ...], size: int, seed: int, index: int, product: int | None = None
) -> RenderedPair:
    """Pair `index` of pool `seed`: two samples of one product (drawn unless given), the second one damaged."""
    rng = np.random.default_rng([seed, index])
    while True:
        family, kind = int(rng.integers(len(families))), int(rng.integers(len(KINDS)))
        drawn = int(rng.integers(2**31))
        first = families[family].render(drawn if product is None else product, rng, size)
        second = families[family].render(drawn if product is None else product, rng, size)
        try:
            damaged = apply_defect(second, KINDS[kind], rng)
        except ValueError:
            continue  # this product cannot show this kind (a bent plain sheet, say): draw another
        return RenderedPair(flawless=first.image, defective=damaged.image, mask=damaged.mask, family=family, kind=kind)


def _render_range(size: int, seed: int, start: int, stop: int) -> Pool:
    count = stop - start
    pool = empty_pool(count, size)
    for row in range(count):
        pair = render_pair(TRAINING, size, seed, start + row)
        pool.flawless[row], pool.defective[row] = to_bytes(pair.flawless), to_bytes(pair.defective)
        pool.masks[row], pool.family[row], pool.kind[row] = pair.mask, pair.family, pair.kind
    return pool


def empty_pool(count: int, size: int) -> Pool:
    """A pool to be filled."""
    return Pool(
        flawless=np.zeros((count, size, size, 3), dtype=np.uint8),
        defective=np.zeros((count, size, size, 3), dtype=np.uint8),
        masks=np.zeros((count, size, size), dtype=np.bool_),
        family=np.zeros(count, dtype=np.int64),
        kind=np.zeros(count, dtype=np.int64),
    )


_FIELDS = ("flawless", "defective", "masks", "family", "kind")


def render_pool(folder: Path, count: int, size: int, seed: int, processes: int = 2) -> Pool:
    """Render `count` pairs into `folder`, or reuse what an equal call left there; opened memory-mapped."""
    done = folder / f"done-{count}-{size}-{seed}-{renderer_digest()}"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pool = empty_pool(count, size)
        starts = list(range(0, count, 500))
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
            jobs = [executor.submit(_render_range, size, seed, s, min(s + 500, count)) for s in starts]
            for start, job in zip(starts, jobs, strict=True):
                piece = job.result()
                for name in _FIELDS:
                    getattr(pool, name)[start : start + 500] = getattr(piece, name)
        for name in _FIELDS:
            np.save(folder / f"{name}.npy", getattr(pool, name))
        done.touch()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FIELDS}
    return Pool(**arrays)
