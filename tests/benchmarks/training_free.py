"""What methods without training cost on cached features, beside the matrix products in them, for 1 to 256 shots.

    .venv/bin/python tests/benchmarks/training_free.py [METHOD ...]

Features are random unit vectors of ViT-B/16+'s size, so that no tower is timed. *Products* are those that the method's
equations ask for, and PaDiM's factorisations, on operands that lie ready; *reading* copies every feature once.
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

from promptad.backbones.backbone import Backbone, load_backbone
from promptad.configs.method_configs import CoresetConfig, FastReconConfig, PatchCoreConfig
from promptad.configs.method_table import METHODS
from promptad.features.extraction import Features
from promptad.methods import method_named

SHOTS = (1, 4, 16, 32, 64, 128, 256)
QUERIES, SIDE, WIDTH, EMBED, DRAWN, MOST_IMAGES = 16, 15, 896, 640, 100, 50
LEAST_REPEATS, LEAST_SECONDS = 3, 1.0
PATCHES, JOINED, WINDOWS = SIDE**2, 2 * WIDTH, tuple((SIDE + 1 - size) ** 2 for size in (2, 3))
BACKBONE = "ViT-B-16-plus-240:random"
NAMES = ("spade", "padim", "patchcore", "fastrecon", "winclip", "winclip_plus")


def _features(images: int, views: set[str], generator: torch.Generator) -> Features:
    shapes = {"global": (EMBED,), "windows/2": (WINDOWS[0], EMBED), "windows/3": (WINDOWS[1], EMBED)}
    drawn = {
        view: [
            normalize(torch.randn(shapes.get(view, (PATCHES, WIDTH)), generator=generator), dim=-1)
            for _ in range(images)
        ]
        for view in sorted(views)
    }
    return Features(views=drawn, device=torch.device("cpu"))


def _product(rows: int, inner: int, columns: int) -> Callable[[], Tensor]:
    """The product of two matrices, ready to be run."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    return lambda: left @ right


def _coreset_products(shots: int, config: CoresetConfig) -> tuple[int, list[Callable[[], object]]]:
    patches = shots * PATCHES
    entries, seen = config.entries(patches, JOINED), torch.randn(patches, config.projection)
    return entries, [
        _product(patches, JOINED, config.projection),
        lambda: [seen @ seen[entry] for entry in range(entries)],
    ]


def _spade_products(shots: int) -> list[Callable[[], object]]:
    return [_product(PATCHES, JOINED, min(shots, MOST_IMAGES) * PATCHES)] * QUERIES


def _padim_products(shots: int) -> list[Callable[[], object]]:
    deviations, covariance = torch.randn(PATCHES, DRAWN, shots), torch.randn(PATCHES, DRAWN, DRAWN)
    query, solvable = torch.randn(PATCHES, DRAWN, QUERIES), torch.eye(DRAWN).expand(PATCHES, -1, -1).contiguous()
    return [lambda: deviations @ deviations.mT, lambda: torch.linalg.cholesky_ex(solvable), lambda: covariance @ query]


def _patchcore_products(shots: int) -> list[Callable[[], object]]:
    entries, products = _coreset_products(shots, PatchCoreConfig())
    return [*products, _product(QUERIES * PATCHES, JOINED, entries)]


def _fastrecon_products(shots: int) -> list[Callable[[], object]]:
    entries, products = _coreset_products(shots, FastReconConfig())
    memory, inverse = torch.randn(entries, JOINED).double(), torch.randn(entries, entries).double()
    query, regression = torch.randn(QUERIES * PATCHES, JOINED).double(), torch.randn(JOINED, entries).double()
    return [
        *products,
        lambda: memory @ memory.T,
        lambda: inverse @ memory,
        lambda: query @ regression @ memory,
    ]


def _winclip_products(_shots: int) -> list[Callable[[], object]]:
    return [_product(QUERIES * patches, EMBED, 2) for patches in (1, *WINDOWS)]


def _winclip_plus_products(shots: int) -> list[Callable[[], object]]:
    references = [(WINDOWS[0], EMBED), (WINDOWS[1], EMBED), (PATCHES, WIDTH)]
    return [
        *_winclip_products(shots),
        *(_product(QUERIES * patches, width, shots * patches) for patches, width in references),
    ]


PRODUCTS: dict[str, Callable[[int], list[Callable[[], object]]]] = {
    "spade": _spade_products,
    "padim": _padim_products,
    "patchcore": _patchcore_products,
    "fastrecon": _fastrecon_products,
    "winclip": _winclip_products,
    "winclip_plus": _winclip_plus_products,
}


def _least_seconds(work: Callable[[], object]) -> float:
    seconds: list[float] = []
    while len(seconds) < LEAST_REPEATS or sum(seconds) < LEAST_SECONDS:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measured(method: str, shots: int) -> tuple[float, float, float, float]:
    """Seconds of fit and maps of 16 images, of the products alone, of reading alone, and MB the process grew by."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    backbone: Backbone = load_backbone(BACKBONE)
    config = METHODS[method].config()
    views = set(method_named(method).views(config, "pixel", backbone))
    support, query = _features(shots, views, generator), _features(QUERIES, views, generator)

    def cell() -> None:
        fitted = method_named(method).fit(backbone, support, config, task="pixel", category="screw", seed=0)
        assert fitted.score(query).maps is not None

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = _least_seconds(cell)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    products = PRODUCTS[method](shots)
    alone = _least_seconds(lambda: [product() for product in products])
    parts = (support, query) if method != "winclip" else (query,)

    def reading() -> None:
        for part in parts:
            for view in views:
                for chunk in part.chunks(16):
                    part.stack(view, chunk.start, chunk.stop)

    read = _least_seconds(reading)
    return seconds, alone, read, grown


def main() -> None:
    """Print a row for each method and number of images, each measured in a process of its own."""
    if len(sys.argv) == 3 and sys.argv[2].isdigit():
        print(*measured(sys.argv[1], int(sys.argv[2])))
        return
    print("| method | shots | fit and maps of 16, s | products, s | reading, s | ratio to products | to both | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for method in sys.argv[1:] or NAMES:
        for shots in SHOTS:
            command = [sys.executable, __file__, method, str(shots)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            seconds, products, reading, grown = map(float, told)
            print(
                f"| {method} | {shots} | {seconds:.3f} | {products:.3f} | {reading:.3f} | {seconds / products:.1f} "
                f"| {seconds / (products + reading):.1f} | {grown:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
