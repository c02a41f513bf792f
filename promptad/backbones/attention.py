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
    tokens: Float[Tensor, "*batch node width"],
    mask: Float[Tensor, "*masks kept node"],
    kept: Tensor | None = None,
) -> Float[Tensor, "*batch kept width"]:
    """One residual attention block over masked sequences; a batch has one mask, or one each (sequence x 1 x ...).

    ``kept`` are the nodes whose output is needed (None: all), the rows of ``mask``; the others serve only as keys and
    values. This saves most of the last block, of which the prompt tree needs only the end tokens. They are numbers, or
    for each sequence of a batch its own as a matrix of 1 and 0 (sequence x kept x node).
    """
    attention = block.attn
    weight, bias, width = attention.in_proj_weight, attention.in_proj_bias, tokens.shape[-1]
    normalised = block.ln_1(tokens)
    if kept is None:
        query, key, value = linear(normalised, weight, bias).chunk(3, dim=-1)
    else:
        query = linear(_rows(normalised, kept), weight[:width], bias[:width])
        key, value = linear(normalised, weight[width:], bias[width:]).chunk(2, dim=-1)
        tokens = _rows(tokens, kept)
    heads = [split_heads(part, attention.num_heads) for part in (query, key, value)]
    # A batch axis lets torch choose its fused kernel.
    query, key, value = heads if tokens.dim() > 2 else [part[None] for part in heads]
    attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    attended = join_heads(attended if tokens.dim() > 2 else attended[0])
    tokens = tokens + block.ls_1(attention.out_proj(attended))
    result: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return result


def _rows(tokens: Tensor, kept: Tensor) -> Tensor:
    # A product with 1 and 0 is exact, and its gradient adds nothing up in an order of its own.
    return tokens[..., kept, :] if kept.dim() == 1 else kept @ tokens
