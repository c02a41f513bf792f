"""Painters of the families never trained on: the inspection set's eight and three for validation."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from promptad.tiny.render.fields import Field, box, disk, noise, polygon, segment, smoothstep, turn, wave
from promptad.tiny.render.objects import bevel, round_parts
from promptad.tiny.render.scene import Painter, Scene, metal, near, plastic
from promptad.tiny.render.textures import cells, everywhere, lattice_parts, mixed


def leather(product: Generator, sample: Generator, size: int) -> Scene:
    """Wrinkled hide: soft folds between irregular pebbles."""
    p = Painter(product, sample, size, texture=True, spin=0.0)
    pitch, colour = product.uniform(8.0, 11.0), plastic(product)
    u, v = p.x * pitch + 20 + 0.25 * p.noise(8), p.y * pitch + 20 + 0.25 * p.noise(8)
    first, second, tag = cells(sample, u, v, 0.9)
    height = np.asarray(0.05 * smoothstep(0.0, 0.35, second - first), dtype=np.float32)
    shade = 0.97 + 0.06 * (tag - 0.5) + 0.03 * p.noise(5)
    p.fill(everywhere(p), np.asarray(shade[..., None] * colour, dtype=np.float32), height, 0.35)
    return p.scene()


def grid(product: Generator, sample: Generator, size: int) -> Scene:
    """A welded wire lattice over a dark ground."""
    p = Painter(product, sample, size, texture=True, spin=0.0)
    pitch, tone, width = product.uniform(2.6, 3.4), metal(product), product.uniform(0.09, 0.14)
    u, v = p.x * pitch, p.y * pitch
    for offset in (u, v):
        d = np.asarray(np.abs(offset - np.floor(offset) - 0.5) - width, dtype=np.float32)
        p.fill(p.cover(d / pitch), tone, np.asarray(-np.clip(d, -width, 0) * 0.5, dtype=np.float32), 0.6)
    dark = 0.35 + 0.65 * smoothstep(0.0, 0.4, np.max(p.image - p.backdrop, axis=2))
    p.image = np.asarray(p.image * dark[..., None], dtype=np.float32)
    return p.scene()


def wood(product: Generator, sample: Generator, size: int) -> Scene:
    """Boards of wavy grain; every sample shows another piece of the plank."""
    p = Painter(product, sample, size, texture=True, spin=0.0)
    rings, base = product.uniform(3.0, 5.0), (product.uniform(0.55, 0.75), 0.45, 0.28)
    dark = near(product, base, 0.55, 0.75)
    flow = p.x * rings + 0.35 * p.noise((2, 3)) + 0.08 * p.noise((4, 8))
    grain = 0.7 * wave(np.asarray(flow, dtype=np.float32)) ** 2 + 0.15 * noise(sample, size, (6, size // 2))
    colour = mixed(base, dark, np.clip(grain, 0.0, 1.0).astype(np.float32))
    p.fill(everywhere(p), np.asarray(colour * (1 + 0.03 * p.noise(4))[..., None], dtype=np.float32))
    return p.scene()


def gear(product: Generator, sample: Generator, size: int) -> Scene:
    """A toothed wheel with spokes and a keyed bore."""
    p = Painter(product, sample, size, spin=0.0)
    tone, teeth = metal(product), int(product.integers(14, 20))
    angle, radius = np.arctan2(p.y, p.x), np.hypot(p.x, p.y)
    profile = np.clip(3.0 * np.cos(teeth * angle), -1.0, 1.0)
    d = np.asarray((radius - 0.88 - 0.09 * profile) * 0.75, dtype=np.float32)
    grain = 1.0 + 0.04 * p.noise(24)
    p.fill(p.cover(d), np.asarray(grain[..., None] * tone, dtype=np.float32), bevel(d, 0.06), 0.5)
    ring = np.asarray(np.abs(radius - 0.68) - 0.03, dtype=np.float32)
    p.fill(p.cover(ring), near(product, tone, 0.6, 0.8))
    for cx, cy in round_parts(5, 0.45):
        p.erase(p.cover(disk(p.x - cx, p.y - cy, 0.12)))
    p.erase(p.cover(np.minimum(disk(p.x, p.y, 0.18), box(p.x - 0.18, p.y, 0.08, 0.06))))
    return p.scene()


def capsule(product: Generator, sample: Generator, size: int) -> Scene:
    """A two-coloured capsule with a printed code."""
    p = Painter(product, sample, size, spin=0.0)
    left, right, ink = plastic(product), plastic(product), product.uniform(0.05, 0.2)
    radius = 0.38
    d = np.asarray(segment(p.x, p.y, (-0.55, 0), (0.55, 0)) - radius, dtype=np.float32)
    shape = np.asarray(np.sqrt(np.clip(1.0 - (p.y / radius) ** 2, 0.0, 1.0)) * radius * 0.6, dtype=np.float32)
    p.fill(p.cover(d), left, shape, 0.5)
    inner = np.asarray(segment(p.x, p.y, (0.05, 0), (0.55, 0)) - (radius - 0.02), dtype=np.float32)
    p.fill(p.cover(np.maximum(inner, 0.05 - p.x)), right, shape, 0.5)
    for centre in (-0.5, -0.34, -0.18):
        p.part(p.cover(np.abs(box(p.x - centre, p.y, 0.035, 0.1)) - 0.018), (ink, ink, ink))
    return p.scene()


def button(product: Generator, sample: Generator, size: int) -> Scene:
    """A garment button with a rim and four sewing holes; it lies at any angle."""
    p = Painter(product, sample, size, spin=1.0)
    colour, cloudy = plastic(product), product.uniform(0.03, 0.06)
    d = disk(p.x, p.y, 0.95)
    radius = np.hypot(p.x, p.y)
    height = np.asarray(bevel(d, 0.1) + 0.06 * smoothstep(0.55, 0.72, radius.astype(np.float32)), dtype=np.float32)
    shade = 1.0 + cloudy * p.noise(5) + 0.5 * cloudy * p.noise(10)
    p.fill(p.cover(d), np.asarray(shade[..., None] * colour, dtype=np.float32), height, 0.5)
    for cx, cy in round_parts(4, 0.25):
        p.part(p.cover(disk(p.x - cx, p.y - cy, 0.09)), p.backdrop)
    return p.scene()


def screw(product: Generator, sample: Generator, size: int) -> Scene:
    """A screw seen from the side: head, shank, thread and point."""
    p = Painter(product, sample, size, spin=0.0)
    tone, radius = metal(product), 0.17
    thread = np.asarray(0.035 * np.abs(((p.x * 9 + p.y * 1.2) % 1.0) * 2 - 1), dtype=np.float32)
    taper = np.clip((0.98 - p.x) * 1.2, 0.0, 1.0)
    shank = np.asarray(np.abs(p.y) - (radius + thread * (p.x > -0.15)) * taper, dtype=np.float32)
    shank = np.asarray(np.maximum(np.maximum(shank, -0.75 - p.x), p.x - 0.97), dtype=np.float32)
    round_height = np.sqrt(np.clip(1.0 - (p.y / 0.22) ** 2, 0.0, 1.0)) * 0.13
    p.fill(p.cover(shank), tone, np.asarray(round_height + thread * (p.x > -0.15), dtype=np.float32), 0.6)
    head = np.asarray(np.maximum(disk(p.x + 0.58, p.y, 0.42), p.x + 0.7), dtype=np.float32)
    p.fill(p.cover(head), near(product, tone, 0.75, 1.2), bevel(head, 0.12), 0.6)
    return p.scene()


def board(product: Generator, sample: Generator, size: int) -> Scene:
    """A small circuit board: traces, vias and soldered components."""
    p = Painter(product, sample, size, spin=0.0)
    mask, copper = (0.05, product.uniform(0.25, 0.42), product.uniform(0.1, 0.3)), (0.75, 0.6, 0.25)
    d = box(p.x, p.y, 0.97, 0.8, 0.05)
    p.fill(p.cover(d), mask, bevel(d, 0.03), 0.5)
    for row in (-0.68, -0.1, 0.62):
        p.fill(p.cover(box(p.x, p.y - row, 0.85, 0.025)), near(product, mask, 1.35, 1.7))
    for cx, cy in ((-0.85, -0.68), (0.85, -0.68), (-0.85, 0.68), (0.85, 0.68)):
        p.fill(p.cover(disk(p.x - cx, p.y - cy, 0.09)), copper)
        p.erase(p.cover(disk(p.x - cx, p.y - cy, 0.05)))
    chip = box(p.x + 0.35, p.y + 0.38, 0.3, 0.2, 0.02)
    p.part(p.cover(chip), (0.12, 0.12, 0.13), bevel(chip, 0.04), 0.5)
    for cx, cy, tone in ((0.35, -0.4, plastic(product)), (0.65, -0.4, plastic(product)), (-0.55, 0.25, metal(product))):
        can = disk(p.x - cx, p.y - cy, 0.13)
        p.part(p.cover(can), tone, bevel(can, 0.05), 0.6)
    for cx in (-0.1, 0.2, 0.5):
        body = box(p.x - cx, p.y - 0.25, 0.08, 0.16)
        p.part(p.cover(body), (0.7, 0.7, 0.68), bevel(body, 0.03), 0.5)
        p.part(p.cover(box(p.x - cx, p.y - 0.25, 0.08, 0.09)), near(product, (0.4, 0.3, 0.25), 0.5, 1.4))
    return p.scene()


def honeycomb(product: Generator, sample: Generator, size: int) -> Scene:
    """Validation: hexagonal cells with thin walls."""
    p = Painter(product, sample, size, texture=True)
    pitch, colour = product.uniform(2.4, 4.0), plastic(product)
    inner = near(product, colour, 0.35, 0.7)
    nearest: Field = np.full((size, size), np.inf, dtype=np.float32)
    for phase in (0.0, 0.5):
        u, v = p.x * pitch + phase, p.y * pitch / np.sqrt(3) + phase
        du, dv = u - np.floor(u) - 0.5, (v - np.floor(v) - 0.5) * np.sqrt(3)
        nearest = np.minimum(nearest, polygon(du, dv, 6, 0.42))
    p.fill(everywhere(p), np.asarray((1 + 0.03 * p.noise(16))[..., None] * colour, dtype=np.float32))
    p.part(p.cover(nearest / pitch), inner)
    p.parts = lattice_parts(p, p.x * pitch, p.y * pitch / np.sqrt(3), p.cover(nearest / pitch))
    return p.scene()


def hinge(product: Generator, sample: Generator, size: int) -> Scene:
    """Validation: two leaves, a knuckle and screws."""
    p = Painter(product, sample, size)
    tone, dark = metal(product), product.uniform(0.3, 0.6)
    d = box(p.x, p.y, 0.9, 0.7, 0.1)
    p.fill(p.cover(d), tone, bevel(d, 0.05), 0.5)
    knuckle = box(p.x, p.y, 0.12, 0.75, 0.05)
    p.fill(p.cover(knuckle), near(product, tone, 0.7, 1.2), bevel(knuckle, 0.12), 0.6)
    for cx in (-0.5, 0.5):
        for cy in (-0.42, 0.0, 0.42):
            head = disk(p.x - cx, p.y - cy, 0.12)
            p.part(p.cover(head), (dark, dark, dark), bevel(head, 0.06), 0.5)
    return p.scene()


def zipper(product: Generator, sample: Generator, size: int) -> Scene:
    """Validation: interlocking teeth on two tapes."""
    p = Painter(product, sample, size)
    tape, tone, count = plastic(product), metal(product), int(product.integers(9, 13))
    cloth = 0.85 + 0.15 * wave(p.x * 9) * wave(p.y * 9)
    p.fill(p.cover(box(p.x, p.y, 1.2, 0.7)), np.asarray(cloth[..., None] * tape, dtype=np.float32))
    for i in range(count):
        side = 1 if i % 2 else -1
        u, v = turn(p.x - (i - (count - 1) / 2) * 1.8 / count, p.y - side * 0.09, 0.0)
        d = box(u, v, 0.7 / count, 0.2, 0.04)
        p.part(p.cover(d), tone, bevel(d, 0.05), 0.6)
    return p.scene()
