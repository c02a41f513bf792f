"""Many prompts as one sequence: prompts with equal beginnings form a tree and share these tokens.

CLIP's text tower is causal: a token's activations depend only on the tokens before it. A trie of all prompts,
flattened with its ancestor mask as attention mask and depth as position, therefore gives each prompt's end token
exactly the feature that the prompt has on its own, at the cost of the trie's nodes instead of prompts x context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.backbones.attention import masked_block
from promptad.prompts.sequences import Learned, Prompt, Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTree:
    """A flattened trie of prompts; the start of text is node 0, and a parent stands before its children.

    ``tokens`` are vocabulary ids (0 at learned nodes). ``learned_nodes`` are the nodes whose embedding is row
    ``learned_rows`` of the learnable tokens, flattened as prefixes first and suffixes behind. ``mask`` is additive:
    0 on a node and its ancestors, -inf elsewhere. ``ends[i]`` is the node of prompt i's end token.
    """

    tokens: Int[Tensor, " node"]
    depths: Int[Tensor, " node"]
    learned_nodes: Int[Tensor, " learned"]
    learned_rows: Int[Tensor, " learned"]
    mask: Float[Tensor, "node node"]
    ends: Int[Tensor, " prompt"]

    def is_like(self, other: PromptTree) -> bool:
        """Whether both have the same words and learned tokens at the same places; learned values may differ."""
        mine, others = (
            (tree.tokens, tree.depths, tree.learned_nodes, tree.learned_rows, tree.mask, tree.ends)
            for tree in (self, other)
        )
        return all(torch.equal(one, another) for one, another in zip(mine, others, strict=True))


def build_tree(
    prompts: Sequence[Prompt],
    *,
    prefix_shape: tuple[int, int],
    suffix_shape: tuple[int, int],
    device: torch.device,
    dtype: torch.dtype,
) -> PromptTree:
    """Flatten ``prompts`` into one tree; shapes are (number, tokens each) of the learnable prefixes and suffixes."""
    children: dict[tuple[int, Symbol], int] = {}
    symbols: list[Symbol] = []
    parents: list[int] = []
    ends: list[int] = []
    for prompt in prompts:
        node = -1
        for symbol in prompt:
            following = children.get((node, symbol))
            if following is None:
                following = children[node, symbol] = len(symbols)
                symbols.append(symbol)
                parents.append(node)
            node = following
        ends.append(node)
    depths: list[int] = []
    sees = torch.eye(len(symbols), dtype=torch.bool)
    for node, parent in enumerate(parents):
        depths.append(0 if parent < 0 else depths[parent] + 1)
        if parent >= 0:
            sees[node] |= sees[parent]
    learned = [(node, symbol) for node, symbol in enumerate(symbols) if isinstance(symbol, Learned)]
    first_suffix_row = prefix_shape[0] * prefix_shape[1]

    def row(symbol: Learned) -> int:
        if symbol.role == "prefix":
            return symbol.index * prefix_shape[1] + symbol.position
        return first_suffix_row + symbol.index * suffix_shape[1] + symbol.position

    mask = torch.zeros(sees.shape, dtype=dtype).masked_fill_(~sees, float("-inf"))
    return PromptTree(
        tokens=torch.tensor([0 if isinstance(s, Learned) else s.token for s in symbols], device=device),
        depths=torch.tensor(depths, device=device),
        learned_nodes=torch.tensor([node for node, _ in learned], dtype=torch.long, device=device),
        learned_rows=torch.tensor([row(symbol) for _, symbol in learned], dtype=torch.long, device=device),
        mask=mask.to(device),
        ends=torch.tensor(ends, device=device),
    )


def encode_tree(
    text: Any,
    tree: PromptTree,
    prefixes: Float[Tensor, "*batch prefix token width"],
    suffixes: Float[Tensor, "*batch suffix token width"],
    deeper: Sequence[Float[Tensor, "*batch prefix token width"]] = (),
) -> Float[Tensor, "*batch prompt embed"]:
    """Text features of the tree's prompts, not normalised, differentiable in the learnable tokens.

    A leading axis of the learnable tokens stands for trees of one form: all pass the tower together.

    ``text`` is an open_clip text tower (or the CLIP that holds its parts). Equal to encoding each prompt on its own
    up to rounding. ``deeper`` are deep prompts: its first entry stands in the prefixes' place at the input of the
    second block (in a tree whose learned nodes are prefixes only), the next one at that of the third, and so on.
    """
    embedded = text.token_embedding(tree.tokens)
    learned = torch.cat([prefixes.flatten(-3, -2), suffixes.flatten(-3, -2)], dim=-2)[..., tree.learned_rows, :]
    embedded = embedded.expand(*learned.shape[:-2], *embedded.shape)
    embedded = embedded.index_copy(-2, tree.learned_nodes, learned.to(embedded.dtype))
    embedded = embedded + text.positional_embedding[tree.depths]
    blocks = text.transformer.resblocks
    for number, block in enumerate(blocks[:-1]):
        embedded = masked_block(block, embedded, tree.mask)
        if number < len(deeper):
            replacing = deeper[number].flatten(-3, -2)[..., tree.learned_rows, :]
            embedded = embedded.index_copy(-2, tree.learned_nodes, replacing.to(embedded.dtype))
    return project(text, text.ln_final(masked_block(blocks[-1], embedded, tree.mask[tree.ends], tree.ends)))


def project(text: Any, features: Tensor) -> Tensor:
    """Features behind a text tower's projection, if it has one."""
    projection = text.text_projection
    if isinstance(projection, torch.nn.Linear):
        projected: Tensor = projection(features)
        return projected
    return features if projection is None else features @ projection
