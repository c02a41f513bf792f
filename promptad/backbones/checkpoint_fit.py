"""Whether weights are those of an architecture: names, shapes, and numbers that single precision can hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from promptad.backbones.checkpoint_file import CheckpointError, shown

_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_COUNTERS = "num_batches_tracked"
"""Batch counters of batch norms; files from before torch 0.4.1 lack them, and nothing here reads them."""
_TRANSFORMERS = ("text_model.", "vision_model.", "clip.text_model.", "clip.vision_model.")


def require_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], architecture: str) -> None:
    """Check that a file has exactly the weights of a model; only names and shapes of ``wanted`` are used.

    Raises:
        CheckpointError: weights that are missing, unexpected, of other shapes or types, or not finite: one line with
        the number of each, and two examples.
    """
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTERS)]
    foreign = [name for name in found if name not in wanted]
    both = [name for name in wanted if name in found]
    shapes = [
        f"{name} {_shape(found[name])} instead of {_shape(wanted[name])}"
        for name in both
        if found[name].shape != wanted[name].shape
    ]
    types = [
        f"{name} in {found[name].dtype}"
        for name in both
        if found[name].layout != torch.strided
        or (wanted[name].is_floating_point() and found[name].dtype not in _NUMBERS)
    ]
    problems = [f"lacks {shown(missing, 'weight')} of {len(wanted)}"] if missing else []
    problems += [f"has {shown(foreign, 'other')}"] if foreign else []
    problems += [f"has {shown(shapes, 'other shape')}"] if shapes else []
    problems += [f"has {shown(types, 'weight')} that are no plain numbers of half, single or double precision"] * bool(
        types
    )
    if problems:
        raise CheckpointError(
            f"must hold the weights of {architecture}, but {'; '.join(problems)}{_remedy(found, missing, shapes)}"
        )
    # A number of double precision that single precision cannot hold becomes infinite, as it would in the model.
    wrong = [name for name in both if not bool(torch.isfinite(found[name].to(wanted[name].dtype)).all())]
    if wrong:
        raise CheckpointError(
            f"has NaN or infinite values in {shown(wrong, 'weight')} of {len(wanted)}: use an undamaged checkpoint"
        )


def _remedy(found: Mapping[str, Tensor], missing: list[str], shapes: list[str]) -> str:
    if any(name.startswith(_TRANSFORMERS) for name in found):
        return ": these are the names of transformers, use the file of the same weights that open_clip or timm reads"
    if shapes and not missing:
        return ": name the architecture that the weights are of"
    return ": name the architecture that the weights are of, or write its plain state dict with torch.save"


def _shape(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "one number"
