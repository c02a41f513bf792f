"""Defects that change a product's shape or parts: each takes (scene, rng, extent), returns image and coverage."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from promptad.tiny.render.fields import Field, coordinates, noise, smoothstep, turn
from promptad.tiny.render.marks import Flaw, blob, dark, paint, spot
from promptad.tiny.render.scene import Scene


def difference(before: Field, after: Field, threshold: float = 0.05) -> Field:
    """Where two images differ visibly, small gaps closed: 0 or 1 per pixel."""
    changed = np.abs(after - before).max(axis=2) > threshold
    reach = max(1, round(before.shape[0] / 64))
    padded = np.pad(changed, reach)
    closed = ndimage.binary_closing(padded, iterations=reach)[reach:-reach, reach:-reach]
    return np.asarray(closed | changed, dtype=np.float32)


def displaced(image: Field, shift_x: Field, shift_y: Field) -> Field:
    """The image sampled at displaced positions (shifts in [-1, 1] units), bilinear."""
    size = image.shape[0]
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    where = np.stack([rows - shift_y * (size / 2), columns - shift_x * (size / 2)])
    layers = [ndimage.map_coordinates(image[..., c], where, order=1, mode="nearest") for c in range(3)]
    return np.asarray(np.stack(layers, axis=2), dtype=np.float32)


def bent(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A local sideways displacement of the product."""
    cx, cy = spot(scene, rng)
    x, y = coordinates(scene.body.shape[0])
    reach = 0.16 + 0.16 * extent
    bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * reach**2))
    angle, push = rng.uniform(0, 2 * np.pi), (0.1 + 0.16 * extent)
    image = displaced(scene.image, push * np.cos(angle) * bump, push * np.sin(angle) * bump)
    return image, difference(scene.image, image)


