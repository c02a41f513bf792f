"""A small MVTec-layout data set for tests: striped plates, some with a dark spot."""

import numpy as np
from PIL import Image


def write_inspection_set(root, categories=("plate", "disc"), *, train=3, good=3, bad=3, size=64, masks=True):
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


def _picture(draws, size, *, period, spot):
    rows, columns = np.mgrid[:size, :size]
    grey = 150 + 50 * np.sin(2 * np.pi * columns / period) + draws.normal(0, 6, (size, size))
    mask = np.zeros((size, size), dtype=np.uint8)
    if spot:
        centre = draws.integers(size // 4, 3 * size // 4, 2)
        inside = np.hypot(rows - centre[0], columns - centre[1]) < size / 7
        grey[inside] = 30
        mask[inside] = 255
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), mask


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
