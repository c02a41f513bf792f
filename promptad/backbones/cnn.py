"""Convolutional networks of timm as image towers: four stages of patches, no text tower."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from jaxtyping import Float
from torch import Tensor, nn

from promptad.backbones.checkpoint_file import read_weights
from promptad.backbones.checkpoint_fit import require_fit

REDUCTIONS = (4, 8, 16, 32)
"""Input pixels per side of a patch after stages 1 to 4."""

HUB_FILE = "model.safetensors"
"""The weights' file in a hub repository of timm's that names no other."""


class CNNTower(nn.Module):
    """A network of timm in its four stages; ``image_size`` is the side of its input in pixels."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        self.network = timm.create_model(architecture, pretrained=False, num_classes=0)
        self.indices = list(stage_indices(architecture) or ())

    def forward(self, images: Float[Tensor, "image 3 height width"]) -> list[Float[Tensor, "image width row column"]]:
        """The activations after each stage."""
        found: list[Tensor] = self.network.forward_intermediates(
            images, indices=self.indices, output_fmt="NCHW", intermediates_only=True
        )
        return found


class ImageModel(nn.Module):
    """A model with an image tower and no text tower."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual


@functools.cache
def stage_indices(architecture: str) -> tuple[int, ...] | None:
    """Places of stages 1 to 4 among the features that timm lists of a network; None if it has no such stages."""
    with torch.device("meta"):
        network = timm.create_model(architecture, pretrained=False, num_classes=0)
    described = getattr(network, "feature_info", None)
    if not hasattr(network, "forward_intermediates") or not isinstance(described, list):
        return None
    reductions = [each["reduction"] for each in described]
    if any(reductions.count(reduction) != 1 for reduction in REDUCTIONS):
        return None
    return tuple(reductions.index(reduction) for reduction in REDUCTIONS)


def tags(architecture: str) -> list[str]:
    """Tags of a network's weights on the hub."""
    named = [name.partition(".") for name in timm.list_pretrained(f"{architecture}.*")]
    return [tag for name, _, tag in named if name == architecture]


def preprocessing(architecture: str, tag: str | None) -> Mapping[str, Any]:
    """``image_size``, ``mean`` and ``std`` of a tag's weights; without a tag those of the network's first tag."""
    found = timm.get_pretrained_cfg(architecture if tag is None else f"{architecture}.{tag}")
    return {"image_size": int(found.input_size[-1]), "mean": tuple(found.mean), "std": tuple(found.std)}


def hub_checkpoint(architecture: str, tag: str) -> Path:
    """The weights' file, downloaded from the hub unless it is cached; raises the errors of the hub's client."""
    repository, file = hub_place(architecture, tag)
    return Path(hf_hub_download(repository, file))


def hub_checkpoint_is_here(architecture: str, tag: str) -> bool:
    """Whether the hub's cache holds the weights."""
    return isinstance(try_to_load_from_cache(*hub_place(architecture, tag)), str)


def load_weights(tower: CNNTower, architecture: str, path: Path) -> None:
    """Load a checkpoint into a tower; the classifier, which it does not have, is left out.

    Raises:
        CheckpointError: the file does not hold the network's weights.
    """
    tower.network.load_state_dict(_weights_for(tower, architecture, path))


def check_weights(architecture: str, path: Path) -> None:
    """Check that a checkpoint holds the network's weights, on a tower with shapes and without numbers.

    Raises:
        CheckpointError: it does not.
    """
    with torch.device("meta"):
        tower = CNNTower(architecture)
    _weights_for(tower, architecture, path)


def hub_place(architecture: str, tag: str) -> tuple[str, str]:
    """Repository and file of a tag's weights on the hub; ``LookupError`` if there are none."""
    found = timm.get_pretrained_cfg(f"{architecture}.{tag}")
    if not found.hf_hub_id:
        raise LookupError("they are in no repository of the hub")
    return found.hf_hub_id, found.hf_hub_filename or HUB_FILE


def _weights_for(tower: CNNTower, architecture: str, path: Path) -> dict[str, Tensor]:
    classifier = getattr(timm.get_pretrained_cfg(architecture), "classifier", None) or ()
    heads = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
    kept = {name: value for name, value in read_weights(path).items() if not name.startswith(heads)}
    require_fit(tower.network.state_dict(), kept, f"timm/{architecture}")
    return kept
