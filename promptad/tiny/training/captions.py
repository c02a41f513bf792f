"""Captions of flawless and defective products, and the words that the tiny model knows."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.random import Generator

from promptad.tiny.render.defects import TRAINING_DEFECTS
from promptad.tiny.render.families import TRAINING

UNNAMED = "x"
"""A word that is kept out of the vocabulary on purpose: its embedding is zero, as that of any unseen name."""

GENERIC_NAMES = ("object", "product", "surface", "part", UNNAMED)

NORMAL_STATES = (
    "{}", "{}", "{}", "flawless {}", "perfect {}", "normal {}", "unblemished {}",
    "{} without flaw", "{} without defect", "{} without damage",
)  # fmt: skip
"""The bare name counts as normal, as in PromptAD's normal prompts."""

ANOMALOUS_STATES = (
    "damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage",
    "abnormal {}", "imperfect {}", "blemished {}", "flawed {}",
)  # fmt: skip

KIND_STATES = ("{} with {noun}", "{} with {noun}", "{} with a {noun}", "a {noun} on the {}")

WRAPPERS = (
    "{}", "{}", "{}", "a {}", "the {}", "a photo of a {}", "a photo of the {}", "a close-up photo of a {}",
    f"{UNNAMED} {{}}", " ".join([UNNAMED] * 2) + " {}", " ".join([UNNAMED] * 4) + " {}",
)  # fmt: skip
"""What precedes a name; the unseen words stand for the learnable context of a prompt."""


def draw_name(rng: Generator, family: str) -> tuple[str, bool]:
    """A noun for the product and whether it is generic: its own name, or (one in five) a word for any product."""
    if rng.random() < 0.2:
        return str(rng.choice(GENERIC_NAMES)), True
    return family, False


def compose(rng: Generator, state: str, name: str, noun: str = "") -> str:
    """A caption: wrapper, state and name, now and then with a full stop."""
    caption = str(rng.choice(WRAPPERS)).format(state.format(name, noun=noun))
    return caption + "." if rng.random() < 0.3 else caption


def normal_caption(rng: Generator, name: str) -> str:
    """A caption of a flawless product."""
    return compose(rng, str(rng.choice(NORMAL_STATES)), name)


def anomalous_caption(rng: Generator, name: str) -> str:
    """A caption that says that the product is defective, but not how."""
    return compose(rng, str(rng.choice(ANOMALOUS_STATES)), name)


def kind_caption(rng: Generator, name: str, kind: str) -> str:
    """A caption that names the kind of defect."""
    noun = str(rng.choice(TRAINING_DEFECTS[kind].nouns))
    if noun == "bent":
        return compose(rng, "bent {}", name)
    return compose(rng, str(rng.choice(KIND_STATES)), name, noun)


def all_words() -> Iterator[str]:
    """Every phrase from which captions are made: what the vocabulary must cover."""
    yield from (family.name for family in TRAINING)
    yield from (name for name in GENERIC_NAMES if name != UNNAMED)
    yield from (state.format("") for state in (*NORMAL_STATES, *ANOMALOUS_STATES))
    yield from (state.format("", noun="") for state in KIND_STATES)
    yield from (wrapper.replace(UNNAMED, "").format("") for wrapper in WRAPPERS)
    for kind in TRAINING_DEFECTS.values():
        yield from kind.nouns
    yield "."
