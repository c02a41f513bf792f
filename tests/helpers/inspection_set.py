"""A small MVTec-layout data set for tests: striped plates, some with a dark spot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def write_inspection_set(
    root: Path,
    categories: Sequence[str] = ("plate", "disc"),
    *,
    train: int = 3,
    good: int = 3,
    bad: int = 3,
    size: int = 64,
    masks: bool = True,
) -> Path:
    """Write the set and return its root. Pictures depend on category and number alone."""
    for category_number, category in enumerate(categories):
        for split, kind, count in (("train", "good", train), ("test", "good", good), ("test", "spot", bad)):
            for number in range(count):
                draws = np.random.default_rng([category_number, len(split), len(kind), number])
                pixels, mask = _picture(draws, size, period=4 + 3 * category_number, spot=kind == "spot")
                _save(root / category / split / kind / f"{number:03}.png", pixels)
                if kind == "spot" and masks:
                    _save(root / category / "ground_truth" / kind / f"{number:03}_mask.png", mask)
    return root


def _picture(draws: np.random.Generator, size: int, *, period: int, spot: bool) -> tuple[Pixels, Pixels]:
    rows, columns = np.mgrid[:size, :size]
    grey = 150 + 50 * np.sin(2 * np.pi * columns / period) + draws.normal(0, 6, (size, size))
    mask = np.zeros((size, size), dtype=np.uint8)
    if spot:
        centre = draws.integers(size // 4, 3 * size // 4, 2)
        inside = np.hypot(rows - centre[0], columns - centre[1]) < size / 7
        grey[inside] = 30
        mask[inside] = 255
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), mask


def _save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
