"""The CLIP transformations by name (PromptAD, section 3.3 and Table 5): rules of the local branch in each block.

Reading the table loads no torch. A new one is a rule in ``promptad/backbones/local_attention.py`` and an entry here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptad.configs.parts import part_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """One transformation. ``title`` is its name in tables.

    ``rule`` (``module:function``) is loaded on first use: from a block's query, key and value to what the local branch
    adds, each image x head x token x part. None: the branch is the tower's own last output. ``learned`` says that there
    is a learnable layer for each block instead.
    """

    title: str
    rule: str | None
    learned: bool = False

    def attention(self) -> Any:
        """The rule itself, a ``LocalAttention``.

        Raises:
            ValueError: this transformation has none, or it does not exist at the entry's address.
        """
        if self.rule is None:
            raise ValueError(f"transformation {self.title} must have an attention rule to be run as one, but has none")
        return part_at(self.rule, f"the rule of transformation {self.title}")


TRANSFORMATIONS: Mapping[str, Transformation] = {
    "clip": Transformation(title="CLIP", rule=None),
    "maskclip": Transformation(title="MaskCLIP", rule="promptad.backbones.local_attention:value_alone"),
    "vv": Transformation(title="VV-CLIP", rule="promptad.backbones.local_attention:value_to_value"),
    "linear": Transformation(title="CLIP+Linear", rule=None, learned=True),
}
"""Every transformation that a config can name."""


def transformation_problems(name: str, known: Iterable[str] | None = None) -> list[str]:
    """Problems of a transformation's name, none if it is valid; ``known``: those that a method can run."""
    names = tuple(TRANSFORMATIONS if known is None else known)
    return [] if name in names else [f"transformation must be one of {', '.join(names)}, but got {name!r}"]


def unlearned() -> tuple[str, ...]:
    """Names of the transformations that have no layer to learn."""
    return tuple(name for name, entry in TRANSFORMATIONS.items() if not entry.learned)
