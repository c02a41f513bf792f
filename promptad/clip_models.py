"""CLIPs of open_clip with the activation that their weights were trained with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from promptad.known_weights import Activation, is_torchscript, known_tag

_NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives hold beside the weights."""


def clip_model(
    architecture: str, *, activation: Activation, checkpoint: Path | None = None, preprocessing: Mapping[str, Any]
) -> Any:
    """open_clip's model with this activation in both towers, single precision; without a checkpoint random weights.

    ``preprocessing`` is what open_clip's table says of the weights' images. The model itself is asked which activation
    it has, as open_clip only warns where a config and its weights differ.

    Raises:
        Exception: the checkpoint does not hold the architecture's weights; the message names what does not fit.
    """
    settings = {
        "precision": "fp32",
        "quick_gelu": activation == "quick_gelu",
        "force_preprocess_cfg": dict(preprocessing),
    }
    if checkpoint is not None and is_torchscript(checkpoint):
        model = open_clip.create_model(architecture, **settings)
        model.load_state_dict(_archived_weights(architecture, checkpoint))
    else:
        weights = None if checkpoint is None else str(checkpoint)
        model = open_clip.create_model(architecture, pretrained=weights, **settings)
    if (found := activation_in(model)) != activation:
        raise ValueError(f"{architecture} must have {activation} in every block, but open_clip built it with {found}")
    return model


def activation_in(model: nn.Module) -> Activation | None:
    """The activation of a model's transformers, read off its modules; None if there is none, or not one alone."""
    found: set[Activation] = set()
    for module in model.modules():
        if isinstance(module, QuickGELU):
            found.add("quick_gelu")
        elif isinstance(module, nn.GELU):
            found.add("gelu")
    return found.pop() if len(found) == 1 else None


def _archived_weights(architecture: str, path: Path) -> dict[str, Tensor]:
    """The weights in a TorchScript archive of OpenAI's; loading another one would run a stranger's program."""
    if known_tag(architecture, path) is None:
        raise ValueError(f"{path} must be an archive that OpenAI published for {architecture}, but is not")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch announces the end of TorchScript
        state = torch.jit.load(str(path), map_location="cpu").state_dict()
    return {name: value.float() for name, value in state.items() if name not in _NO_WEIGHTS}
