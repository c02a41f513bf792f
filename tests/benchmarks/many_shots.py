"""How the memory methods' cost grows with the support images: seconds of fit and scores, and the memory beside them.

    .venv/bin/python tests/benchmarks/many_shots.py

Features are random unit vectors of ViT-B/16+'s size (225 patches, two layers of 896), so that no tower is timed.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import torch
from torch.nn.functional import normalize

SHOTS = (16, 32, 64, 128, 256)
QUERIES = 16
METHODS = ("spade", "padim", "patchcore", "fastrecon")


def measured(method: str, shots: int) -> tuple[float, float, float]:
    """Seconds of fit and of scores for 16 images, and MB that the process grew by meanwhile."""
    from promptad.backbones import load_backbone
    from promptad.features import Features
    from promptad.method_table import METHODS as TABLE
    from promptad.methods import method_named

    torch.set_num_threads(1)
    backbone = load_backbone("tiny")
    generator = torch.Generator().manual_seed(0)

    def features(images: int) -> Features:
        views = {
            name: [normalize(torch.randn(shape, generator=generator), dim=-1) for _ in range(images)]
            for name, shape in (("global", (640,)), ("block/2", (225, 896)), ("block/3", (225, 896)))
        }
        return Features(views=views, device=torch.device("cpu"))

    support, query = features(shots), features(QUERIES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    fitted = method_named(method).fit(backbone, support, TABLE[method].config(), task="pixel", category="screw", seed=0)
    between = time.perf_counter()
    fitted.score(query)
    end = time.perf_counter()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return between - start, end - between, grown / 1024


def main() -> None:
    """Print a row for each method and number of images, each measured in a process of its own."""
    if len(sys.argv) == 3:
        print(*measured(sys.argv[1], int(sys.argv[2])))
        return
    print("| method | shots | fit, s | scores of 16 images, s | memory beside the features, MB |")
    print("|---|---|---|---|---|")
    for method in METHODS:
        for shots in SHOTS:
            command = [sys.executable, __file__, method, str(shots)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            fit, score, grown = map(float, told)
            print(f"| {method} | {shots} | {fit:.2f} | {score:.2f} | {grown:.0f} |", flush=True)


if __name__ == "__main__":
    main()