def bulge(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A swelling: the surface is magnified and lit like a dome."""
    cx, cy = spot(scene, rng)
    x, y = coordinates(scene.body.shape[0])
    radius = 0.16 + 0.16 * extent
    u, v = x - cx, y - cy
    dome = np.asarray(1.0 - smoothstep(0.0, radius, np.hypot(u, v).astype(np.float32)), dtype=np.float32)
    image = displaced(scene.image, 0.45 * dome * u, 0.45 * dome * v)
    side = (u * scene.light[0] + v * scene.light[1]) / radius
    shade = 1.0 - (0.7 + 0.6 * extent) * side * np.sqrt(dome) * scene.body
    return np.clip(image * shade[..., None], 0, 1).astype(np.float32), (dome > 0.05).astype(np.float32) * scene.body


def dent(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A hollow: dark towards the light, bright away from it."""
    cx, cy = spot(scene, rng)
    x, y = coordinates(scene.body.shape[0])
    u, v = turn(x - cx, y - cy, rng.uniform(0, np.pi))
    stretch, radius = rng.uniform(1.0, 2.0), 0.1 + 0.14 * extent
    hollow = np.exp(-((u / stretch) ** 2 + v**2) / (2 * (radius / 2) ** 2)).astype(np.float32)
    down, right = np.gradient(hollow, 2.0 / hollow.shape[0])
    slope = (right * scene.light[0] + down * scene.light[1]) * radius
    shade = np.clip(1.0 - (0.45 + 0.6 * extent) * slope - 0.12 * hollow, 0.2, 1.8)
    cover = (hollow > 0.14) * scene.body
    image = np.clip(scene.image * (1 + (shade - 1) * scene.body)[..., None], 0, 1)
    return image.astype(np.float32), cover.astype(np.float32)


def missing(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A part is gone; without removable parts, a flat empty patch where the pattern is missing."""
    if scene.parts:
        cover = scene.parts[int(rng.integers(len(scene.parts)))]
        image = paint(scene.image, np.minimum(1.0, cover * 1.6).astype(np.float32), scene.beneath)
        return image, difference(scene.image, image)
    cover = blob(scene, rng, 0.1 + 0.14 * extent, 0.1) * scene.body
    inside = cover[..., None] > 0.5
    plain = (scene.image * inside).sum(axis=(0, 1)) / max(float(inside.sum()), 1.0)
    return paint(scene.image, cover, np.asarray(plain * rng.uniform(0.55, 0.85), dtype=np.float32)), cover


def misplaced(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A part shifted and turned from its place; without parts, a patch of the pattern turned."""
    size = scene.body.shape[0]
    angle = rng.choice([-1.0, 1.0]) * (0.4 + 0.9 * extent)
    if scene.parts:
        cover = scene.parts[int(rng.integers(len(scene.parts)))]
        source, ground = scene.image, paint(scene.image, np.minimum(1.0, cover * 1.6).astype(np.float32), scene.beneath)
        heading = rng.uniform(0, 2 * np.pi)
        step = (0.08 + 0.12 * extent) * np.asarray([np.cos(heading), np.sin(heading)])
    else:
        cover = blob(scene, rng, 0.14 + 0.14 * extent, 0.0) * scene.body
        source, ground, step = scene.image, scene.image, np.zeros(2)
    x, y = coordinates(size)
    weight = max(float(cover.sum()), 1e-6)
    cx, cy = float((cover * x).sum()) / weight, float((cover * y).sum()) / weight
    u, v = turn(x - cx - step[0], y - cy - step[1], angle)
    rows, columns = (v + cy + 1) * (size / 2) - 0.5, (u + cx + 1) * (size / 2) - 0.5

    def moved(layer: Field) -> Field:
        sampled = ndimage.map_coordinates(layer, [rows, columns], order=1, mode="nearest")
        return np.asarray(sampled, dtype=np.float32)

    part = np.stack([moved(source[..., c]) for c in range(3)], axis=2)
    image = paint(ground, moved(cover), part)
    return image, difference(scene.image, image)


def broken(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A piece is broken off an object's rim, or chipped out of a texture, along a rough edge."""
    size = scene.body.shape[0]
    x, y = coordinates(size)
    rough = 0.03 * noise(rng, size, 12) + 0.02 * noise(rng, size, 30)
    if scene.is_texture:
        cx, cy = spot(scene, rng)
        sides = rng.uniform(0, 2 * np.pi, 5)
        reach = 0.09 + 0.12 * extent
        distance = np.max([np.cos(a) * (x - cx) + np.sin(a) * (y - cy) - reach for a in sides], axis=0)
        distance = np.maximum(distance, np.hypot(x - cx, y - cy) - 2 * reach)
        cover = np.clip(0.5 - (distance + rough) * (size / 2), 0, 1)
        rubble = np.clip(dark(scene, 0.7) + (0.05 * noise(rng, size, 40))[..., None], 0, 1)
        return paint(scene.image, cover.astype(np.float32), rubble.astype(np.float32)), cover.astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * x + np.sin(angle) * y).astype(np.float32)
    across = (np.cos(angle) * y - np.sin(angle) * x).astype(np.float32)
    reached = along[scene.body > 0.5]
    limit = float(np.quantile(reached, 1.0 - (0.02 + 0.06 * extent)))
    bite = np.minimum(along - limit - 0.6 * np.abs(across), 0.8)
    if rng.random() < 0.5:
        bite = along - limit
    cover = np.clip(0.5 + (bite + rough) * (size / 2), 0, 1).astype(np.float32) * scene.body
    return paint(scene.image, cover, scene.backdrop), cover


def smear(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """The surface is wiped in one direction: detail is blurred along a streak."""
    size = scene.body.shape[0]
    cx, cy = spot(scene, rng)
    x, y = coordinates(size)
    angle = rng.uniform(0, np.pi)
    u, v = turn(x - cx, y - cy, angle)
    half, width = 0.25 + 0.3 * extent, 0.08 + 0.1 * extent
    edge = np.maximum(np.abs(u) / half, np.abs(v) / width).astype(np.float32)
    cover = (1.0 - smoothstep(0.7, 1.05, edge + 0.12 * noise(rng, size, 10))) * scene.body
    image = np.zeros_like(scene.image)
    steps = np.linspace(-0.14, 0.14, 9)
    zero = np.zeros((size, size), dtype=np.float32)
    for step in steps:
        image += displaced(scene.image, zero + step * np.cos(angle), zero + step * np.sin(angle)) / len(steps)
    image = np.clip(image * (0.9 - 0.15 * extent) + 0.07, 0, 1)
    return paint(scene.image, cover.astype(np.float32), image.astype(np.float32)), cover.astype(np.float32)
