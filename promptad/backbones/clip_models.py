"""CLIPs of open_clip with the activation that their weights were trained with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from promptad.backbones.checkpoint_file import NO_WEIGHTS, CheckpointError, read_weights
from promptad.backbones.checkpoint_fit import require_fit
from promptad.backbones.known_weights import Activation, is_torchscript, known_tag


def clip_model(
    architecture: str, *, activation: Activation, checkpoint: Path | None = None, preprocessing: Mapping[str, Any]
) -> Any:
    """open_clip's model with this activation in both towers, single precision; without a checkpoint random weights.

    ``preprocessing`` has the image settings of open_clip's table. The activation is read from the model itself, because
    open_clip only warns where a config and its weights differ.

    Raises:
        CheckpointError: the checkpoint does not hold the architecture's weights.
    """
    model = open_clip.create_model(
        architecture,
        precision="fp32",
        quick_gelu=activation == "quick_gelu",
        force_preprocess_cfg=dict(preprocessing),
    )
    if checkpoint is not None:
        model.load_state_dict(_weights_for(model, architecture, checkpoint))
    if (found := activation_in(model)) != activation:
        raise ValueError(f"{architecture} must have {activation} in every block, but open_clip built it with {found}")
    return model


def check_weights(architecture: str, checkpoint: Path) -> None:
    """Check that a checkpoint holds the architecture's weights, on a model with shapes and without numbers.

    Raises:
        CheckpointError: it does not.
    """
    with torch.device("meta"):
        model = open_clip.create_model(architecture, precision="fp32", device="meta")
    _weights_for(model, architecture, checkpoint)


def activation_in(model: nn.Module) -> Activation | None:
    """The activation of a model's transformers, read from its modules; None if there is none, or several."""
    found: set[Activation] = set()
    for module in model.modules():
        if isinstance(module, QuickGELU):
            found.add("quick_gelu")
        elif isinstance(module, nn.GELU):
            found.add("gelu")
    return found.pop() if len(found) == 1 else None


def _weights_for(model: Any, architecture: str, path: Path) -> dict[str, Tensor]:
    """The weights of a file under the model's names.

    Position embeddings of another image size are interpolated, as open_clip does, for weights that it publishes under
    this name. From a user's file they are not: they would make another model than the named one.
    """
    published = known_tag(architecture, path) is not None
    weights = _archived_weights(architecture, path) if is_torchscript(path) else read_weights(path)
    weights = dict(convert_state_dict(model, weights))
    if "positional_embedding" in weights and not hasattr(model, "positional_embedding"):
        weights = dict(convert_to_custom_text_state_dict(weights))
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if own is not None and name in weights and weights[name].numel() == own.numel():
            weights[name] = weights[name].reshape(own.shape)
    if published:
        resize_pos_embed(weights, model)
        resize_text_pos_embed(weights, model)
    require_fit(model.state_dict(), weights, architecture)
    return weights


def _archived_weights(architecture: str, path: Path) -> dict[str, Tensor]:
    """The weights in a TorchScript archive of OpenAI's; loading another one would run a stranger's program."""
    if known_tag(architecture, path) is None:
        raise CheckpointError(f"must be an archive that OpenAI published for {architecture}, but is not")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch announces the end of TorchScript
        state = torch.jit.load(str(path), map_location="cpu").state_dict()
    return {name: value.float() for name, value in state.items() if name not in NO_WEIGHTS}
