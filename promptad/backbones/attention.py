"""The steps inside open_clip's residual attention block that the towers and the prompt tree need."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention


def split_heads(projected: Float[Tensor, "*batch token width"], heads: int) -> Float[Tensor, "*batch head token part"]:
    """Tokens split by attention head: the last axis becomes head x part."""
    return projected.view(*projected.shape[:-1], heads, -1).transpose(-3, -2)


def join_heads(heads: Float[Tensor, "*batch head token part"]) -> Float[Tensor, "*batch token width"]:
    """The inverse of ``split_heads``."""
    return heads.transpose(-3, -2).flatten(-2)


def masked_block(
    block: Any,
    tokens: Float[Tensor, "node width"],
    mask: Float[Tensor, "node node"],
    kept: Tensor | None = None,
) -> Float[Tensor, "kept width"]:
    """One residual attention block over one masked sequence.

    ``kept`` are the nodes whose output is needed (None: all); the others serve only as keys and values. This saves most
    of the last block, of which the prompt tree needs only the end tokens.
    """
    attention = block.attn
    weight, bias, width = attention.in_proj_weight, attention.in_proj_bias, tokens.shape[-1]
    normalised = block.ln_1(tokens)
    if kept is None:
        query, key, value = linear(normalised, weight, bias).chunk(3, dim=-1)
    else:
        query = linear(normalised[kept], weight[:width], bias[:width])
        key, value = linear(normalised, weight[width:], bias[width:]).chunk(2, dim=-1)
        tokens, mask = tokens[kept], mask[kept]
    # The batch axis lets torch choose its fused kernel.
    query, key, value = (split_heads(part, attention.num_heads)[None] for part in (query, key, value))
    attended = join_heads(scaled_dot_product_attention(query, key, value, attn_mask=mask)[0])
    tokens = tokens + block.ls_1(attention.out_proj(attended))
    result: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return result
