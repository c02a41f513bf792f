"""A rendered product: the painter that poses and lights it, and the layers that a defect needs."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from promptad.tiny.render.fields import Field, Reals, coordinates, noise, turn

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One flawless rendering with its layers; images (size, size, 3) in [0, 1], coverages (size, size) in [0, 1]."""

    image: Field
    beneath: Field
    """The same picture without the removable parts."""
    backdrop: Field
    """What lies behind the product (for a texture: a dark substrate)."""
    body: Field
    """Coverage of the product; 1 everywhere for a texture."""
    parts: tuple[Field, ...]
    """Coverage of each removable part."""
    is_texture: bool
    light: tuple[float, float]
    """Direction in which relief looks bright."""


def plastic(rng: Generator) -> Colour:
    """A random colour of any hue: painted metal, plastic, dyed cloth."""
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.85), rng.uniform(0.3, 0.92))
    return r, g, b


def metal(rng: Generator) -> Colour:
    """A grey, or now and then a brass or copper tone."""
    value = rng.uniform(0.4, 0.8)
    if rng.random() < 0.25:
        return value * 1.1, value * rng.uniform(0.75, 0.95), value * rng.uniform(0.4, 0.7)
    tint = rng.uniform(-0.05, 0.05)
    return value - tint, value, value + tint


def near(rng: Generator, colour: Colour, low: float = 0.5, high: float = 1.4) -> Colour:
    """The colour made darker or lighter, at least by a visible step."""
    factor = rng.uniform(low, high)
    if 0.82 < factor < 1.18:
        factor = 0.7 if sum(colour) > 1.2 else 1.35
    r, g, b = (min(1.0, channel * factor) for channel in colour)
    return r, g, b


def to_bytes(image: Field) -> NDArray[np.uint8]:
    """An image in [0, 1] as 8-bit values."""
    return np.asarray(np.round(np.clip(image, 0.0, 1.0) * 255.0), dtype=np.uint8)


class Painter:
    """Draws one sample of a product: `product` fixes what it is, `sample` its pose, light and grain.

    `x`, `y` are the product's own coordinates, in which an object spans about [-1, 1] and a texture is endless.
    """

    def __init__(
        self, product: Generator, sample: Generator, size: int, *, texture: bool = False, spin: float = 0.15
    ) -> None:
        self.product, self.sample, self.size, self.is_texture = product, sample, size, texture
        x, y = coordinates(size)
        light = product.uniform(0.0, 2.0 * np.pi)
        self.light = (float(np.cos(light)), float(np.sin(light)))
        base = product.uniform(-np.pi, np.pi) if product.random() < 0.5 else product.integers(4) * np.pi / 2
        spins = product.random() < spin
        reach = product.uniform(0.68, 0.86)
        shade = float(product.choice([0.06, 0.15, 0.5, 0.75, 0.9]))
        tone = plastic(product)
        angle = base + sample.normal(0.0, 0.03)
        if spins:
            angle = sample.uniform(-np.pi, np.pi)
        if texture:
            scale = 1.0 + sample.normal(0.0, 0.01)
            shift = sample.uniform(-4.0, 4.0, 2)
        else:
            scale = reach * (1.0 + sample.normal(0.0, 0.012))
            shift = sample.normal(0.0, 0.02, 2)
        x, y = turn((x - (0 if texture else shift[0])) / scale, (y - (0 if texture else shift[1])) / scale, angle)
        self.x = np.asarray(x + (shift[0] if texture else 0), dtype=np.float32)
        self.y = np.asarray(y + (shift[1] if texture else 0), dtype=np.float32)
        self.pixel = 2.0 / size / scale
        ground = np.asarray([0.75 * shade + 0.25 * shade * channel for channel in tone], dtype=np.float32)
        if texture:
            ground *= 0.25
        grain = 1.0 + 0.03 * noise(sample, size, 6) + 0.02 * noise(sample, size, 24)
        self.backdrop: Field = np.asarray(ground * grain[..., None], dtype=np.float32)
        self.image: Field = self.backdrop.copy()
        self.body: Field = np.full((size, size), float(texture), dtype=np.float32)
        self.parts: list[Field] = []
        self._beneath: Field | None = None

    def cover(self, distance: Reals) -> Field:
        """Anti-aliased coverage of the set where `distance` (product frame) is negative."""
        return np.asarray(np.clip(0.5 - distance / self.pixel, 0.0, 1.0), dtype=np.float32)

    def noise(self, cells: int | tuple[int, int]) -> Field:
        """Smooth noise of this sample, in the image's frame."""
        return noise(self.sample, self.size, cells)

    def lit(self, colour: Colour | Field, height: Field | None, relief: float = 0.5) -> Field:
        """The colour brightened where `height` rises towards the light."""
        tone = np.asarray(colour, dtype=np.float32)
        if height is None:
            return np.asarray(np.broadcast_to(tone, (self.size, self.size, 3)), dtype=np.float32)
        down, right = np.gradient(height, 2.0 / self.size)
        slope = np.asarray(right * self.light[0] + down * self.light[1], dtype=np.float32)
        shade = np.clip(1.0 + relief * slope, 0.35, 1.75)
        return np.asarray(tone * shade[..., None], dtype=np.float32)

    def fill(self, cover: Field, colour: Colour | Field, height: Field | None = None, relief: float = 0.5) -> None:
        """Paint a fixed piece of the product."""
        paint = self.lit(colour, height, relief)
        alpha = cover[..., None]
        self.image = self.image + alpha * (paint - self.image)
        if self._beneath is not None:
            self._beneath = self._beneath + alpha * (paint - self._beneath)
        self.body = np.maximum(self.body, cover)

    def erase(self, cover: Field) -> None:
        """Cut a hole through the product: the backdrop shows."""
        alpha = cover[..., None]
        self.image = self.image + alpha * (self.backdrop - self.image)
        if self._beneath is not None:
            self._beneath = self._beneath + alpha * (self.backdrop - self._beneath)
        if not self.is_texture:
            self.body = np.minimum(self.body, 1.0 - cover)

    def part(self, cover: Field, colour: Colour | Field, height: Field | None = None, relief: float = 0.5) -> None:
        """Paint a piece that a defect may remove or shift; paint all fixed pieces first."""
        if self._beneath is None:
            self._beneath = self.image
        alpha = cover[..., None]
        self.image = self.image + alpha * (self.lit(colour, height, relief) - self.image)
        self.body = np.maximum(self.body, cover)
        if float(cover.sum()) > 4e-4 * self.size**2:
            self.parts.append(cover)

    def scene(self) -> Scene:
        """The finished scene under the sample's light and sensor noise (the same for all layers)."""
        x, y = coordinates(self.size)
        slope = self.sample.normal(0.0, 0.03, 2)
        gain = 1.0 + self.sample.normal(0.0, 0.03)
        light = np.asarray(gain * (1.0 + slope[0] * x + slope[1] * y), dtype=np.float32)[..., None]
        grain = self.sample.normal(0.0, 0.008, (self.size, self.size, 1)).astype(np.float32)

        def develop(layer: Field) -> Field:
            return np.asarray(np.clip(layer * light + grain, 0.0, 1.0), dtype=np.float32)

        return Scene(
            image=develop(self.image),
            beneath=develop(self.image if self._beneath is None else self._beneath),
            backdrop=develop(self.backdrop),
            body=self.body,
            parts=tuple(self.parts),
            is_texture=self.is_texture,
            light=self.light,
        )
