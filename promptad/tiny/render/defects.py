"""The table of defect kinds, and how one is put on a scene with its exact mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from promptad.tiny.render import marks, shape_defects
from promptad.tiny.render.fields import Field
from promptad.tiny.render.scene import Scene

MINIMUM_AREA = 0.0012
MAXIMUM_AREA = 0.35
MINIMUM_CONTRAST = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectKind:
    """A kind of defect: the nouns that name it in captions, and its generator (scene, rng, extent)."""

    nouns: tuple[str, ...]
    make: Callable[[Scene, Generator, float], tuple[Field, Field]]


TRAINING_DEFECTS: dict[str, DefectKind] = {
    "crack": DefectKind(nouns=("crack",), make=marks.crack),
    "scratch": DefectKind(nouns=("scratch",), make=marks.scratch),
    "cut": DefectKind(nouns=("cut",), make=marks.cut),
    "hole": DefectKind(nouns=("hole",), make=marks.hole),
    "poke": DefectKind(nouns=("poke",), make=marks.poke),
    "stain": DefectKind(nouns=("stain", "color stain"), make=marks.stain),
    "contamination": DefectKind(nouns=("contamination", "metal contamination"), make=marks.contamination),
    "thread": DefectKind(nouns=("thread", "thread residue", "fibre"), make=marks.thread),
    "fold": DefectKind(nouns=("fold",), make=marks.fold),
    "glue": DefectKind(nouns=("glue",), make=marks.glue),
    "imprint": DefectKind(nouns=("print", "faulty imprint"), make=marks.imprint),
    "discoloration": DefectKind(nouns=("discoloration", "wrong color"), make=marks.discoloration),
    "bent": DefectKind(nouns=("bent", "bent wire", "bent part"), make=shape_defects.bent),
    "dent": DefectKind(nouns=("dent",), make=shape_defects.dent),
    "missing": DefectKind(nouns=("missing part",), make=shape_defects.missing),
    "broken": DefectKind(nouns=("breakage", "broken part"), make=shape_defects.broken),
}
"""Kinds the model is trained on."""

HELD_OUT_DEFECTS: dict[str, DefectKind] = {
    "burn": DefectKind(nouns=("burn",), make=marks.burn),
    "pitting": DefectKind(nouns=("pitting",), make=marks.pitting),
    "misplaced": DefectKind(nouns=("misplaced part",), make=shape_defects.misplaced),
    "bulge": DefectKind(nouns=("bulge",), make=shape_defects.bulge),
    "smear": DefectKind(nouns=("smear",), make=shape_defects.smear),
}
"""Kinds only the inspection set shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectiveImage:
    """An image (size, size, 3) in [0, 1] and the mask of its defect; outside the mask it is the flawless image."""

    image: Field
    mask: NDArray[np.bool_]


def apply_defect(scene: Scene, kind: str, rng: Generator) -> DefectiveImage:
    """Damage the scene: tries random places and extents until the defect is visible (area and contrast).

    Raises:
        ValueError: unknown kind, or no visible defect after 40 tries.
    """
    known = {**TRAINING_DEFECTS, **HELD_OUT_DEFECTS}
    if kind not in known:
        raise ValueError(f"a defect kind must be one of {', '.join(sorted(known))}, but got {kind}")
    for attempt in range(40):
        extent = min(1.0, rng.random() + attempt / 40)
        changed, cover = known[kind].make(scene, rng, extent)
        mask = cover > 0.15
        area = float(mask.mean())
        if not MINIMUM_AREA <= area <= MAXIMUM_AREA:
            continue
        contrast = np.abs(changed - scene.image).max(axis=2)
        if float(contrast[mask].mean()) < MINIMUM_CONTRAST:
            continue
        image = np.where(mask[..., None], np.clip(changed, 0.0, 1.0), scene.image)
        return DefectiveImage(image=np.asarray(image, dtype=np.float32), mask=mask)
    raise ValueError(f"the product must be large and varied enough to show {kind}, but 40 tries left no visible defect")
