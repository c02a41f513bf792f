"""Manual anomaly suffixes as data: the texts that turn a normal prompt into an anomaly prompt (PromptAD, Figure 7).

``{}`` stands for the normal prompt. Texts are kept as printed, misspellings included: they are the published method.
To give a new category its own suffixes, add an entry to `CATEGORY_SUFFIXES` or pass ``own``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

GenericSuffixes = Literal["paper", "reference"]
"""Which generic suffixes: Figure 7's five, or the released code's eight (deviation D5)."""

GENERIC_PAPER: tuple[str, ...] = (
    "damaged {}",
    "broken {}",
    "{} with flaw",
    "{} with defect",
    "{} with damage",
)
GENERIC_REFERENCE: tuple[str, ...] = (
    "damaged {}",
    "flawed {}",
    "abnormal {}",
    "imperfect {}",
    "blemished {}",
    "{} with flaw",
    "{} with defect",
    "{} with damage",
)

_MACARONI = (
    "{} with color spot",
    "{} with small chip around edge",
    "{} with small scratches",
    "{} with breakage",
    "{} with cracks",
)
_PCB = ("{} with bent", "{} with scratch", "{} with missing", "{} with melt")

CATEGORY_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    # MVTec AD
    "bottle": (
        "{} with large breakage",
        "{} with small breakage",
        "{} with contamination",
    ),
    "toothbrush": (
        "{} with defect",
        "{} with anomaly",
    ),
    "carpet": (
        "{} with hole",
        "{} with color stain",
        "{} with metal contamination",
        "{} with thread residue",
        "{} with thread",
        "{} with cut",
    ),
    "hazelnut": (
        "{} with crack",
        "{} with cut",
        "{} with hole",
        "{} with print",
    ),
    "leather": (
        "{} with color stain",
        "{} with cut",
        "{} with fold",
        "{} with glue",
        "{} with poke",
    ),
    "cable": (
        "{} with bent wire",
        "{} with missing part",
        "{} with missing wire",
        "{} with cut",
        "{} with poke",
    ),
    "capsule": (
        "{} with crack",
        "{} with faulty imprint",
        "{} with poke",
        "{} with scratch",
        "{} squeezed with compression",
    ),
    "grid": (
        "{} with breakage",
        "{} with thread residue",
        "{} with thread",
        "{} with metal contamination",
        "{} with glue",
        "{} with a bent shape",
    ),
    "pill": (
        "{} with color stain",
        "{} with contamination",
        "{} with crack",
        "{} with faulty imprint",
        "{} with scratch",
        "{} with abnormal type",
    ),
    "transistor": (
        "{} with bent lead",
        "{} with cut lead",
        "{} with damage",
        "{} with misplaced transistor",
    ),
    "metal_nut": (
        "{} with a bent shape",
        "{} with color stain",
        "{} with a flipped orientation",
        "{} with scratch",
    ),
    "screw": (
        "{} with manipulated front",
        "{} with scratch neck",
        "{} with scratch head",
    ),
    "zipper": (
        "{} with broken teeth",
        "{} with fabric border",
        "{} with defect fabric",
        "{} with broken fabric",
        "{} with split teeth",
        "{} with squeezed teeth",
    ),
    "tile": (
        "{} with crack",
        "{} with glue strip",
        "{} with gray stroke",
        "{} with oil",
        "{} with rough surface",
    ),
    "wood": (
        "{} with color stain",
        "{} with hole",
        "{} with scratch",
        "{} with liquid",
    ),
    # VisA
    "candle": (
        "{} with melded wax",
        "{} with foreign particals",
        "{} with extra wax",
        "{} with chunk of wax missing",
        "{} with weird candle wick",
        "{} with damaged corner of packaging",
        "{} with different colour spot",
    ),
    "capsules": (
        "{} with scratch",
        "{} with discolor",
        "{} with misshape",
        "{} with leak",
        "{} with bubble",
    ),
    "cashew": (
        "{} with breakage",
        "{} with small scratches",
        "{} with burnt",
        "{} with stuck together",
        "{} with spot",
    ),
    "chewinggum": (
        "{} with corner missing",
        "{} with scratches",
        "{} with chunk of gum missing",
        "{} with colour spot",
        "{} with cracks",
    ),
    "fryum": (
        "{} with breakage",
        "{} with scratches",
        "{} with burnt",
        "{} with colour spot",
        "{} with fryum stuck together",
        "{} with colour spot",
    ),
    "macaroni1": _MACARONI,
    "macaroni2": _MACARONI,
    "pcb1": _PCB,
    "pcb2": _PCB,
    "pcb3": _PCB,
    "pcb4": (
        "{} with scratch",
        "{} with extra",
        "{} with missing",
        "{} with wrong place",
        "{} with damage",
        "{} with burnt",
        "{} with dirt",
    ),
    "pipe_fryum": (
        "{} with breakage",
        "{} with small scratches",
        "{} with burnt",
        "{} with stuck together",
        "{} with colour spot",
        "{} with cracks",
    ),
}
"""Object-customised suffixes, made by the authors from the defect labels of the two data sets; order as printed. Cells
do not name them, only a user's own: whoever changes those of a category that has rows raises ``NUMERICS``
(docs/architecture.md).
"""

_MAPPED_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "chewinggum": "chewing gum",
        "macaroni1": "macaroni",
        "macaroni2": "macaroni",
        "metal_nut": "metal nut",
        "pcb1": "printed circuit board",
        "pcb2": "printed circuit board",
        "pcb3": "printed circuit board",
        "pcb4": "printed circuit board",
        "pipe_fryum": "pipe fryum",
    }
)


def manual_suffixes(category: str, generic: GenericSuffixes, own: Sequence[str] | None = None) -> tuple[str, ...]:
    """The M manual anomaly suffixes of a category: generic ones first, then the category's, in the order as listed.

    A category without an entry in `CATEGORY_SUFFIXES` gets the generic ones alone. ``own`` replaces the category's
    entry (not the generic ones); an empty ``own`` leaves the generic ones alone. A suffix that stands twice counts
    twice, as Figure 7 prints it and the released code takes it: "{} with defect" is both generic and toothbrush's, and
    so has two terms in eq. 12's sum and twice the weight in eq. 14's mean.

    Raises:
        ValueError: ``generic`` is unknown, or a suffix of ``own`` does not hold exactly one "{}" (all are named).
        TypeError: ``own`` is a single string.
    """
    generic_lists = {"paper": GENERIC_PAPER, "reference": GENERIC_REFERENCE}
    if generic not in generic_lists:
        raise ValueError(f"generic must be one of {sorted(generic_lists)}, but got {generic!r}")
    if isinstance(own, str):
        raise TypeError(f"own must be a list of suffixes, but got the string {own!r}: write [{own!r}]")
    customised = CATEGORY_SUFFIXES.get(category, ()) if own is None else tuple(own)
    wrong = [suffix for suffix in customised if not _has_one_slot(suffix)]
    if wrong:
        raise ValueError(
            f'each manual suffix of {category} must hold exactly one "{{}}" (where the normal prompt goes) '
            f'and no other brace, but got {wrong}: write e.g. "{{}} with scratch"'
        )
    return (*generic_lists[generic], *customised)


def object_name(category: str, mapped: bool) -> str:
    """The text of [obj.] in a prompt: the category with underscores as spaces.

    With ``mapped`` the released code's names stand in for nine categories of MVTec and VisA (deviation D19), e.g.
    pcb1 -> "printed circuit board"; others are left as they are.
    """
    if mapped and category in _MAPPED_NAMES:
        return _MAPPED_NAMES[category]
    return category.replace("_", " ")


def _has_one_slot(suffix: str) -> bool:
    rest = suffix.replace("{}", "", 1)
    return rest != suffix and "{" not in rest and "}" not in rest
