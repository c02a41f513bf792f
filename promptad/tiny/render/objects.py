"""Painters of the objects seen in training; each takes (product, sample, size) and returns a scene."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from promptad.tiny.render.fields import Field, box, disk, polygon, polyline, segment, turn, wave
from promptad.tiny.render.scene import Painter, Scene, metal, near, plastic


def bevel(distance: Field, width: float) -> Field:
    """A height field that rises over `width` from the rim of a shape and is flat inside."""
    return np.asarray(-np.clip(distance, -width, 0.0), dtype=np.float32)


def round_parts(count: int, radius: float, offset: float = 0.0) -> list[tuple[float, float]]:
    """Centres of `count` parts on a circle."""
    angles = offset + 2.0 * np.pi * np.arange(count) / count
    return [(float(radius * np.cos(a)), float(radius * np.sin(a))) for a in angles]


def washer(product: Generator, sample: Generator, size: int) -> Scene:
    """A flat ring."""
    p = Painter(product, sample, size)
    tone, hole = metal(product) if product.random() < 0.6 else plastic(product), product.uniform(0.3, 0.6)
    d = np.maximum(disk(p.x, p.y, 0.95), -disk(p.x, p.y, hole))
    grain = 1.0 + 0.03 * p.noise(20)
    p.fill(p.cover(d), np.asarray(grain[..., None] * tone, dtype=np.float32), bevel(d, 0.08), 0.5)
    return p.scene()


def hex_nut(product: Generator, sample: Generator, size: int) -> Scene:
    """A six-sided nut with a threaded hole."""
    p = Painter(product, sample, size)
    tone, hole = metal(product), product.uniform(0.35, 0.55)
    d = polygon(p.x, p.y, 6, 0.85)
    p.fill(p.cover(d), tone, bevel(np.maximum(d, disk(p.x, p.y, 0.86)), 0.12), 0.6)
    p.fill(p.cover(disk(p.x, p.y, hole + 0.1)), near(product, tone, 0.6, 0.8))
    p.erase(p.cover(disk(p.x, p.y, hole)))
    return p.scene()


def bottle_cap(product: Generator, sample: Generator, size: int) -> Scene:
    """A crimped cap with a printed emblem."""
    p = Painter(product, sample, size)
    colour, teeth = plastic(product), int(product.integers(16, 28))
    ink, sides = plastic(product), int(product.integers(3, 7))
    angle, radius = np.arctan2(p.y, p.x), np.hypot(p.x, p.y)
    d = np.asarray(radius - 0.9 - 0.06 * np.cos(teeth * angle), dtype=np.float32)
    ridges = np.asarray(0.04 * np.cos(teeth * angle) * np.clip((radius - 0.6) * 4, 0, 1), dtype=np.float32)
    p.fill(p.cover(d), colour, np.asarray(bevel(d, 0.25) * 0.7 + ridges, dtype=np.float32), 0.6)
    p.part(p.cover(polygon(p.x, p.y, sides, 0.35)), ink)
    return p.scene()


def tablet(product: Generator, sample: Generator, size: int) -> Scene:
    """A round or long pill with a score line."""
    p = Painter(product, sample, size)
    colour, length = plastic(product), product.uniform(0.0, 0.45)
    d = np.asarray(segment(p.x, p.y, (-length, 0), (length, 0)) - (0.95 - length), dtype=np.float32)
    score = np.asarray(np.abs(p.x) - 0.03, dtype=np.float32)
    height = np.asarray(bevel(d, 0.35) * 0.6 - 0.04 * p.cover(score), dtype=np.float32)
    speckle = 1.0 + 0.03 * p.noise(36)
    p.fill(p.cover(d), np.asarray(speckle[..., None] * colour, dtype=np.float32), height, 0.6)
    return p.scene()


def battery(product: Generator, sample: Generator, size: int) -> Scene:
    """A cylinder seen from the side, with a sleeve, a band and a pole."""
    p = Painter(product, sample, size)
    sleeve, pole = plastic(product), metal(product)
    band, split, radius = plastic(product), product.uniform(-0.5, 0.3), product.uniform(0.28, 0.45)
    shape = np.asarray(np.sqrt(np.clip(1.0 - (p.y / radius) ** 2, 0.0, 1.0)) * radius * 0.6, dtype=np.float32)
    body = box(p.x, p.y, 0.85, radius, 0.05)
    p.fill(p.cover(box(p.x - 0.87, p.y, 0.1, radius * 0.4, 0.03)), pole, shape)
    p.fill(p.cover(body), sleeve, shape, 0.5)
    p.fill(p.cover(np.maximum(body, p.x - split)), band, shape, 0.5)
    p.fill(p.cover(np.maximum(body, 0.74 - p.x)), pole, shape, 0.5)
    p.part(p.cover(box(p.x - split - 0.25, p.y, 0.08, 0.08)), near(product, sleeve, 0.3, 1.8))
    return p.scene()


def chip(product: Generator, sample: Generator, size: int) -> Scene:
    """An integrated circuit with pins on two sides."""
    p = Painter(product, sample, size)
    case, pins, tone = product.uniform(0.08, 0.3), int(product.integers(4, 8)), metal(product)
    half = product.uniform(0.45, 0.6)
    p.fill(p.cover(box(p.x, p.y, 0.9, half, 0.04)), (case, case, case * 1.1), bevel(box(p.x, p.y, 0.9, half), 0.06))
    p.fill(p.cover(disk(p.x + 0.7, p.y - half * 0.6, 0.09)), (case * 2 + 0.1,) * 3)
    for row in (-0.15, 0.1):
        text = wave(p.x * 5 + 3 * row) > 0.45
        line = p.cover(box(p.x - 0.1, p.y - row, 0.5, 0.05)) * text
        p.fill(np.asarray(line, dtype=np.float32), (case + 0.4,) * 3)
    for i in range(pins):
        for side in (-1, 1):
            centre = -0.75 + 1.5 * i / (pins - 1)
            d = box(p.x - centre, p.y - side * (half + 0.14), 0.06, 0.15)
            p.part(p.cover(d), tone, bevel(d, 0.05), 0.4)
    return p.scene()


def resistor(product: Generator, sample: Generator, size: int) -> Scene:
    """An axial resistor with colour bands and wires."""
    p = Painter(product, sample, size)
    body, wire, radius = plastic(product), metal(product), product.uniform(0.22, 0.32)
    shape = np.asarray(np.sqrt(np.clip(1.0 - (p.y / radius) ** 2, 0.0, 1.0)) * radius * 0.6, dtype=np.float32)
    p.fill(p.cover(box(p.x, p.y, 1.1, 0.05)), wire)
    d = box(p.x, p.y, 0.6, radius, 0.12)
    p.fill(p.cover(d), body, shape, 0.5)
    for centre in np.linspace(-0.38, 0.38, int(product.integers(3, 6))):
        band = np.maximum(d, np.abs(p.x - centre) - 0.06)
        p.part(p.cover(np.asarray(band, dtype=np.float32)), plastic(product), shape, 0.5)
    return p.scene()


def key(product: Generator, sample: Generator, size: int) -> Scene:
    """A key with a bow, a blade and cuts."""
    p = Painter(product, sample, size)
    tone, sides = metal(product), int(product.choice([6, 8, 64]))
    bow = polygon(p.x + 0.6, p.y, sides, 0.36)
    blade = box(p.x - 0.25, p.y, 0.72, 0.13, 0.03)
    depths = product.uniform(0.03, 0.12, 5)
    for i, depth in enumerate(depths):
        blade = np.maximum(blade, -polygon(p.x - 0.15 - 0.17 * i, p.y - 0.17, 4, depth))
    p.fill(p.cover(np.minimum(bow, blade)), tone, bevel(np.minimum(bow, blade), 0.06), 0.5)
    p.fill(p.cover(box(p.x - 0.2, p.y + 0.02, 0.7, 0.025)), near(product, tone, 0.6, 0.8))
    p.erase(p.cover(disk(p.x + 0.72, p.y, 0.1)))
    return p.scene()


def spring(product: Generator, sample: Generator, size: int) -> Scene:
    """A coil spring seen from the side."""
    p = Painter(product, sample, size)
    tone, turns, width = metal(product), int(product.integers(5, 9)), product.uniform(0.06, 0.1)
    radius = product.uniform(0.3, 0.5)
    xs = np.linspace(-0.9, 0.9, 2 * turns + 1)
    ys = np.where(np.arange(2 * turns + 1) % 2 == 0, -radius, radius)
    front = np.asarray(polyline(p.x, p.y, np.stack([xs, ys], axis=1)) - width, dtype=np.float32)
    back = np.asarray(polyline(p.x, p.y, np.stack([xs, -ys], axis=1)) - width, dtype=np.float32)
    p.fill(p.cover(back), near(product, tone, 0.45, 0.65))
    p.fill(p.cover(front), tone, bevel(front, width), 0.6)
    return p.scene()


def flange(product: Generator, sample: Generator, size: int) -> Scene:
    """A round plate with a bore and a circle of bolts."""
    p = Painter(product, sample, size)
    tone, bolts, bore = metal(product) if product.random() < 0.6 else plastic(product), 0, product.uniform(0.2, 0.35)
    bolts = int(product.integers(4, 9))
    bolt_tone = near(product, tone, 0.5, 1.5)
    d = disk(p.x, p.y, 0.95)
    p.fill(p.cover(d), np.asarray((1 + 0.03 * p.noise(16))[..., None] * tone, np.float32), bevel(d, 0.07), 0.5)
    p.fill(p.cover(disk(p.x, p.y, bore + 0.12)), near(product, tone, 0.7, 1.25))
    p.erase(p.cover(disk(p.x, p.y, bore)))
    for cx, cy in round_parts(bolts, 0.68):
        hexagon = polygon(p.x - cx, p.y - cy, 6, 0.13)
        p.part(p.cover(hexagon), bolt_tone, bevel(hexagon, 0.06), 0.6)
    return p.scene()


def bearing(product: Generator, sample: Generator, size: int) -> Scene:
    """Two races with balls between."""
    p = Painter(product, sample, size)
    tone, balls, inner = metal(product), int(product.integers(7, 13)), product.uniform(0.22, 0.32)
    offset, roll = product.uniform(0, 6), sample.normal(0.0, 0.05)
    middle = (0.75 + inner + 0.14) / 2
    radius = min(middle * np.pi / balls * 0.85, (0.75 - inner - 0.14) / 2)
    p.fill(p.cover(disk(p.x, p.y, 0.95)), tone, bevel(disk(p.x, p.y, 0.95), 0.08), 0.5)
    p.fill(p.cover(disk(p.x, p.y, 0.75)), near(product, tone, 0.25, 0.45))
    p.fill(p.cover(disk(p.x, p.y, inner + 0.14)), tone, bevel(disk(p.x, p.y, inner + 0.14), 0.06), 0.5)
    p.erase(p.cover(disk(p.x, p.y, inner)))
    ball_tone = near(product, tone, 1.05, 1.3)
    for cx, cy in round_parts(balls, middle, offset + roll):
        ball = disk(p.x - cx, p.y - cy, radius)
        p.part(p.cover(ball), ball_tone, bevel(ball, radius), 0.6)
    return p.scene()


def fan(product: Generator, sample: Generator, size: int) -> Scene:
    """Blades round a hub inside a frame."""
    p = Painter(product, sample, size)
    frame, blade = plastic(product), plastic(product)
    count, twist, rest = int(product.integers(3, 8)), product.uniform(0.5, 1.6), product.uniform(0, 6)
    radius = np.hypot(p.x, p.y)
    square = box(p.x, p.y, 0.95, 0.95, 0.15)
    p.fill(p.cover(square), frame, bevel(square, 0.06), 0.5)
    p.erase(p.cover(disk(p.x, p.y, 0.82)))
    lobes = np.cos(count * (np.arctan2(p.y, p.x) + twist * radius) + rest) * radius * 0.4 - 0.06
    vane = np.asarray(np.maximum(-lobes * 0.8, radius - 0.76), dtype=np.float32)
    p.fill(p.cover(vane), blade, np.asarray(lobes * 0.3, dtype=np.float32), 0.5)
    hub = disk(p.x, p.y, 0.26)
    p.fill(p.cover(hub), blade, bevel(hub, 0.1), 0.5)
    p.part(p.cover(disk(p.x, p.y, 0.15)), near(product, blade, 0.4, 1.6))
    return p.scene()


def socket(product: Generator, sample: Generator, size: int) -> Scene:
    """A connector housing with a grid of contacts."""
    p = Painter(product, sample, size)
    shell, contact = plastic(product), metal(product)
    columns, rows = int(product.integers(3, 7)), int(product.integers(1, 4))
    half = 0.3 + 0.15 * rows
    outer = box(p.x, p.y, 0.95, half, 0.08)
    p.fill(p.cover(outer), shell, bevel(outer, 0.08), 0.5)
    p.fill(p.cover(box(p.x, p.y, 0.84, half - 0.1, 0.05)), near(product, shell, 0.4, 0.75))
    width = 0.6 / columns
    for i in range(columns):
        for j in range(rows):
            cx = (i - (columns - 1) / 2) * 1.55 / columns
            cy = (j - (rows - 1) / 2) * (2 * half - 0.3) / rows
            d = box(p.x - cx, p.y - cy, width / 2, 0.1, 0.03)
            p.part(p.cover(d), contact, bevel(d, 0.05), 0.5)
    return p.scene()


def bracket(product: Generator, sample: Generator, size: int) -> Scene:
    """An L-shaped plate with holes."""
    p = Painter(product, sample, size)
    tone = metal(product) if product.random() < 0.5 else plastic(product)
    width = product.uniform(0.25, 0.35)
    d = np.minimum(box(p.x + 0.9 - width, p.y, width, 0.9, 0.1), box(p.x, p.y - 0.9 + width, 0.9, width, 0.1))
    p.fill(p.cover(d), np.asarray((1 + 0.04 * p.noise((30, 4)))[..., None] * tone, np.float32), bevel(d, 0.06), 0.5)
    for t in (-0.6, 0.0):
        p.erase(p.cover(disk(p.x + 0.9 - width, p.y - t, 0.12)))
        p.erase(p.cover(disk(p.x + t, p.y - 0.9 + width, 0.12)))
    return p.scene()


def fuse(product: Generator, sample: Generator, size: int) -> Scene:
    """A glass tube with metal caps and a wire inside."""
    p = Painter(product, sample, size)
    cap, glass, radius = metal(product), plastic(product), product.uniform(0.22, 0.34)
    shape = np.asarray(np.sqrt(np.clip(1.0 - (p.y / radius) ** 2, 0.0, 1.0)) * radius * 0.6, dtype=np.float32)
    pale = np.asarray(0.55 * p.backdrop + 0.25 * np.asarray(glass) + 0.15, dtype=np.float32)
    tube = box(p.x, p.y, 0.9, radius, 0.06)
    p.fill(p.cover(tube), pale, shape, 0.5)
    p.part(p.cover(np.maximum(np.abs(p.y - 0.05 * wave(p.x)) - 0.03, np.abs(p.x) - 0.8)), near(product, cap, 0.3, 0.6))
    ends = np.maximum(tube, 0.55 - np.abs(p.x))
    p.fill(p.cover(np.asarray(ends, dtype=np.float32)), cap, shape, 0.5)
    return p.scene()


def dial(product: Generator, sample: Generator, size: int) -> Scene:
    """A gauge face with ticks and a needle."""
    p = Painter(product, sample, size)
    rim, face, ticks = metal(product), plastic(product), int(product.integers(8, 15))
    ink = near(product, face, 0.15, 0.4)
    angle = product.uniform(0, 6) + sample.normal(0.0, 0.03)
    p.fill(p.cover(disk(p.x, p.y, 0.95)), rim, bevel(disk(p.x, p.y, 0.95), 0.12), 0.5)
    p.fill(p.cover(disk(p.x, p.y, 0.82)), face)
    for cx, cy in round_parts(ticks, 0.68):
        u, v = turn(p.x - cx, p.y - cy, float(np.arctan2(cy, cx)))
        p.part(p.cover(box(u, v, 0.09, 0.035)), ink)
    u, v = turn(p.x, p.y, angle)
    p.part(p.cover(box(u - 0.22, v, 0.32, 0.05, 0.04)), plastic(product))
    p.fill(p.cover(disk(p.x, p.y, 0.1)), ink)
    return p.scene()
