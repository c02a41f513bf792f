"""The published data sets as counts of images, by which a folder is told from a part of one or from something else.

Where the numbers come from, and how each was checked:

- MVTec AD: Table 1 of its paper. The numbers by category are those of two public inventories of the downloaded
  archive, which agree, and add up to the totals that are quoted from the paper (3629 train, 467 normal and 1258
  anomalous test images).
- VisA: counted in the split file of its authors, ``split_csv/1cls.csv`` of github.com/amazon-science/spot-diff. Its
  normal images (train and test) and its anomalous ones are those of the table in that README, object by object.
- MPDD: the numbers by category are those of two public inventories of the archive, which agree, and add up to the
  totals that are quoted from the paper (888 train, 176 normal and 282 anomalous test images).
- MVTec LOCO AD: the numbers by category are those of two public inventories of the archive, which agree, and add up to
  the 1568 test images that are quoted from the paper. Of train and validation images the paper is quoted with 1772 and
  304, while the archive has 1778 and 305; ``train`` is the archive's. Validation images are not counted: nothing
  here reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST_CATEGORIES_LISTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryImages:
    """How many images a category has: normal ones to draw the support from, normal and anomalous ones to test."""

    name: str
    train: int
    normal: int
    anomalous: int

    @property
    def test(self) -> int:
        """All its test images."""
        return self.normal + self.anomalous


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSet:
    """A published data set: its ``name`` in printed numbers, the ``layouts`` that read it, and the ``source`` paper."""

    name: str
    layouts: tuple[str, ...]
    title: str
    source: str
    categories: tuple[CategoryImages, ...]

    @property
    def test_images(self) -> int:
        """Test images of all categories."""
        return sum(category.test for category in self.categories)

    @property
    def train_images(self) -> int:
        """Normal images outside the test of all categories."""
        return sum(category.train for category in self.categories)

    def differences(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        """What tells a folder with ``counts`` test images by category from the whole set: clauses without full stop.

        Empty if it has all categories, no other, and as many test images in each. Which images they are is not
        compared.
        """
        known = {category.name: category.test for category in self.categories}
        missing = [name for name in known if name not in counts]
        others = sorted(set(counts) - set(known))
        changed = [
            f"{name} {counts[name]} (published: {known[name]})"
            for name in known
            if name in counts and counts[name] != known[name]
        ]
        found = []
        if missing:
            found.append(f"{len(missing)} of the {len(known)} categories of {self.title} missing: {_listed(missing)}")
        if others:
            found.append(f"categories that {self.title} does not have: {_listed(others)}")
        if changed:
            found.append(f"another number of test images than {self.title} has: {_listed(changed)}")
        return tuple(found)

    def recognised(self, counts: Mapping[str, int]) -> bool:
        """Whether a folder with ``counts`` test images by category is this set or some categories of it, each whole."""
        known = {category.name: category.test for category in self.categories}
        return bool(counts) and all(known.get(name) == count for name, count in counts.items())

    def title_of(self, counts: Mapping[str, int]) -> str:
        """What to call a folder in this set's layout, with ``counts`` test images by category.

        The set's title if every category is one of its own with all its test images, with how many of the categories
        there are; else it is another set in its layout.
        """
        if not self.recognised(counts):
            return f"images in the layout of {self.title}"
        published = len(self.categories)
        return self.title if len(counts) == published else f"{self.title}, {len(counts)} of {published} categories"


def full_set_of(layout: str) -> KnownSet | None:
    """The published data set that a layout reads; None for a layout that belongs to none ("folder")."""
    return next((known for known in KNOWN_SETS.values() if layout in known.layouts), None)


def _listed(names: list[str]) -> str:
    if len(names) <= MOST_CATEGORIES_LISTED:
        return ", ".join(names)
    shown = MOST_CATEGORIES_LISTED - 1
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"


def _known(
    *, name: str, title: str, source: str, images: Mapping[str, tuple[int, int, int]], repacked: tuple[str, ...] = ()
) -> KnownSet:
    """A set from its categories' train, normal test and anomalous test images; ``repacked`` are more layouts of it."""
    categories = tuple(
        CategoryImages(name=category, train=train, normal=normal, anomalous=anomalous)
        for category, (train, normal, anomalous) in images.items()
    )
    return KnownSet(name=name, layouts=(name, *repacked), title=title, source=source, categories=categories)


def _by_name(sets: Iterable[KnownSet]) -> dict[str, KnownSet]:
    return {known.name: known for known in sets}


KNOWN_SETS: Mapping[str, KnownSet] = _by_name(
    (
        _known(
            name="mvtec",
            title="MVTec AD",
            source=(
                "Bergmann, Fauser, Sattlegger, Steger: MVTec AD, a comprehensive real-world dataset for unsupervised "
                "anomaly detection, CVPR 2019"
            ),
            images={
                "bottle": (209, 20, 63),
                "cable": (224, 58, 92),
                "capsule": (219, 23, 109),
                "carpet": (280, 28, 89),
                "grid": (264, 21, 57),
                "hazelnut": (391, 40, 70),
                "leather": (245, 32, 92),
                "metal_nut": (220, 22, 93),
                "pill": (267, 26, 141),
                "screw": (320, 41, 119),
                "tile": (230, 33, 84),
                "toothbrush": (60, 12, 30),
                "transistor": (213, 60, 40),
                "wood": (247, 19, 60),
                "zipper": (240, 32, 119),
            },
        ),
        _known(
            name="visa",
            repacked=("visa_pytorch",),
            title="VisA",
            source=(
                "Zou, Jeong, Pemula, Zhang, Dabeer: SPot-the-difference self-supervised pre-training for anomaly "
                "detection and segmentation, ECCV 2022; one-class split of the authors (split_csv/1cls.csv)"
            ),
            images={
                "candle": (900, 100, 100),
                "capsules": (542, 60, 100),
                "cashew": (450, 50, 100),
                "chewinggum": (453, 50, 100),
                "fryum": (450, 50, 100),
                "macaroni1": (900, 100, 100),
                "macaroni2": (900, 100, 100),
                "pcb1": (904, 100, 100),
                "pcb2": (901, 100, 100),
                "pcb3": (905, 101, 100),
                "pcb4": (904, 101, 100),
                "pipe_fryum": (450, 50, 100),
            },
        ),
        _known(
            name="mpdd",
            title="MPDD",
            source=(
                "Jezek, Jonak, Burget, Dvorak, Skotak: Deep learning-based defect detection of metal parts: evaluating "
                "current methods in complex conditions, ICUMT 2021"
            ),
            images={
                "bracket_black": (289, 32, 47),
                "bracket_brown": (185, 26, 51),
                "bracket_white": (110, 30, 30),
                "connector": (128, 30, 14),
                "metal_plate": (54, 26, 71),
                "tubes": (122, 32, 69),
            },
        ),
        _known(
            name="loco",
            title="MVTec LOCO AD",
            source=(
                "Bergmann, Batzner, Fauser, Sattlegger, Steger: Beyond dents and scratches: logical constraints in "
                "unsupervised anomaly detection and localization, IJCV 2022"
            ),
            images={
                "breakfast_box": (351, 102, 173),
                "juice_bottle": (335, 94, 236),
                "pushpins": (372, 138, 172),
                "screw_bag": (360, 122, 219),
                "splicing_connectors": (360, 119, 193),
            },
        ),
    )
)
"""The published data sets by their names."""
