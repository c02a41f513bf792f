"""Sentences for the user about odd masks and grey levels of a category that can be used all the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

NEARLY_ALL = 0.99
"""Share of anomalous pixels from which a mask counts as all white."""

MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Facts from decoding an image and its masks.

    ``share`` is that of anomalous pixels in the united mask, None without masks; ``bits`` those that a 16-bit grey file
    uses, None for other files; ``either_way``: a mask fits the image as stored as well as turned by its EXIF
    orientation.
    """

    name: str
    share: float | None
    bits: int | None
    either_way: bool


def cautions(looks: Sequence[Look]) -> tuple[str, ...]:
    """One sentence for each oddity, naming how many images it concerns and the first of them."""
    masked = [(look.name, look.share) for look in looks if look.share is not None]
    found = []
    if empty := [name for name, share in masked if share == 0]:
        found.append(
            f"the masks of {_counted(empty)} are all black although the images are anomalous: their pixels count as "
            "normal; draw what is anomalous with values above 0"
        )
    large = [name for name, share in masked if share > 1 / 2]
    if 2 * len(large) > len(masked):
        found.append(
            f"the masks of {_counted(large)}, of {len(masked)} with masks, mark more than half of their image: they "
            "may be inverted; anomalous pixels must be above 0, normal ones 0"
        )
    elif white := [name for name, share in masked if share >= NEARLY_ALL]:
        found.append(
            f"the masks of {_counted(white)} are (nearly) all white: the whole image counts as anomalous; look whether "
            "they are inverted or were stored without their shape"
        )
    if either := [look.name for look in looks if look.either_way]:
        found.append(
            f"{_counted(either)} have an EXIF orientation and masks without one that fit the image turned or not: the "
            "masks are taken as drawn on the upright image, as viewers show it"
        )
    depths: dict[int, list[str]] = defaultdict(list)
    for look in looks:
        if look.bits is not None:
            depths[look.bits].append(look.name)
    if len(depths) > 1:
        listed = "; ".join(f"{bits} bits: {_counted(names)}" for bits, names in sorted(depths.items()))
        found.append(
            f"16-bit files use different depths by their largest values ({listed}), so that bit_depth=by_maximum "
            f"scales them differently: set one, such as bit_depth={_widest(depths)}"
        )
    return tuple(found)


def _widest(depths: dict[int, list[str]]) -> str:
    return "full_range" if max(depths) == 16 else f"{max(depths)}_bits"


def _counted(names: Sequence[str]) -> str:
    listed = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return f"{len(names)} image{'s' * (len(names) > 1)} ({listed})"
