"""The product families: which are trained on, which are kept for validation and for the inspection set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from promptad.tiny.render import objects, textures, unseen
from promptad.tiny.render.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of product: the noun of its captions and its painter (product, sample, size) -> scene."""

    name: str
    paint: Callable[[Generator, Generator, int], Scene]

    def render(self, product_seed: int, sample: Generator, size: int) -> Scene:
        """One sample of the product `product_seed` at `size` pixels; the same arguments give the same scene."""
        return self.paint(np.random.default_rng(product_seed), sample, size)


def _families(painters: dict[str, Callable[[Generator, Generator, int], Scene]]) -> tuple[Family, ...]:
    return tuple(Family(name=name, paint=paint) for name, paint in painters.items())


TRAINING = _families(
    {
        "woven fabric": textures.woven_fabric,
        "carbon fibre plate": textures.carbon_fibre,
        "brushed metal sheet": textures.brushed_metal,
        "ceramic tile": textures.ceramic_tile,
        "granite slab": textures.granite,
        "carpet": textures.carpet,
        "corrugated panel": textures.corrugated_board,
        "rubber mat": textures.rubber_mat,
        "perforated plate": textures.perforated_plate,
        "concrete": textures.concrete,
        "foam": textures.foam,
        "striped cloth": textures.striped_cloth,
        "cork": textures.cork,
        "tread plate": textures.checker_plate,
        "paper": textures.paper,
        "washer": objects.washer,
        "hex nut": objects.hex_nut,
        "bottle cap": objects.bottle_cap,
        "tablet": objects.tablet,
        "battery": objects.battery,
        "chip": objects.chip,
        "resistor": objects.resistor,
        "key": objects.key,
        "spring": objects.spring,
        "flange": objects.flange,
        "bearing": objects.bearing,
        "fan": objects.fan,
        "socket": objects.socket,
        "bracket": objects.bracket,
        "fuse": objects.fuse,
        "dial": objects.dial,
    }
)
"""Families whose captions and images the model is trained on."""

VALIDATION = _families({"honeycomb": unseen.honeycomb, "hinge": unseen.hinge, "zipper": unseen.zipper})
"""Families looked at during training, never trained on."""

BENCHMARK = _families(
    {
        "leather": unseen.leather,
        "grid": unseen.grid,
        "wood": unseen.wood,
        "gear": unseen.gear,
        "capsule": unseen.capsule,
        "button": unseen.button,
        "screw": unseen.screw,
        "board": unseen.board,
    }
)
"""Families of the inspection set, never trained on nor validated on."""
