"""Scalar fields on the square [-1, 1]^2: coordinates, smooth noise, signed distances."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""A float32 array (size, size), or (size, size, 3) for colour images in [0, 1]."""

Reals = NDArray[np.floating[Any]]
"""An array of any float type, as intermediate results are."""


@lru_cache(maxsize=16)
def coordinates(size: int) -> tuple[Field, Field]:
    """Pixel centres of a square image in [-1, 1]: x to the right, y downwards, each (size, size), read-only."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    x.flags.writeable = False
    y.flags.writeable = False
    return x, y


@lru_cache(maxsize=256)
def _spline_weights(size: int, cells: int) -> Field:
    """Cubic B-spline weights (size, cells + 3) that interpolate `cells` knots over `size` pixels."""
    position = (np.arange(size) + 0.5) * cells / size
    knot = np.floor(position).astype(int)
    t = position - knot
    weights = np.zeros((size, cells + 3), dtype=np.float32)
    rows = np.arange(size)
    weights[rows, knot] = (1 - t) ** 3 / 6
    weights[rows, knot + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, knot + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, knot + 3] = t**3 / 6
    return weights


def noise(rng: Generator, size: int, cells: int | tuple[int, int]) -> Field:
    """Smooth noise of about unit variance with `cells` (rows, columns) bumps across the image, at any size."""
    rows, columns = (cells, cells) if isinstance(cells, int) else cells
    knots = rng.standard_normal((rows + 3, columns + 3), dtype=np.float32)
    return np.asarray(_spline_weights(size, rows) @ knots @ _spline_weights(size, columns).T / 0.48, dtype=np.float32)


def fractal(rng: Generator, size: int, cells: int, octaves: int = 3, gain: float = 0.5) -> Field:
    """A sum of noises of doubling frequency and falling amplitude, about unit variance."""
    total = np.zeros((size, size), dtype=np.float32)
    power = 0.0
    for octave in range(octaves):
        total += gain**octave * noise(rng, size, cells * 2**octave)
        power += gain ** (2 * octave)
    return np.asarray(total / np.sqrt(power), dtype=np.float32)


def turn(x: Reals, y: Reals, angle: float) -> tuple[Field, Field]:
    """The coordinates in a frame turned by `angle` (radians)."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.asarray(c * x + s * y, dtype=np.float32), np.asarray(c * y - s * x, dtype=np.float32)


def smoothstep(low: float, high: float, value: Reals) -> Field:
    """0 below `low`, 1 above `high`, a cubic ramp between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def wave(value: Reals) -> Field:
    """A cosine of period 1, in [0, 1]."""
    return np.asarray(0.5 + 0.5 * np.cos(2.0 * np.pi * value), dtype=np.float32)


def disk(x: Reals, y: Reals, radius: float) -> Field:
    """Signed distance to a disk at the origin (negative inside)."""
    return np.asarray(np.hypot(x, y) - radius, dtype=np.float32)


def box(x: Reals, y: Reals, half_width: float, half_height: float, corner: float = 0.0) -> Field:
    """Signed distance to a rectangle at the origin whose corners are rounded by `corner`."""
    dx = np.abs(x) - (half_width - corner)
    dy = np.abs(y) - (half_height - corner)
    outside = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0.0) - corner, dtype=np.float32)


def polygon(x: Reals, y: Reals, sides: int, radius: float) -> Field:
    """Distance bound to a regular polygon with the given inner radius."""
    step = 2.0 * np.pi / sides
    angle = np.arctan2(y, x)
    folded = angle - step * np.round(angle / step)
    return np.asarray(np.hypot(x, y) * np.cos(folded) - radius, dtype=np.float32)


def segment(x: Reals, y: Reals, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance to the line segment from `start` to `end`."""
    ax, ay = x - start[0], y - start[1]
    bx, by = end[0] - start[0], end[1] - start[1]
    along = np.clip((ax * bx + ay * by) / max(bx * bx + by * by, 1e-9), 0.0, 1.0)
    return np.asarray(np.hypot(ax - along * bx, ay - along * by), dtype=np.float32)


def polyline(x: Reals, y: Reals, points: NDArray[np.float64]) -> Field:
    """Distance to the chain of segments through `points` (n, 2)."""
    distance = np.full(x.shape, np.inf, dtype=np.float32)
    for (x0, y0), (x1, y1) in pairwise(points):
        distance = np.minimum(distance, segment(x, y, (float(x0), float(y0)), (float(x1), float(y1))))
    return distance


def lattice_noise(product: Generator, x: Reals, y: Reals, count: int = 97) -> Field:
    """Hash noise in [0, 1), constant on each unit cell of (x, y); the same product has the same table."""
    table = product.random((count, count), dtype=np.float32)
    return np.asarray(table[np.floor(y).astype(int) % count, np.floor(x).astype(int) % count], dtype=np.float32)
