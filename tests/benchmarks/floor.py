"""The least that a cell can cost: encoding its images once, and the prompt tree's matrix products per epoch.

Only matrix products count, at the rate at which this machine multiplies matrices of the shapes in question: no
normalisation, no softmax, no activation, no copying, no Python.
"""

from __future__ import annotations

from typing import Any

import machine
from torch import nn

from promptad.prompts.prompt_tree import PromptTree


def encode_floor(visual: nn.Module, tokens: int) -> float:
    """Seconds for one image's forward products: every linear layer on every token, and the two attentions."""
    seconds = 0.0
    for block in visual.transformer.resblocks:
        seconds += _block(block, tokens)
        # The local branch: V V^T and its product with V, and the output projection once more.
        width = block.attn.embed_dim
        seconds += _product(tokens, width, width) + 2 * _attention(block, tokens)
    patch = visual.conv1
    seconds += _product(tokens, patch.in_channels * patch.kernel_size[0] * patch.kernel_size[1], patch.out_channels)
    return seconds


def step_floor(text: Any, tree: PromptTree) -> float:
    """Seconds for one training step: forward, and as many products again for the gradient of the activations.

    Weights are frozen, so the backward pass needs no weight gradients: twice the forward products in all.
    """
    nodes = len(tree.tokens)
    return 2 * sum(_block(block, nodes) for block in text.transformer.resblocks)


def _block(block: Any, tokens: int) -> float:
    width, hidden = block.attn.embed_dim, block.mlp.c_fc.out_features
    return (
        _product(tokens, width, 3 * width)
        + _product(tokens, width, width)
        + _product(tokens, width, hidden)
        + _product(tokens, hidden, width)
        + 2 * _attention(block, tokens)
    )


def _attention(block: Any, tokens: int) -> float:
    """One of attention's two products, over all heads."""
    heads = block.attn.num_heads
    return heads * _product(tokens, block.attn.embed_dim // heads, tokens)


_RATES: dict[tuple[int, int, int], float] = {}


def _product(rows: int, inner: int, columns: int) -> float:
    shape = (rows, inner, columns)
    if shape not in _RATES:
        _RATES[shape] = machine.matmul_rate(*shape)
    return 2 * rows * inner * columns / _RATES[shape]
