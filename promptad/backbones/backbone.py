"""Backbones loaded by name: any open_clip model, the embedded tiny one, or a convolutional network of timm."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock

from promptad.backbones import clip_models, cnn
from promptad.backbones.accelerator import ONLY_ON_A_CARD, settle
from promptad.backbones.backbone_names import BackboneError, BackboneName, activation_of, parse_backbone, tag_of
from promptad.backbones.checkpoint_file import CheckpointError
from promptad.backbones.clip_models import activation_in
from promptad.backbones.known_weights import Activation, file_digests, known_tag, published
from promptad.backbones.open_clip_parts import check_parts
from promptad.backbones.towers import block_count
from promptad.backbones.weights_files import Quiet, checkpoint_path

Precision = Literal["fp32", "fp16", "tf32"]
"""Of weights and activations."""
_DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "tf32": torch.float32}

RANDOM_SEED = 0
"""Seed of ``NAME:random`` weights, so that they are the same in every process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A frozen model in evaluation mode, with the facts that preprocessing and prompts need.

    ``model`` is open_clip's CLIP, ``text_tower`` the module that holds its text tower's parts (the same for most
    models); of a CNN ``model`` has an image tower alone, and ``text_tower`` and ``text_tokenizer`` are None.
    ``weights`` is the digest of what was loaded (hex); ``activation`` is the towers' activation function,
    read from the loaded modules, None for a CNN; ``mean`` and ``std`` are per RGB channel in [0, 1] units.
    """

    name: BackboneName
    weights: str
    activation: Activation | None
    model: Any
    text_tower: Any | None
    text_tokenizer: SimpleTokenizer | None
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    precision: Precision

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return torch.device(next(self.model.parameters()).device)

    @property
    def text(self) -> Any:
        """The text tower; ``BackboneError`` if there is none."""
        if self.text_tower is None:
            raise no_text(self.name)
        return self.text_tower

    @property
    def tokenizer(self) -> SimpleTokenizer:
        """The text tower's tokenizer; ``BackboneError`` if there is none."""
        if self.text_tokenizer is None:
            raise no_text(self.name)
        return self.text_tokenizer

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and activations."""
        return _DTYPES[self.precision]

    @property
    def patch_size(self) -> int:
        """Input pixels per side of a patch of the local features."""
        patch = getattr(self.model.visual, "patch_size", 32)
        return int(patch[0] if isinstance(patch, (tuple, list)) else patch)

    @property
    def logit_scale(self) -> float:
        """The raw parameter; 1/tau of the paper is its exponential."""
        return float(self.model.logit_scale)


def no_text(name: BackboneName) -> BackboneError:
    """The error for texts on a CNN."""
    return BackboneError(
        f"{name} is a CNN without text tower, and prompts need one: use a CLIP backbone, or a method without prompts"
    )


def weights_digest(name: BackboneName) -> str:
    """Digest (hex) of the weights that ``load_backbone`` would load, without building the model.

    Downloads the checkpoint to open_clip's or timm's cache if it is not there.

    Raises:
        BackboneError: the checkpoint cannot be downloaded.
    """
    if name.is_random:
        return f"random-{RANDOM_SEED}"
    return file_digests(checkpoint_path(name)).blake2b


def check_weights(name: BackboneName) -> None:
    """Check that the file of a backbone's weights holds them, without building the model; once for each file.

    A file that equals published weights byte by byte is not read again.

    Raises:
        BackboneError: the weights cannot be downloaded, are of another architecture, or are not finite.
    """
    if name.is_tiny or name.is_random:
        return
    path = checkpoint_path(name)
    if not name.is_cnn and known_tag(name.architecture, path) is not None:
        return
    found = path.stat()
    _checked(name, path.resolve(), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _checked(name: BackboneName, path: Path, _size: int, _time: int) -> None:
    try:
        with Quiet("root"):
            (cnn if name.is_cnn else clip_models).check_weights(name.network, path)
    except (CheckpointError, OSError) as error:
        raise BackboneError(f"checkpoint {path} {_unfit(error)}") from error


def _unfit(error: CheckpointError | OSError) -> str:
    return str(error) if isinstance(error, CheckpointError) else f"cannot be read: {error.strerror or error}"


def load_backbone(text: str, *, device: str | torch.device = "cpu", precision: Precision = "fp32") -> Backbone:
    """Load a backbone, frozen and in evaluation mode.

    Checkpoints are read as safetensors or with ``weights_only=True``: a file that needs arbitrary unpickling is
    refused.

    Raises:
        BackboneError: unknown name or precision, missing weights, or a text tower that is not causal.
        OpenClipPartsError: an open_clip without a private part that the towers run.
        UnsupportedTowerError: an image tower without a local branch.
    """
    check_parts()
    if precision not in _DTYPES:
        raise BackboneError(f"precision must be one of {', '.join(_DTYPES)}, but got {precision!r}")
    if precision == "tf32" and torch.device(device).type != "cuda":
        raise BackboneError(f"{ONLY_ON_A_CARD}, but the device is {device}")
    settle(torch.device(device), tf32=precision == "tf32")
    name = parse_backbone(text)
    if name.is_cnn:
        digest, model = weights_digest(name), _in_precision(name, _create_model(name), device, precision)
        return Backbone(
            name=name,
            weights=digest,
            activation=None,
            model=model,
            text_tower=None,
            text_tokenizer=None,
            precision=precision,
            **cnn.preprocessing(name.network, None if name.is_file or name.is_random else name.source),
        )
    digest, tokenizer = weights_digest(name), load_tokenizer(name)
    if name.is_tiny:
        from promptad.tiny.model import load_tiny

        model = load_tiny()[0]
    else:
        model = _create_model(name)
    block_count(model.visual)
    text_tower = model if isinstance(model, open_clip.CLIP) else model.text
    if getattr(text_tower, "attn_mask", None) is None or getattr(text_tower, "cls_emb", None) is not None:
        raise BackboneError(f"{name} must have a causal text tower without class token: choose another backbone")
    if not all(isinstance(block, ResidualAttentionBlock) for block in text_tower.transformer.resblocks):
        raise BackboneError(
            f"{name} must have plain residual attention blocks in its text tower: choose another backbone"
        )
    preprocess: dict[str, Any] = open_clip.get_model_preprocess_cfg(model)
    size = model.visual.image_size
    model = _in_precision(name, model, device, precision)
    return Backbone(
        name=name,
        weights=digest,
        activation=activation_in(model),
        model=model,
        text_tower=text_tower,
        text_tokenizer=tokenizer,
        image_size=size[0] if isinstance(size, (tuple, list)) else size,
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        precision=precision,
    )


@functools.cache
def load_tokenizer(name: BackboneName) -> SimpleTokenizer:
    """The tokenizer of a backbone, without its weights.

    Raises:
        BackboneError: it is not CLIP's own tokenizer, or there is none.
    """
    if name.is_cnn:
        raise no_text(name)
    if name.is_tiny:
        from promptad.tiny.model import tiny_tokenizer

        return tiny_tokenizer()
    try:
        tokenizer = open_clip.get_tokenizer(name.architecture)
    except Exception as error:
        raise BackboneError(f"the tokenizer of {name} cannot be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(tokenizer, SimpleTokenizer):
        raise BackboneError(f"{name} needs CLIP's own tokenizer, but has {type(tokenizer).__name__}: not supported")
    return tokenizer


def _create_model(name: BackboneName) -> Any:
    with torch.random.fork_rng(devices=[]), Quiet("root"):
        torch.manual_seed(RANDOM_SEED)
        activation, tag = activation_of(name), tag_of(name)
        checkpoint = None if name.is_random else checkpoint_path(name)
        try:
            if activation is None:
                tower = cnn.CNNTower(name.network)
                if checkpoint is not None:
                    cnn.load_weights(tower, name.network, checkpoint)
                return cnn.ImageModel(tower)
            return clip_models.clip_model(
                name.architecture,
                activation=activation,
                checkpoint=checkpoint,
                preprocessing={} if tag is None else published(name.architecture, tag),
            )
        except (CheckpointError, OSError) as error:
            if checkpoint is None:
                raise
            raise BackboneError(f"checkpoint {checkpoint} {_unfit(error)}") from error


def _in_precision(name: BackboneName, model: Any, device: str | torch.device, precision: Precision) -> Any:
    """The model in its place, frozen, in evaluation mode; ``BackboneError`` where a weight overflows in fp16."""
    model = model.to(device=device, dtype=_DTYPES[precision]).eval().requires_grad_(requires_grad=False)
    if precision == "fp16" and not all(bool(torch.isfinite(value).all()) for value in model.parameters()):
        raise BackboneError(f"{name} has weights that fp16 cannot hold: use precision fp32")
    return model
