"""Prompts as sequences of symbols: words of the vocabulary, and tokens that are learned.

With semantic concatenation (SC) the prompts are eq. 9-11 of the paper. Without it they are CoOp's two-class form: one
context shared by two classes named ``normal {object}`` and ``abnormal {object}``; the paper calls its baseline CoOp
and prints no text, so the class words are our choice.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from open_clip.tokenizer import SimpleTokenizer

from promptad.user_error import UserError


@dataclass(frozen=True, slots=True)
class Word:
    """A token of CLIP's vocabulary, by its id."""

    token: int


@dataclass(frozen=True, slots=True)
class Learned:
    """A learnable token: position ``position`` of prefix or suffix number ``index``."""

    role: Literal["prefix", "suffix"]
    index: int
    position: int


class PromptError(UserError):
    """A prompt that the text tower cannot read."""


Symbol = Word | Learned
Prompt = tuple[Symbol, ...]
"""One prompt from the start-of-text to the end-of-text token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """The prompts of one object: N normal, N x M manual anomaly, and N x L learnable anomaly prompts.

    ``anomaly`` is the manual prompts, suffix by suffix, followed by the learnable ones.
    """

    normal: tuple[Prompt, ...]
    manual: tuple[Prompt, ...]
    learnable: tuple[Prompt, ...]

    @property
    def anomaly(self) -> tuple[Prompt, ...]:
        """All anomaly prompts: MAPs, then LAPs."""
        return self.manual + self.learnable

    @property
    def all(self) -> tuple[Prompt, ...]:
        """Normal, manual anomaly and learnable anomaly prompts, in this order."""
        return self.normal + self.manual + self.learnable


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptForm:
    """How the prompts of any object are built (eq. 9-11); without ``semantic_concatenation`` they are CoOp's classes.

    ``manual_suffixes`` are templates with one ``{}`` for the object's name (empty: no MAPs). ``n_normal_prompts`` is N,
    ``n_anomaly_suffixes`` L (0: no LAPs), each of so many learnable tokens. ``pairing`` ``modulo`` joins prefix
    i mod N with suffix i mod L for i < N L (deviation D8), which repeats pairs unless N and L are coprime.
    """

    semantic_concatenation: bool = True
    manual_suffixes: tuple[str, ...] = ()
    n_normal_prompts: int = 1
    n_normal_tokens: int
    n_anomaly_suffixes: int = 0
    n_anomaly_tokens: int = 1
    suffix_position: Literal["after_object", "before_object"] = "after_object"
    pairing: Literal["all", "modulo"] = "all"
    full_stop: bool = False


def build_prompts(tokenizer: SimpleTokenizer, object_name: str, form: PromptForm) -> PromptSet:
    """The prompts of one object.

    Raises:
        PromptError: a prompt longer than the text tower's context.
    """
    stop = "." if form.full_stop else ""
    prefixes = [
        tuple(Learned("prefix", n, i) for i in range(form.n_normal_tokens)) for n in range(form.n_normal_prompts)
    ]
    suffixes = [
        tuple(Learned("suffix", m, i) for i in range(form.n_anomaly_tokens)) for m in range(form.n_anomaly_suffixes)
    ]

    def words(text: str) -> tuple[Word, ...]:
        return _words(tokenizer, text)

    def close(*parts: tuple[Symbol, ...]) -> Prompt:
        return _closed(tokenizer, object_name, sum(parts, ()))

    if not form.semantic_concatenation:
        return PromptSet(
            normal=tuple(close(prefix, words(f"normal {object_name}{stop}")) for prefix in prefixes),
            manual=tuple(close(prefix, words(f"abnormal {object_name}{stop}")) for prefix in prefixes),
            learnable=(),
        )

    def learnable(prefix: tuple[Symbol, ...], suffix: tuple[Symbol, ...]) -> Prompt:
        if form.suffix_position == "before_object":
            return close(prefix, suffix, words(f"{object_name}{stop}"))
        return close(prefix, words(object_name), suffix, words(stop))

    if form.pairing == "all":
        pairs = [(prefix, suffix) for prefix in prefixes for suffix in suffixes]
    else:
        pairs = [
            (prefixes[i % len(prefixes)], suffixes[i % len(suffixes)]) for i in range(len(prefixes) * len(suffixes))
        ]
    return PromptSet(
        normal=tuple(close(prefix, words(f"{object_name}{stop}")) for prefix in prefixes),
        manual=tuple(
            close(prefix, words(f"{suffix.format(object_name)}{stop}"))
            for suffix in form.manual_suffixes
            for prefix in prefixes
        ),
        learnable=tuple(learnable(prefix, suffix) for prefix, suffix in pairs),
    )


def fixed_prompts(
    tokenizer: SimpleTokenizer, object_name: str, *, normal: Sequence[str], anomaly: Sequence[str]
) -> PromptSet:
    """Prompts that are plain texts, nothing of them learned.

    Raises:
        PromptError: a prompt longer than the text tower's context.
    """

    def prompts(texts: Sequence[str]) -> tuple[Prompt, ...]:
        return tuple(_closed(tokenizer, object_name, _words(tokenizer, text)) for text in texts)

    return PromptSet(normal=prompts(normal), manual=prompts(anomaly), learnable=())


@functools.lru_cache(maxsize=1 << 16)
def _words(tokenizer: SimpleTokenizer, text: str) -> tuple[Word, ...]:
    # Encoding takes a tenth of a millisecond, and a plan checks the same texts for every arm.
    return tuple(Word(token) for token in tokenizer.encode(text))


def _closed(tokenizer: SimpleTokenizer, object_name: str, symbols: tuple[Symbol, ...]) -> Prompt:
    prompt: Prompt = (Word(tokenizer.sot_token_id), *symbols, Word(tokenizer.eot_token_id))
    if len(prompt) > tokenizer.context_length:
        raise PromptError(
            f"a prompt must have at most {tokenizer.context_length} tokens, but one about {object_name!r} has "
            f"{len(prompt)}: use fewer learnable tokens or a shorter suffix"
        )
    return prompt
