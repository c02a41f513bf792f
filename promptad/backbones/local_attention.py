"""Attention rules of the local branch: from a block's query, key and value to the branch's contribution.

All are image x head x token x part, the class token first; the result passes the block's output projection.
"""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Heads = Float[Tensor, "image head token part"]


class LocalAttention(Protocol):
    """A rule: differentiable, without state."""

    def __call__(self, query: Heads, key: Heads, value: Heads) -> Heads:
        """The local branch's contribution in a block, by head."""
        ...


def value_alone(query: Heads, key: Heads, value: Heads) -> Heads:  # noqa: ARG001
    """MaskCLIP (Zhou et al., ECCV 2022): V unchanged, without attention between tokens."""
    return value


def value_to_value(query: Heads, key: Heads, value: Heads) -> Heads:  # noqa: ARG001
    """V-V attention (CLIP Surgery; PromptAD, eq. 4): ``softmax(V V^T / sqrt(d)) V``."""
    return scaled_dot_product_attention(value, value, value)
