"""Pseudo-anomalies: defects pasted on normal images, with masks, to judge hyperparameters by without real ones.

Pure functions of pixels (uint8, height x width x 3) and a generator; each returns the altered image and the mask
(bool, height x width) of what was pasted. They only stand for defects: how well they predict real ones has to be
measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Defect = Callable[[Pixels, np.random.Generator], tuple[Pixels, Mask]]

VERSION = 1
"""Raised by hand when the same generator gives other pixels: it is part of cached features' names."""

PERLIN_THRESHOLD = 0.5
"""Noise above it is anomalous, as in DRAEM (ICCV 2021)."""

LARGEST_SHARE = 0.3
"""Noise that would cover more of the image is drawn again."""


def cut_paste(pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, Mask]:
    """CutPaste (CVPR 2021): a rectangle of the image, 2 to 15 % of its area, elsewhere, brighter or darker by 30 %.

    The aspect ratio is between 0.3 and 3.3, uniform in its logarithm.
    """
    height, width = _checked(pixels)
    area, ratio = (
        generator.uniform(0.02, 0.15) * height * width,
        math.exp(generator.uniform(math.log(0.3), math.log(3.3))),
    )
    rows = int(np.clip(round(math.sqrt(area * ratio)), 2, height - 1))
    columns = int(np.clip(round(math.sqrt(area / ratio)), 2, width - 1))
    top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
    patch = pixels[top : top + rows, left : left + columns].astype(np.float64) * generator.uniform(0.7, 1.3)
    to_top, to_left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
    altered, mask = pixels.copy(), np.zeros((height, width), dtype=np.bool_)
    altered[to_top : to_top + rows, to_left : to_left + columns] = patch.clip(0, 255).astype(np.uint8)
    mask[to_top : to_top + rows, to_left : to_left + columns] = True
    return altered, mask


def perlin_texture(pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, Mask]:
    """DRAEM's anomaly: where Perlin noise is above 0.5, another texture is blended in with an opacity of 0.2 to 1.

    DRAEM takes textures from DTD. Here it is the image itself, turned by a quarter or half, with its channels shuffled
    and their values inverted or shifted, so that nothing needs to be downloaded.
    """
    height, width = _checked(pixels)
    while True:
        cells = 2 ** generator.integers(1, 5, size=2)
        mask = perlin_noise((height, width), (int(cells[0]), int(cells[1])), generator) > PERLIN_THRESHOLD
        if 0 < mask.mean() <= LARGEST_SHARE:
            break
    texture = np.rot90(pixels, k=int(generator.integers(1, 4)))[..., generator.permutation(3)].astype(np.float64)
    texture = np.resize(texture, pixels.shape) if texture.shape != pixels.shape else texture
    texture = 255 - texture if generator.random() < 0.5 else texture + generator.uniform(-80, 80)
    return _blended(pixels, texture.clip(0, 255), mask, generator.uniform(0.2, 1.0))


def scratch(pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, Mask]:
    """A thin bent line, an eighth to half of the shorter side long and 1 to 3 % of it wide, in a shade of its own."""
    height, width = _checked(pixels)
    side = min(height, width)
    length, angle, bend = (
        generator.uniform(side / 8, side / 2),
        generator.uniform(0, 2 * math.pi),
        generator.normal(0, 1),
    )
    half = max(0.75, generator.uniform(0.01, 0.03) * side / 2)
    steps = np.linspace(0.0, 1.0, max(16, int(4 * length)))
    directions = angle + bend * steps
    y = generator.uniform(0.2, 0.8) * height + np.cumsum(np.sin(directions)) * length / steps.size
    x = generator.uniform(0.2, 0.8) * width + np.cumsum(np.cos(directions)) * length / steps.size
    line = np.ones((height, width), dtype=np.bool_)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    line[y[inside].astype(int), x[inside].astype(int)] = False
    mask = ndimage.distance_transform_edt(line) <= half
    return _blended(pixels, _shade(pixels, generator), mask, generator.uniform(0.6, 1.0))


