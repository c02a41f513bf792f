"""MPDD, painted and bare metal parts (Jezek et al., ICUMT 2021)."""

from promptad.datasets.known_sets import known_set
from promptad.datasets.layouts.mvtec import MVTecLayout


class MPDDLayout(MVTecLayout):
    """MPDD as published: the folders and the `<stem>_mask.png` names of MVTec AD.

    Only the content differs: parts in varying pose and number, and defect folders shared by few categories.
    """


MPDD = known_set(
    name="mpdd",
    title="MPDD",
    short="MPDD",
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
)
"""The numbers by category are those of two public inventories of the archive, which agree, and add up to the totals
that are quoted from the paper (888 train, 176 normal and 282 anomalous test images).
"""
