"""How the memory methods' cost grows with the support images, and how far it is from their matrix products alone.

    .venv/bin/python tests/benchmarks/many_shots.py

Features are random unit vectors of ViT-B/16+'s size (225 patches, two layers of 896), so that no tower is timed.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from promptad.backbones import load_backbone
from promptad.features import Features
from promptad.method_configs import CoresetConfig, FastReconConfig, PatchCoreConfig
from promptad.method_table import METHODS
from promptad.methods import method_named

SHOTS = (16, 32, 64, 128, 256)
QUERIES, PATCHES, WIDTH, DRAWN, MOST_IMAGES = 16, 225, 1792, 100, 50
NAMES = ("spade", "padim", "patchcore", "fastrecon")


def _features(images: int, generator: torch.Generator) -> Features:
    views = {
        name: [normalize(torch.randn(shape, generator=generator), dim=-1) for _ in range(images)]
        for name, shape in (("global", (640,)), ("block/2", (PATCHES, 896)), ("block/3", (PATCHES, 896)))
    }
    return Features(views=views, device=torch.device("cpu"))


def _coreset_products(shots: int, config: CoresetConfig) -> int:
    patches = torch.randn(shots * PATCHES, WIDTH)
    seen = patches @ torch.randn(WIDTH, config.projection)
    entries = config.entries(len(patches))
    for entry in range(entries):
        seen @ seen[entry]
    return entries


def _spade_products(shots: int) -> None:
    memory = torch.randn(min(shots, MOST_IMAGES) * PATCHES, WIDTH)
    for _ in range(QUERIES):
        torch.randn(PATCHES, WIDTH) @ memory.T


def _padim_products(shots: int) -> None:
    deviations = torch.randn(PATCHES, shots, DRAWN)
    covariance = deviations.mT @ deviations
    torch.randn(PATCHES, QUERIES, DRAWN) @ covariance


def _patchcore_products(shots: int) -> None:
    entries = _coreset_products(shots, PatchCoreConfig())
    torch.randn(QUERIES * PATCHES, WIDTH) @ torch.randn(WIDTH, entries)


def _fastrecon_products(shots: int) -> None:
    entries = _coreset_products(shots, FastReconConfig())
    memory = torch.randn(entries, WIDTH).double()
    inverse = memory @ memory.T
    torch.randn(QUERIES * PATCHES, WIDTH).double() @ memory.T @ inverse @ memory


PRODUCTS: dict[str, Callable[[int], None]] = {
    "spade": _spade_products,
    "padim": _padim_products,
    "patchcore": _patchcore_products,
    "fastrecon": _fastrecon_products,
}


def measured(method: str, shots: int) -> tuple[float, float, float]:
    """Seconds of fit and scores for 16 images, those of the products alone, and MB that the process grew by."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    backbone = load_backbone("tiny")
    support, query = _features(shots, generator), _features(QUERIES, generator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    fitted = method_named(method).fit(
        backbone, support, METHODS[method].config(), task="pixel", category="screw", seed=0
    )
    scores: Tensor | None = fitted.score(query).maps
    seconds = time.perf_counter() - start
    assert scores is not None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    start = time.perf_counter()
    PRODUCTS[method](shots)
    return seconds, time.perf_counter() - start, grown


def main() -> None:
    """Print a row for each method and number of images, each measured in a process of its own."""
    if len(sys.argv) == 3:
        print(*measured(sys.argv[1], int(sys.argv[2])))
        return
    print("| method | shots | fit and scores of 16 images, s | matrix products alone, s | ratio | memory, MB |")
    print("|---|---|---|---|---|---|")
    for method in NAMES:
        for shots in SHOTS:
            command = [sys.executable, __file__, method, str(shots)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            seconds, products, grown = map(float, told)
            print(
                f"| {method} | {shots} | {seconds:.2f} | {products:.2f} | {seconds / products:.1f} | {grown:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
