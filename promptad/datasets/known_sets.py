"""A published data set as counts of images, which distinguish a whole set from a part of it and from other data.

The sets themselves stand beside their layouts, in ``promptad/datasets/layouts/``, with where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """A published data set: its ``name`` in printed numbers, the ``source`` paper, its ``short`` name in tables."""

    name: str
    title: str
    short: str
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
        """Differences of a folder with ``counts`` test images by category from the whole set: clauses, no full stop.

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
        """The name of a folder in this set's layout, with ``counts`` test images by category.

        The set's title if every category is one of its own with all its test images, with how many of the categories
        there are; else it is another set in its layout.
        """
        if not self.recognised(counts):
            return f"images in the layout of {self.title}"
        published = len(self.categories)
        return self.title if len(counts) == published else f"{self.title}, {len(counts)} of {published} categories"


def _listed(names: list[str]) -> str:
    if len(names) <= MOST_CATEGORIES_LISTED:
        return ", ".join(names)
    shown = MOST_CATEGORIES_LISTED - 1
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"


def known_set(
    *, name: str, title: str, short: str, source: str, images: Mapping[str, tuple[int, int, int]]
) -> KnownSet:
    """A set from its categories' train, normal test and anomalous test images."""
    categories = tuple(
        CategoryImages(name=category, train=train, normal=normal, anomalous=anomalous)
        for category, (train, normal, anomalous) in images.items()
    )
    return KnownSet(name=name, title=title, short=short, source=source, categories=categories)
