"""Painters of the textures seen in training; each takes (product, sample, size) and returns a scene."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from promptad.tiny.render.fields import Field, disk, fractal, lattice_noise, noise, polygon, smoothstep, wave
from promptad.tiny.render.scene import Colour, Painter, Scene, metal, near, plastic


def everywhere(painter: Painter) -> Field:
    """Coverage 1 on the whole picture."""
    return np.ones((painter.size, painter.size), dtype=np.float32)


def mixed(first: Colour, second: Colour, amount: Field) -> Field:
    """Colour image (size, size, 3) between two colours by `amount` in [0, 1]."""
    a, b = np.asarray(first, dtype=np.float32), np.asarray(second, dtype=np.float32)
    return np.asarray(a + amount[..., None] * (b - a), dtype=np.float32)


def cells(product: Generator, u: Field, v: Field, jitter: float = 0.8) -> tuple[Field, Field, Field]:
    """Worley cells of a jittered unit lattice: nearest distance, second distance, a hash in [0, 1) of the nearest."""
    count = 61
    offsets = product.random((count, count, 3), dtype=np.float32)
    iu, iv = np.floor(u).astype(int), np.floor(v).astype(int)
    first = np.full(u.shape, np.inf, dtype=np.float32)
    second = first.copy()
    tag = np.zeros_like(first)
    for du in (-1, 0, 1):
        for dv in (-1, 0, 1):
            point = offsets[(iv + dv) % count, (iu + du) % count]
            x = iu + du + 0.5 + jitter * (point[..., 0] - 0.5) - u
            y = iv + dv + 0.5 + jitter * (point[..., 1] - 0.5) - v
            distance = np.hypot(x, y).astype(np.float32)
            closer = distance < first
            second = np.where(closer, first, np.minimum(second, distance))
            tag = np.where(closer, point[..., 2], tag)
            first = np.where(closer, distance, first)
    return first, second, tag


def lattice_parts(painter: Painter, u: Field, v: Field, cover: Field, count: int = 3) -> list[Field]:
    """The elements of a lattice pattern at a few random unit cells near the middle, as separate coverages."""
    size, picked = painter.size, []
    for _ in range(count):
        row, column = painter.sample.integers(size // 6, size - size // 6, 2)
        same = (np.floor(u) == np.floor(u[row, column])) & (np.floor(v) == np.floor(v[row, column]))
        picked.append(np.asarray(cover * same, dtype=np.float32))
    return picked


def woven_fabric(product: Generator, sample: Generator, size: int) -> Scene:
    """A plain weave of two yarns."""
    p = Painter(product, sample, size, texture=True)
    pitch = product.uniform(5.0, 9.0)
    warp_colour = plastic(product)
    weft_colour = near(product, warp_colour, 0.7, 1.3)
    u, v = p.x * pitch + 0.06 * p.noise(4), p.y * pitch + 0.06 * p.noise(4)
    over = (np.floor(u) + np.floor(v)) % 2 == 0
    along = np.where(over, wave(v + 0.5), wave(u + 0.5)).astype(np.float32)
    across = np.where(over, wave(u + 0.5), wave(v + 0.5)).astype(np.float32)
    colour = mixed(warp_colour, weft_colour, (~over).astype(np.float32))
    shade = 0.45 + 0.4 * across**0.7 + 0.2 * along + 0.03 * p.noise(30)
    p.fill(everywhere(p), np.asarray(colour * shade[..., None], dtype=np.float32))
    return p.scene()


def carbon_fibre(product: Generator, sample: Generator, size: int) -> Scene:
    """A dark 2x2 twill with a sheen."""
    p = Painter(product, sample, size, texture=True)
    pitch = product.uniform(5.0, 8.0)
    tone = product.uniform(0.2, 0.42)
    tint = product.uniform(-0.03, 0.05)
    u, v = p.x * pitch, p.y * pitch
    over = (np.floor(u) + np.floor(v)) % 4 < 2
    fibre = np.where(over, wave(u * 5.0), wave(v * 5.0))
    sheen = np.where(over, wave(v * 0.5), wave(u * 0.5))
    shade = np.where(over, 1.0, 0.55) + 0.12 * fibre + 0.25 * sheen + 0.03 * p.noise(20)
    p.fill(everywhere(p), np.asarray((shade * tone)[..., None] * (1.0, 1.0, 1.0 + tint), dtype=np.float32))
    return p.scene()


def brushed_metal(product: Generator, sample: Generator, size: int) -> Scene:
    """Sheet metal with fine parallel brush lines."""
    p = Painter(product, sample, size, texture=True)
    tone, strength = metal(product), product.uniform(0.03, 0.09)
    rows = product.random() < 0.5
    grain = p.noise((size // 2, 4) if rows else (4, size // 2)) + 0.6 * p.noise((48, 2) if rows else (2, 48))
    sheen = 0.08 * wave((p.x if rows else p.y) * 0.3)
    p.fill(everywhere(p), np.asarray((0.95 + strength * grain + sheen)[..., None] * tone, dtype=np.float32))
    return p.scene()


def ceramic_tile(product: Generator, sample: Generator, size: int) -> Scene:
    """Square or running-bond tiles with grout; each tile has its own tone."""
    p = Painter(product, sample, size, texture=True)
    pitch, ratio, bond = product.uniform(1.2, 2.6), product.choice([1.0, 2.0]), product.random() < 0.5
    colour, grout = plastic(product), product.uniform(0.25, 0.85)
    v = p.y * pitch * ratio
    u = p.x * pitch + (0.5 * (np.floor(v) % 2) if bond else 0.0)
    du, dv = np.abs(u - np.floor(u) - 0.5), np.abs(v - np.floor(v) - 0.5)
    edge = np.maximum(du / 1.0, dv).astype(np.float32) - 0.46
    tone = 1.0 + 0.18 * (lattice_noise(product, u, v) - 0.5) + 0.04 * p.noise(16)
    p.fill(everywhere(p), (grout, grout, grout * 0.96))
    height = np.asarray(-np.clip(edge * 8, -1, 0) * 0.06, dtype=np.float32)
    p.fill(p.cover(edge / pitch), np.asarray(tone[..., None] * colour, dtype=np.float32), height)
    return p.scene()


def granite(product: Generator, sample: Generator, size: int) -> Scene:
    """Speckled stone of three minerals."""
    p = Painter(product, sample, size, texture=True)
    base = plastic(product)
    dark, bright = near(product, base, 0.2, 0.6), near(product, base, 1.3, 1.7)
    scale = int(product.integers(18, 32))
    spots, grains = p.noise(scale), p.noise(scale + 7)
    colour = mixed(base, dark, smoothstep(0.5, 1.0, spots))
    amount = smoothstep(0.7, 1.1, grains)[..., None]
    colour = np.asarray(colour + amount * (np.asarray(bright, dtype=np.float32) - colour), dtype=np.float32)
    p.fill(everywhere(p), colour * np.float32(1.0) + (0.02 * p.noise(5))[..., None])
    return p.scene()


def carpet(product: Generator, sample: Generator, size: int) -> Scene:
    """Looped pile in rows with a random tuft tone."""
    p = Painter(product, sample, size, texture=True)
    pitch, colour = product.uniform(7.0, 12.0), plastic(product)
    u, v = p.x * pitch + 0.2 * p.noise(20), p.y * pitch * 1.3 + 0.2 * p.noise(20)
    tuft = wave(u + 0.5 * (np.floor(v) % 2)) * wave(v + 0.5)
    shade = 0.5 + 0.5 * tuft + 0.1 * p.noise(size // 3)
    p.fill(everywhere(p), np.asarray(shade[..., None] * colour, dtype=np.float32))
    return p.scene()


def corrugated_board(product: Generator, sample: Generator, size: int) -> Scene:
    """Ridges running one way."""
    p = Painter(product, sample, size, texture=True)
    pitch, colour = product.uniform(3.5, 8.0), plastic(product)
    height = np.asarray(wave(p.x * pitch) / pitch * 0.5, dtype=np.float32)
    fibre = 1.0 + 0.04 * fractal(sample, size, 12)
    p.fill(everywhere(p), np.asarray(fibre[..., None] * colour, dtype=np.float32), height, 0.6)
    return p.scene()


def rubber_mat(product: Generator, sample: Generator, size: int) -> Scene:
    """A mat with round studs, some of which a defect may remove."""
    p = Painter(product, sample, size, texture=True)
    pitch, colour, radius = product.uniform(2.5, 4.5), plastic(product), product.uniform(0.25, 0.38)
    stud_colour = near(product, colour, 0.7, 1.35)
    u, v = p.x * pitch, p.y * pitch
    du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    d = disk(du, dv, radius)
    p.fill(everywhere(p), np.asarray((1 + 0.03 * p.noise(24))[..., None] * colour, dtype=np.float32))
    p.part(p.cover(d / pitch), stud_colour, np.asarray(-np.clip(d, -0.12, 0) * 0.7, dtype=np.float32))
    p.parts = lattice_parts(p, u, v, p.cover(d / pitch))
    return p.scene()


def perforated_plate(product: Generator, sample: Generator, size: int) -> Scene:
    """A metal sheet with a staggered pattern of round or square holes."""
    p = Painter(product, sample, size, texture=True)
    pitch, tone, square = product.uniform(2.6, 4.6), metal(product), product.random() < 0.4
    radius = product.uniform(0.24, 0.36)
    v = p.y * pitch
    u = p.x * pitch + 0.5 * (np.floor(v) % 2)
    du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    d = polygon(du, dv, 4, radius) if square else disk(du, dv, radius)
    p.fill(everywhere(p), np.asarray((1 + 0.03 * p.noise((40, 3)))[..., None] * tone, dtype=np.float32))
    p.part(p.cover(d / pitch), np.asarray(p.backdrop * 0.6, dtype=np.float32))
    p.parts = lattice_parts(p, u, v, p.cover(d / pitch))
    return p.scene()


def concrete(product: Generator, sample: Generator, size: int) -> Scene:
    """Cloudy mortar with small pores."""
    p = Painter(product, sample, size, texture=True)
    value, tint, pores = product.uniform(0.4, 0.75), product.uniform(0.0, 0.06), product.uniform(1.7, 2.2)
    shade = 1.0 + 0.06 * fractal(sample, size, 4, 4) - 0.25 * smoothstep(pores, pores + 0.4, p.noise(28))
    p.fill(everywhere(p), np.asarray((value * shade)[..., None] * (1 + tint, 1.0, 1 - tint), dtype=np.float32))
    return p.scene()


def foam(product: Generator, sample: Generator, size: int) -> Scene:
    """Open cells with bright walls."""
    p = Painter(product, sample, size, texture=True)
    pitch, colour = product.uniform(4.0, 7.0), plastic(product)
    inner = near(product, colour, 0.35, 0.7)
    first, second, tag = cells(product, p.x * pitch + 20, p.y * pitch + 20)
    wall = 1.0 - smoothstep(0.06, 0.3, second - first)
    tone = np.asarray(0.85 + 0.3 * tag, dtype=np.float32)
    p.fill(everywhere(p), np.asarray(mixed(inner, colour, wall) * tone[..., None], dtype=np.float32))
    return p.scene()


def striped_cloth(product: Generator, sample: Generator, size: int) -> Scene:
    """Printed stripes on fine cloth."""
    p = Painter(product, sample, size, texture=True)
    pitch, first = product.uniform(1.2, 3.0), plastic(product)
    second, width = near(product, first, 0.4, 1.6), product.uniform(0.2, 0.5)
    third, wide = plastic(product), product.uniform(0.05, 0.15)
    phase = p.x * pitch
    offset = np.abs(phase - np.floor(phase) - 0.5)
    colour = mixed(first, second, p.cover(np.asarray((offset - width / 2) / pitch, dtype=np.float32)))
    amount = p.cover(np.asarray((offset - wide / 2) / pitch, dtype=np.float32))[..., None]
    colour = np.asarray(colour + amount * (np.asarray(third, dtype=np.float32) - colour), dtype=np.float32)
    cloth = 0.9 + 0.1 * wave(p.x * 14) * wave(p.y * 14) + 0.03 * p.noise(32)
    p.fill(everywhere(p), np.asarray(colour * cloth[..., None], dtype=np.float32))
    return p.scene()


def cork(product: Generator, sample: Generator, size: int) -> Scene:
    """Pressed granules, each of its own tone."""
    p = Painter(product, sample, size, texture=True)
    pitch, colour, contrast = product.uniform(6.0, 10.0), plastic(product), product.uniform(0.3, 0.6)
    first, second, tag = cells(sample, p.x * pitch + 20, p.y * pitch + 20, 1.0)
    seam = 1.0 - smoothstep(0.0, 0.15, second - first)
    shade = 1.0 + contrast * (tag - 0.5) - 0.2 * seam
    p.fill(everywhere(p), np.asarray(shade[..., None] * colour, dtype=np.float32))
    return p.scene()


def checker_plate(product: Generator, sample: Generator, size: int) -> Scene:
    """Tread plate: raised lozenges that alternate in direction."""
    p = Painter(product, sample, size, texture=True)
    pitch, tone = product.uniform(2.4, 4.0), metal(product)
    u, v = p.x * pitch, p.y * pitch
    du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    flip = (np.floor(u) + np.floor(v)) % 2 == 0
    a, b = np.where(flip, du + dv, du - dv) * 0.7, np.where(flip, du - dv, du + dv) * 0.7
    d = np.asarray(np.hypot(a, b * 3.2) - 0.4, dtype=np.float32)
    p.fill(everywhere(p), np.asarray((1 + 0.04 * p.noise(30))[..., None] * tone, dtype=np.float32))
    p.part(p.cover(d / pitch), near(product, tone, 1.05, 1.3), np.asarray(-np.clip(d, -0.2, 0) * 0.6, np.float32))
    p.parts = lattice_parts(p, u, v, p.cover(d / pitch))
    return p.scene()


def paper(product: Generator, sample: Generator, size: int) -> Scene:
    """Plain sheet with long fibres."""
    p = Painter(product, sample, size, texture=True)
    colour, strength = plastic(product), product.uniform(0.02, 0.06)
    shade = 1.0 + strength * (noise(sample, size, (50, 8)) + noise(sample, size, (8, 50))) * 0.7
    p.fill(everywhere(p), np.asarray(shade[..., None] * colour, dtype=np.float32))
    return p.scene()