def blob(pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, Mask]:
    """An ellipse with axes of 3 to 12 % of the shorter side, in a shade of its own."""
    height, width = _checked(pixels)
    side = min(height, width)
    axes, angle = generator.uniform(0.015, 0.06, size=2) * side, generator.uniform(0, math.pi)
    rows, columns = np.mgrid[:height, :width]
    down, right = rows - generator.uniform(0.15, 0.85) * height, columns - generator.uniform(0.15, 0.85) * width
    along = (math.cos(angle) * right + math.sin(angle) * down) / max(1.0, axes[0])
    across = (math.cos(angle) * down - math.sin(angle) * right) / max(1.0, axes[1])
    return _blended(pixels, _shade(pixels, generator), along**2 + across**2 <= 1, generator.uniform(0.5, 1.0))


DEFECTS: Mapping[str, Defect] = {
    "cut_paste": cut_paste,
    "perlin_texture": perlin_texture,
    "scratch": scratch,
    "blob": blob,
}
"""Every kind of pseudo-anomaly by name. A new one is a function and an entry: cells that score it are new cells and
never share a row with earlier ones.
"""


def pasted(kind: str, pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, Mask]:
    """The image with a defect of a kind, and its mask.

    Raises:
        ValueError: there is no such kind, or its function returns another form or an empty mask.
    """
    if kind not in DEFECTS:
        raise ValueError(f"pseudo-anomaly must be one of {', '.join(DEFECTS)}, but got {kind!r}")
    found = DEFECTS[kind](pixels, generator)
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(
            f"pseudo-anomaly {kind} must return altered pixels and a mask, but returns {type(found).__name__}"
        )
    altered, mask = found
    if altered.dtype != np.uint8 or altered.shape != pixels.shape:
        raise ValueError(
            f"pixels of pseudo-anomaly {kind} must be uint8 of shape {pixels.shape}, but are {altered.dtype} "
            f"{altered.shape}"
        )
    if mask.dtype != np.bool_ or mask.shape != pixels.shape[:2] or not mask.any():
        raise ValueError(
            f"the mask of pseudo-anomaly {kind} must be bool of shape {pixels.shape[:2]} and not empty, but is "
            f"{mask.dtype} {mask.shape} with {int(mask.sum())} pixels"
        )
    return altered, mask


def perlin_noise(shape: tuple[int, int], cells: tuple[int, int], generator: np.random.Generator) -> NDArray[np.float64]:
    """Perlin's gradient noise on a grid of ``cells``, scaled by sqrt(2) to lie in [-1, 1]; 0 on grid points."""
    angles = generator.uniform(0, 2 * math.pi, (cells[0] + 1, cells[1] + 1))
    gradients = np.stack([np.sin(angles), np.cos(angles)])
    y = (np.arange(shape[0]) * cells[0] / shape[0])[:, None]
    x = (np.arange(shape[1]) * cells[1] / shape[1])[None]
    row, column = y.astype(int), x.astype(int)
    down, right = y - row, x - column

    def corner(below: int, beside: int) -> NDArray[np.float64]:
        gradient = gradients[:, row + below, column + beside]
        found: NDArray[np.float64] = gradient[0] * (down - below) + gradient[1] * (right - beside)
        return found

    fade_down, fade_right = (t**3 * (t * (6 * t - 15) + 10) for t in (down, right))
    upper = corner(0, 0) + fade_right * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + fade_right * (corner(1, 1) - corner(1, 0))
    return np.asarray(math.sqrt(2) * (upper + fade_down * (lower - upper)))


def _shade(pixels: Pixels, generator: np.random.Generator) -> NDArray[np.float64]:
    """One colour, at least 50 grey levels from the image's mean."""
    away = generator.uniform(50, 130) * generator.choice([-1.0, 1.0])
    colour = pixels.mean(axis=(0, 1)) + away + generator.normal(0, 15, 3)
    return np.broadcast_to(colour.clip(0, 255), pixels.shape)


def _blended(pixels: Pixels, texture: NDArray[np.float64], mask: Mask, opacity: float) -> tuple[Pixels, Mask]:
    altered = pixels.copy()
    altered[mask] = np.rint((1 - opacity) * pixels[mask] + opacity * texture[mask]).astype(np.uint8)
    return altered, mask


def _checked(pixels: Pixels) -> tuple[int, int]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < 16:
        raise ValueError(
            f"pixels must be uint8 of shape (height, width, 3), 16 pixels or more a side, but got {pixels.dtype} "
            f"{pixels.shape}"
        )
    return pixels.shape[0], pixels.shape[1]
