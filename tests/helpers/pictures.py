"""Image files of noise or of one colour, and samples of them."""

import numpy as np
from PIL import Image

from promptad.datasets import Sample
from promptad.images.preparation import (
    Preprocessing,
    resized_pixels,
)


def noise(width, height, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def sample(path, masks=(), anomalous=True) -> Sample:
    return Sample(name=path.name, path=path, anomalous=anomalous, kind="crack" if anomalous else "good", masks=masks)


def flat_pixels(path, bit_depth="by_maximum") -> list[int]:
    pixels = resized_pixels(path, Preprocessing(size=2, bit_depth=bit_depth))
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()
