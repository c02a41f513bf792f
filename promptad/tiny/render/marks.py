"""Defects that lie on a surface: each takes (scene, rng, extent) and returns the new image and its coverage.

`extent` in [0, 1] goes from hard to see to obvious; coverages are (size, size) in [0, 1], sizes follow the image.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from promptad.tiny.render.fields import Field, coordinates, noise, polyline, smoothstep, turn
from promptad.tiny.render.scene import Colour, Scene, metal, plastic

Flaw = tuple[Field, Field]


def spot(scene: Scene, rng: Generator, margin: float = 0.5) -> tuple[float, float]:
    """A random point on the product, not too near the picture's border, as (x, y) in [-1, 1]."""
    size = scene.body.shape[0]
    x, y = coordinates(size)
    inside = (scene.body > margin) & (np.abs(x) < 0.85) & (np.abs(y) < 0.85)
    candidates = np.flatnonzero(inside)
    if candidates.size == 0:
        raise ValueError("a scene must show a product to be damaged, but no pixel is covered by it")
    row, column = divmod(int(rng.choice(candidates)), size)
    return float(x[row, column]), float(y[row, column])


def blob(scene: Scene, rng: Generator, radius: float, rough: float = 0.25, soft: float = 0.0) -> Field:
    """Coverage of an irregular patch of the given radius at a random point of the product."""
    size = scene.body.shape[0]
    cx, cy = spot(scene, rng)
    x, y = coordinates(size)
    u, v = turn(x - cx, y - cy, rng.uniform(0, np.pi))
    stretch = rng.uniform(1.0, 1.8)
    distance = np.hypot(u / stretch**0.5, v * stretch**0.5) + radius * rough * noise(rng, size, 9)
    edge = max(soft * radius, 2.0 / size)
    return np.asarray(1.0 - smoothstep(radius - edge / 2, radius + edge / 2, distance.astype(np.float32)), np.float32)


