"""Texts of normal and anomalous objects that random words make different from each other. Strings only."""

from __future__ import annotations

import functools

import numpy as np
from open_clip.tokenizer import SimpleTokenizer

from promptad.texts.templates import ANOMALY_STATES, NORMAL_STATES

TEMPLATE = "a photo of a {}."
SHORTEST = 3
"""Least number of letters of a word; shorter tokens are mostly parts of words."""


@functools.cache
def vocabulary_words(tokenizer: SimpleTokenizer) -> tuple[str, ...]:
    """The words of a to z that are single tokens of CLIP's vocabulary, in its order."""
    endings = (token.removesuffix("</w>") for token in tokenizer.encoder if token.endswith("</w>"))
    return tuple(word for word in endings if len(word) >= SHORTEST and word.isascii() and word.isalpha())


def random_word_texts(
    words: tuple[str, ...], object_name: str, *, number: int, most_words: int, draws: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``number`` texts of normal and as many of anomalous things: a state of CPE about random words and the object.

    Each text has 1 to ``most_words`` words, uniformly drawn (none if that is 0), before ``object_name``, which may be
    empty. Text i of both classes has the same words, so they carry no information about the class.
    """

    def thing() -> str:
        count = int(draws.integers(1, most_words + 1)) if most_words else 0
        chosen = [words[index] for index in draws.integers(len(words), size=count)]
        return " ".join([*chosen, object_name]).strip()

    def text(states: tuple[str, ...], name: str) -> str:
        return TEMPLATE.format(states[int(draws.integers(len(states)))].format(name))

    things = [thing() for _ in range(number)]
    normal = tuple(text(NORMAL_STATES, name) for name in things)
    anomaly = tuple(text(ANOMALY_STATES, name) for name in things)
    return normal, anomaly
