"""CoOp's two prompts, normal and abnormal, in a form that can be saved and combined with any number of contexts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from jaxtyping import Float, Int
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptad.prompts.prompt_tree import PromptTree, build_tree
from promptad.prompts.sequences import Learned, Prompt, PromptForm, Word, build_prompts
from promptad.randomness import drawn_for, torch_generator
from promptad.texts.suffixes import object_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrompts:
    """Vocabulary ids of both classes' prompts without their context, which stands behind the first id."""

    normal: Int[Tensor, " token"]
    anomaly: Int[Tensor, " token"]

    @classmethod
    def of(
        cls,
        tokenizer: SimpleTokenizer,
        category: str,
        *,
        n_tokens: int,
        prompt_text: Literal["bare", "mapped_with_full_stop"],
        bare_normal: bool = False,
    ) -> Self:
        """``normal {object}`` and ``abnormal {object}`` behind a context of ``n_tokens`` learnable tokens.

        With ``bare_normal`` the first is ``{object}`` alone.

        Raises:
            PromptError: one of them is longer than the text tower's context.
        """
        mapped = prompt_text == "mapped_with_full_stop"
        name = object_name(category, mapped)
        two = PromptForm(semantic_concatenation=False, n_normal_tokens=n_tokens, full_stop=mapped)
        prompts = build_prompts(tokenizer, name, two)
        normal = prompts.normal[0]
        if bare_normal:
            # What semantic concatenation puts its suffixes behind.
            (normal,) = build_prompts(tokenizer, name, replace(two, semantic_concatenation=True)).normal
        return cls(normal=_ids(normal), anomaly=_ids(prompts.anomaly[0]))

    def tree(self, contexts: int, n_tokens: int, *, device: torch.device, dtype: torch.dtype) -> PromptTree:
        """Both prompts with each of ``contexts`` contexts, these being the tree's prefixes.

        All normal prompts stand before all anomaly prompts.
        """
        return build_tree(
            [_around(words, number, n_tokens) for words in (self.normal, self.anomaly) for number in range(contexts)],
            prefix_shape=(contexts, n_tokens),
            suffix_shape=(0, 0),
            device=device,
            dtype=dtype,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The ids by name, to save and to restore."""
        return {"prompt/normal": self.normal, "prompt/anomaly": self.anomaly}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of ``tensors``."""
        return cls(normal=tensors["prompt/normal"].cpu(), anomaly=tensors["prompt/anomaly"].cpu())


def draw_context(
    text: Any, *, n_tokens: int, deviation: float, category: str | None, seed: int
) -> Float[Tensor, "token width"]:
    """A context from N(0, ``deviation``^2): equal to the initial first prefix of PromptAD, and so of its CoOp form.

    ``category`` None: for all categories together.
    """
    width = text.token_embedding.weight.shape[1]
    generator = torch_generator(seed, *drawn_for(category), "normal prefixes")
    return deviation * torch.randn((1, n_tokens, width), generator=generator)[0]


def _ids(prompt: Prompt) -> Tensor:
    return torch.tensor([symbol.token for symbol in prompt if isinstance(symbol, Word)])


def _around(words: Tensor, number: int, n_tokens: int) -> Prompt:
    first, *others = (Word(token) for token in words.tolist())
    return (first, *(Learned("prefix", number, position) for position in range(n_tokens)), *others)
