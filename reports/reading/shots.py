"""The numbers of support images that a column of a table can have, as its heading spells them."""

from typing import Literal

Shots = int | Literal["full", "own"]
"""Support images of a column: their number, all normal images of each category, or each row's own number."""


def shots_text(shots: Shots) -> str:
    """Shots in words: "1-shot", "full-shot", "own shots"."""
    return "own shots" if shots == "own" else f"{shots}-shot"
