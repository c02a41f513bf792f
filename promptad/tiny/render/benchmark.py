"""The synthetic inspection set: eight product categories in MVTec's folder layout, rendered deterministically."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptad.tiny.render.defects import apply_defect
from promptad.tiny.render.families import BENCHMARK, Family
from promptad.tiny.render.scene import to_bytes

IMAGE_SIZE = 192
TRAIN_GOOD = 16
TEST_GOOD = 16
TEST_PER_DEFECT = 6
SET_SEED = 1
MARKER = "inspection_set.json"
_RENDERER_MODULES = (
    "fields", "scene", "textures", "objects", "unseen", "families", "marks", "shape_defects", "defects", "benchmark",
)  # fmt: skip

DEFECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "leather": ("cut", "fold", "stain", "burn"),
        "grid": ("bent", "broken", "thread", "contamination"),
        "wood": ("scratch", "hole", "stain", "pitting"),
        "gear": ("broken", "crack", "contamination", "pitting"),
        "capsule": ("crack", "imprint", "dent", "bulge"),
        "button": ("missing", "discoloration", "scratch", "smear"),
        "screw": ("bent", "scratch", "broken"),
        "board": ("missing", "misplaced", "glue", "burn"),
    }
)
"""The defect types of each category; burn, pitting, bulge, smear and misplaced are unknown to the tiny model."""

CATEGORIES: tuple[str, ...] = tuple(DEFECTS)


def write_benchmark(root: Path) -> None:
    """Render the set into `root` in MVTec's layout (192 x 192 RGB PNG, masks 8-bit 0/255), or leave a current one.

    The set is rendered beside `root` and then renamed, so that a killed run leaves no half set. A set that another
    version of the renderer wrote is replaced.

    Raises:
        FileExistsError: `root` holds something that is no inspection set.
    """
    marker = renderer_digest()
    if is_current(root, marker):
        return
    if root.exists() and any(root.iterdir()) and not (root / MARKER).is_file():
        raise FileExistsError(f"the inspection set must go into a new or empty folder, but {root} holds other files")
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        for index, family in enumerate(BENCHMARK):
            _write_category(scratch / family.name, family, index)
        (scratch / MARKER).write_text(json.dumps({"renderer": marker}) + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        try:
            if root.exists():
                old = scratch.with_name(scratch.name + "-old")
                root.rename(old)
                shutil.rmtree(old)
            scratch.rename(root)
        except OSError:
            # another process may have written the same set in the meantime: then ours is not needed
            if not is_current(root, marker):
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_current(root: Path, digest: str) -> bool:
    """Whether `root` holds a complete set written by the renderer with this digest."""
    path = root / MARKER
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("renderer") == digest)


def renderer_digest() -> str:
    """Digest of the renderer's source: the set has no other input, so the same digest means the same set."""
    digest = hashlib.sha256()
    for module in _RENDERER_MODULES:
        digest.update(Path(__file__).with_name(f"{module}.py").read_bytes())
    return digest.hexdigest()[:16]


def good_image(family: Family, category: int, split: int, number: int) -> NDArray[np.uint8]:
    """Flawless image `number` of a split (0 train, 1 test) of a category, (192, 192, 3)."""
    sample = np.random.default_rng([SET_SEED, category, split, number])
    return to_bytes(family.render(_product(category), sample, IMAGE_SIZE).image)


def defective_image(
    family: Family, category: int, kind: str, number: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Defective test image `number` of a kind and its mask, (192, 192, 3) and (192, 192)."""
    rng = np.random.default_rng([SET_SEED, category, 2, DEFECTS[family.name].index(kind), number])
    damaged = apply_defect(family.render(_product(category), rng, IMAGE_SIZE), kind, rng)
    return to_bytes(damaged.image), damaged.mask


def _product(category: int) -> int:
    """The seed of a category's one product: fixed before any score was seen."""
    return 1000 + category


def _write_category(folder: Path, family: Family, category: int) -> None:
    for split, name, count in ((0, "train/good", TRAIN_GOOD), (1, "test/good", TEST_GOOD)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(good_image(family, category, split, number)).save(folder / name / f"{number:03d}.png")
    for kind in DEFECTS[family.name]:
        (folder / "test" / kind).mkdir(parents=True)
        (folder / "ground_truth" / kind).mkdir(parents=True)
        for number in range(TEST_PER_DEFECT):
            image, mask = defective_image(family, category, kind, number)
            Image.fromarray(image).save(folder / "test" / kind / f"{number:03d}.png")
            shown = Image.fromarray(mask.astype(np.uint8) * 255)
            shown.save(folder / "ground_truth" / kind / f"{number:03d}_mask.png")
