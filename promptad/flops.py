"""Counts floating-point operations of a computation as torch runs it; a multiply-add counts as two.

``torch.utils.flop_counter`` counts products of matrices, convolutions and attention, forward and backward, inside
every composed operation (``linear``, ``einsum``, ``matmul``). It has no formula for attention on a CPU, for the fused
attention that open_clip's blocks take without gradients, for products of a matrix and a vector, and for factorisations
and triangular systems; these are added here. Steps with a few operations per number are not counted: norms,
softmax, activations, interpolation, sorting, and the optimiser's step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

_Result = TypeVar("_Result")
_Shape = Sequence[int]


def counted(computation: Callable[[], _Result]) -> tuple[_Result, int]:
    """The result of ``computation``, and its number of operations."""
    with FlopCounterMode(display=False, custom_mapping=dict(_FORMULAS)) as counter:
        result = computation()
    return result, counter.get_total_flops()


def _attention(query: _Shape, key: _Shape, value: _Shape, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(gradient: _Shape, query: _Shape, key: _Shape, value: _Shape, *_: object, **__: object) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))


def _native_attention(
    query: _Shape, _key: _Shape, _value: _Shape, width: int, heads: int, *_: object, **__: object
) -> int:
    """Self-attention with both of its projections: ``query`` is sequences x tokens x width."""
    sequences, tokens = query[:2]
    part = (sequences, heads, tokens, width // heads)
    projections = 2 * sequences * tokens * width * (3 * width + width)
    return projections + _attention(part, part, part)


def _matrix_vector(matrix: _Shape, *_: object, **__: object) -> int:
    return 2 * prod(matrix)


def _added_matrix_vector(_added: _Shape, matrix: _Shape, *_: object, **__: object) -> int:
    return 2 * prod(matrix)


def _cholesky(matrix: _Shape, *_: object, **__: object) -> int:
    """n^3 / 3."""
    return prod(matrix) * matrix[-1] // 3


def _triangular(matrix: _Shape, right: _Shape, *_: object, **__: object) -> int:
    """n^2 for each column of the right side."""
    return prod(matrix) * right[-1]


def _cholesky_solve(right: _Shape, matrix: _Shape, *_: object, **__: object) -> int:
    """Two triangular systems."""
    return 2 * _triangular(matrix, right)


_FORMULAS: Mapping[object, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    torch.ops.aten._native_multi_head_attention: _native_attention,
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.dot: _matrix_vector,
    torch.ops.aten.addmv: _added_matrix_vector,
    torch.ops.aten.linalg_cholesky_ex: _cholesky,
    torch.ops.aten.linalg_solve_triangular: _triangular,
    torch.ops.aten.cholesky_solve: _cholesky_solve,
}
"""Formulas by shapes for the operations that torch's counter does not count."""
