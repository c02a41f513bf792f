"""Image files of noise or of one colour, and samples of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptad.datasets import Sample
from promptad.datasets.bit_depth import BitDepth
from promptad.images.preparation import (
    Preprocessing,
    resized_pixels,
)

Pixels = NDArray[np.uint8]


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: Pixels) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def sample(path: Path, masks: tuple[Path, ...] = (), anomalous: bool = True) -> Sample:
    return Sample(name=path.name, path=path, anomalous=anomalous, kind="crack" if anomalous else "good", masks=masks)


def flat_pixels(path: Path, bit_depth: BitDepth = "by_maximum") -> list[int]:
    pixels = resized_pixels(path, Preprocessing(size=2, bit_depth=bit_depth))
    assert (pixels == pixels[0, 0]).all()
    found: list[int] = pixels[0, 0].tolist()
    return found