def walk(scene: Scene, rng: Generator, length: float, steps: int, wander: float) -> NDArray[np.float64]:
    """A random path (steps + 1, 2) of about the given length, centred on the product."""
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0.0, wander, steps))
    moves = length / steps * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    points = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    return np.asarray(points - points[steps // 2] + spot(scene, rng), dtype=np.float64)


def stroke(scene: Scene, points: NDArray[np.float64], width: float, *, on_body: bool = True) -> Field:
    """Anti-aliased coverage of a line of the given full width through the points."""
    size = scene.body.shape[0]
    x, y = coordinates(size)
    cover = np.clip(0.5 - (polyline(x, y, points) - width / 2) * (size / 2), 0.0, 1.0)
    return np.asarray(cover * scene.body if on_body else cover, dtype=np.float32)


def paint(image: Field, cover: Field, colour: Colour | Field) -> Field:
    """The image with the colour laid over it by coverage."""
    tone = np.asarray(colour, dtype=np.float32)
    return np.asarray(image + cover[..., None] * (tone - image), dtype=np.float32)


def dark(scene: Scene, depth: float = 0.7) -> Field:
    """What one sees inside a gap: the backdrop, darkened."""
    return np.asarray(scene.image * (1 - depth) * 0.6 + scene.backdrop * depth * 0.6, dtype=np.float32)


def crack(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A jagged dark line, sometimes branched."""
    width = 0.018 + 0.03 * extent
    path = walk(scene, rng, 0.35 + 0.9 * extent, 9, 0.55)
    cover = stroke(scene, path, width)
    for _ in range(int(rng.integers(0, 3))):
        start = path[rng.integers(2, 8)]
        branch = walk(scene, rng, 0.15 + 0.3 * extent, 4, 0.5)
        cover = np.maximum(cover, stroke(scene, branch - branch[0] + start, width * 0.8))
    return paint(scene.image, cover, dark(scene, 0.8)), cover


def scratch(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """One to three nearly straight lines, brighter or darker than the surface."""
    path = walk(scene, rng, 0.4 + 0.8 * extent, 5, 0.06)
    cover = stroke(scene, path, 0.016 + 0.016 * extent)
    for _ in range(int(rng.integers(0, 3))):
        shifted = path + rng.normal(0.0, 0.06, 2)
        cover = np.maximum(cover, stroke(scene, shifted, 0.014 + 0.012 * extent))
    bright = float(scene.image.mean()) < 0.55
    tone = scene.image * (1 - 0.3) + 0.45 if bright else scene.image * (0.55 - 0.2 * extent)
    return paint(scene.image, cover * (0.6 + 0.4 * extent), np.clip(tone, 0, 1).astype(np.float32)), cover


def cut(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A straight open slit that tapers to its ends, with a raised lip."""
    size = scene.body.shape[0]
    cx, cy = spot(scene, rng)
    x, y = coordinates(size)
    u, v = turn(x - cx, y - cy, rng.uniform(0, np.pi))
    half = 0.18 + 0.3 * extent
    profile = (0.02 + 0.04 * extent) * np.clip(1.0 - (u / half) ** 2, 0.0, 1.0)
    gap = np.clip(0.5 + (profile - np.abs(v)) * (size / 2), 0, 1) * (np.abs(u) < half) * scene.body
    lip = np.clip(0.5 + (profile * 1.9 - np.abs(v)) * (size / 2), 0, 1) * (np.abs(u) < half) * scene.body
    raised = np.clip(scene.image * 1.25 + 0.06, 0, 1).astype(np.float32)
    image = paint(scene.image, lip.astype(np.float32), raised)
    return paint(image, gap.astype(np.float32), dark(scene, 0.9)), lip.astype(np.float32)


def hole(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A dark pit through the product."""
    cover = blob(scene, rng, 0.06 + 0.1 * extent, 0.12) * scene.body
    return paint(scene.image, cover, dark(scene, 0.9)), cover


def poke(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A small puncture inside a shaded crater."""
    size = scene.body.shape[0]
    cx, cy = spot(scene, rng)
    x, y = coordinates(size)
    radius = 0.05 + 0.05 * extent
    distance = np.hypot(x - cx, y - cy).astype(np.float32)
    side = ((x - cx) * scene.light[0] + (y - cy) * scene.light[1]) / (2 * radius)
    crater = (1.0 - smoothstep(radius, 2 * radius, distance)) * scene.body
    shaded = np.clip(scene.image * (1.0 - 0.5 * side * crater)[..., None], 0, 1).astype(np.float32)
    core = np.clip(0.5 - (distance - radius) * (size / 2), 0, 1).astype(np.float32) * scene.body
    return paint(shaded, core, dark(scene, 0.8)), crater


def stain(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A tinted translucent patch, like a dried liquid."""
    cover = blob(scene, rng, 0.12 + 0.16 * extent, 0.3, 0.4) * scene.body
    tint = np.asarray(plastic(rng), dtype=np.float32)
    wet = scene.image * (0.35 + 0.65 * tint) if rng.random() < 0.6 else 0.55 * scene.image + 0.45 * tint
    return paint(scene.image, cover * (0.55 + 0.4 * extent), wet.astype(np.float32)), cover


def contamination(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """Foreign grains of one odd colour or of metal."""
    metallic = rng.random() < 0.5
    tone = metal(rng) if metallic else plastic(rng)
    image, total = scene.image, np.zeros_like(scene.body)
    first = spot(scene, rng)
    x, y = coordinates(scene.body.shape[0])
    for _ in range(int(rng.integers(1, 5))):
        cx, cy = np.asarray(first) + rng.normal(0.0, 0.12, 2)
        radius = rng.uniform(0.03, 0.05) + 0.06 * extent
        wobble = radius * 0.3 * noise(rng, scene.body.shape[0], 16)
        distance = np.hypot(x - cx, y - cy) + wobble
        grain = np.clip(0.5 - (distance - radius) * (scene.body.shape[0] / 2), 0, 1).astype(np.float32)
        lit = 1.0 + 0.5 * ((x - cx) * scene.light[0] + (y - cy) * scene.light[1]) / radius
        image = paint(image, grain, np.clip(lit[..., None] * tone, 0, 1).astype(np.float32))
        total = np.maximum(total, grain)
    return image, total


def thread(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A loose fibre lying on the product, with a faint shadow."""
    path = walk(scene, rng, 0.8 + 1.0 * extent, 16, 0.28)
    width = 0.02 + 0.018 * extent
    fibre = stroke(scene, path, width, on_body=False)
    shadow = stroke(scene, path + 0.02, width, on_body=False) * (1 - fibre)
    image = paint(scene.image, shadow * 0.35, np.zeros(3, dtype=np.float32))
    return paint(image, fibre, plastic(rng)), np.maximum(fibre, shadow * 0.7)


def fold(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A crease: a bright and a dark flank along a long line."""
    path = walk(scene, rng, 0.9 + 0.8 * extent, 6, 0.1)
    width = 0.03 + 0.03 * extent
    normal = np.asarray([path[0, 1] - path[-1, 1], path[-1, 0] - path[0, 0]])
    normal = normal / max(float(np.hypot(*normal)), 1e-6) * width / 2
    bright, deep = stroke(scene, path + normal, width), stroke(scene, path - normal, width)
    strength = 0.35 + 0.35 * extent
    shade = 1.0 + strength * (bright * (1 - deep)) - strength * deep
    return np.clip(scene.image * shade[..., None], 0, 1).astype(np.float32), np.maximum(bright, deep)


def glue(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A clear drop: lighter, with a bright rim towards the light."""
    cover = blob(scene, rng, 0.12 + 0.14 * extent, 0.2, 0.3)
    down, right = np.gradient(cover, 2.0 / cover.shape[0])
    slope = np.asarray(right * scene.light[0] + down * scene.light[1], dtype=np.float32)
    shine = np.clip(-0.05 * slope, -0.35, 0.35)
    cloudy = np.clip(scene.image * 0.72 + 0.24 + shine[..., None], 0, 1).astype(np.float32)
    return paint(scene.image, np.minimum(1.0, cover * (0.6 + 0.4 * extent)).astype(np.float32), cloudy), cover


def imprint(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """Stray printed strokes, like a letter in the wrong place."""
    centre = np.asarray(spot(scene, rng))
    scale = 0.09 + 0.1 * extent
    cover = np.zeros_like(scene.body)
    corners = np.asarray([(i, j) for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)])
    for _ in range(int(rng.integers(2, 5))):
        ends = corners[rng.choice(9, size=2, replace=False)] * scale + centre
        cover = np.maximum(cover, stroke(scene, ends, 0.035 + 0.02 * extent))
    bright = float((scene.image * scene.body[..., None]).sum() / (3 * scene.body.sum() + 1e-6)) < 0.35
    ink = np.asarray(plastic(rng), dtype=np.float32) * (0.3 if not bright else 1.0) + (0.25 if bright else 0.0)
    return paint(scene.image, cover * (0.65 + 0.35 * extent), np.clip(ink, 0, 1).astype(np.float32)), cover


def discoloration(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A broad patch whose hue or brightness is off."""
    cover = blob(scene, rng, 0.22 + 0.22 * extent, 0.2, 0.3) * scene.body
    gain = 1.0 + rng.choice([-1.0, 1.0]) * (0.25 + 0.25 * extent)
    shift = rng.permutation([0.16, 0.0, -0.16]) * (0.5 + extent)
    off = np.clip(scene.image * gain + shift * 0.7, 0, 1).astype(np.float32)
    return paint(scene.image, cover, off), cover


def burn(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A scorched area: brown rim, black core."""
    halo = blob(scene, rng, 0.16 + 0.16 * extent, 0.25, 0.9) * scene.body
    brown = scene.image * np.asarray([0.5, 0.33, 0.2], dtype=np.float32)
    image = paint(scene.image, halo * (0.5 + 0.5 * extent), brown.astype(np.float32))
    core = smoothstep(0.6, 1.0, halo) * (0.35 + 0.55 * extent)
    return paint(image, core.astype(np.float32), (0.05, 0.04, 0.04)), halo


def pitting(scene: Scene, rng: Generator, extent: float) -> Flaw:
    """A cluster of tiny corroded pits; the mask covers the pits alone."""
    size = scene.body.shape[0]
    x, y = coordinates(size)
    centre = np.asarray(spot(scene, rng))
    cover = np.zeros_like(scene.body)
    for _ in range(int(rng.integers(7, 10 + int(10 * extent)))):
        cx, cy = centre + rng.normal(0.0, 0.07 + 0.06 * extent, 2)
        radius = rng.uniform(0.014, 0.03 + 0.012 * extent)
        pit = np.clip(0.5 - (np.hypot(x - cx, y - cy) - radius) * (size / 2), 0, 1).astype(np.float32)
        cover = np.maximum(cover, pit * scene.body)
    return paint(scene.image, cover * (0.6 + 0.4 * extent), dark(scene, 0.6)), cover
