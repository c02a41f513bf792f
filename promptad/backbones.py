"""Backbones loaded by name: any open_clip model, the embedded tiny one, or a convolutional network of timm."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock

from promptad import cnn
from promptad.backbone_names import BackboneError, BackboneName, activation_of, file_spelling, parse_backbone, tag_of
from promptad.clip_models import activation_in, clip_model
from promptad.known_weights import Activation, file_digests, hub_has_anothers, published
from promptad.towers import block_count

RANDOM_SEED = 0
"""Seed of ``NAME:random`` weights, so that they are the same in every process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A frozen model in evaluation mode, with all that preprocessing and prompts need to know of it.

    ``model`` is open_clip's CLIP, ``text_tower`` the module that holds its text tower's parts (the same for most
    models); of a CNN ``model`` has an image tower alone, and ``text_tower`` and ``text_tokenizer`` are None.
    ``weights`` is the digest of what was loaded (hex); ``activation`` what the towers' transformers have between their
    layers, read off the loaded modules, None for a CNN; ``mean`` and ``std`` are per RGB channel in [0, 1] units.
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
    precision: Literal["fp32", "fp16"]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(next(self.model.parameters()).device)

    @property
    def text(self) -> Any:
        """The text tower; ``BackboneError`` where there is none."""
        if self.text_tower is None:
            raise no_text(self.name)
        return self.text_tower

    @property
    def tokenizer(self) -> SimpleTokenizer:
        """The text tower's tokenizer; ``BackboneError`` where there is none."""
        if self.text_tokenizer is None:
            raise no_text(self.name)
        return self.text_tokenizer

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and activations."""
        return torch.float16 if self.precision == "fp16" else torch.float32

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
    """The error of asking a CNN about texts."""
    return BackboneError(
        f"{name} is a CNN without text tower, and prompts need one: use a CLIP backbone, or a method without prompts"
    )


def weights_digest(name: BackboneName) -> str:
    """Digest (hex) of the weights that ``load_backbone`` would load, without building the model.

    Fetches the checkpoint to open_clip's or timm's cache when it is not there.

    Raises:
        BackboneError: the checkpoint cannot be fetched.
    """
    if name.is_random:
        return f"random-{RANDOM_SEED}"
    return file_digests(_checkpoint_path(name)).blake2b


def weights_are_here(name: BackboneName) -> bool:
    """Whether ``load_backbone`` needs no network: weights that are embedded, random, a file, or in a local cache."""
    if name.is_tiny or name.is_random or name.is_file:
        return True
    if name.is_cnn:
        return cnn.hub_checkpoint_is_here(name.network, name.source)
    return _in_hub_cache(name) or _in_address_cache(name)


def load_backbone(
    text: str, *, device: str | torch.device = "cpu", precision: Literal["fp32", "fp16"] = "fp32"
) -> Backbone:
    """Load a backbone, frozen and in evaluation mode.

    Checkpoints are read as safetensors or with ``weights_only=True``: a file that needs arbitrary unpickling is
    refused.

    Raises:
        BackboneError: unknown name, weights that cannot be had, or a text tower that is not causal.
        UnsupportedTowerError: an image tower without a local branch.
    """
    name = parse_backbone(text)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    if name.is_cnn:
        digest, model = weights_digest(name), _create_model(name).to(device=device, dtype=dtype).eval()
        return Backbone(
            name=name,
            weights=digest,
            activation=None,
            model=model.requires_grad_(requires_grad=False),
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
    model = model.to(device=device, dtype=dtype).eval()
    return Backbone(
        name=name,
        weights=digest,
        activation=activation_in(model),
        model=model.requires_grad_(requires_grad=False),
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
        BackboneError: it is not CLIP's own, or there is none.
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


def _checkpoint_path(name: BackboneName) -> Path:
    if name.is_tiny:
        from promptad.tiny.model import WEIGHTS

        return Path(WEIGHTS)
    if name.is_file:
        return Path(name.source)
    try:
        with _Quiet("huggingface_hub", "open_clip"):
            if name.is_cnn:
                return cnn.hub_checkpoint(name.network, name.source)
            found = open_clip.download_pretrained(_place(name))
    except Exception as error:
        raise _fetch_error(name, error) from error
    return Path(found)


def _place(name: BackboneName) -> dict[str, Any]:
    """A tag's entry of open_clip's table, without the hub, which it prefers, where the weights are not from there."""
    place = dict(published(name.architecture, name.source))
    anothers = hub_has_anothers(name.architecture, name.source)
    if anothers and not place.get("url"):
        raise LookupError("the hub's repository is another tag's, and there is no other place")
    if anothers or (_in_address_cache(name) and not _in_hub_cache(name)):
        place["hf_hub"] = ""
    return place


def _in_hub_cache(name: BackboneName) -> bool:
    """Whether the hub's cache holds a tag's weights; another tag's, that the table takes for them, do not count."""
    model, _, filename = published(name.architecture, name.source).get("hf_hub", "").rpartition("/")
    if not model or hub_has_anothers(name.architecture, name.source):
        return False
    filenames = (
        (filename,) if filename else (open_clip.constants.HF_SAFE_WEIGHTS_NAME, open_clip.constants.HF_WEIGHTS_NAME)
    )
    return any(isinstance(try_to_load_from_cache(model, each), str) for each in filenames)


def _in_address_cache(name: BackboneName) -> bool:
    """Whether open_clip's own cache holds a tag's weights; it checks their SHA-256 before it gives them."""
    url = published(name.architecture, name.source).get("url", "")
    return bool(url) and (Path.home() / ".cache" / "clip" / url.rpartition("/")[2]).is_file()


def _create_model(name: BackboneName) -> Any:
    with torch.random.fork_rng(devices=[]), _Quiet("root"):
        torch.manual_seed(RANDOM_SEED)
        activation, tag = activation_of(name), tag_of(name)
        checkpoint = None if name.is_random else _checkpoint_path(name)
        try:
            if activation is None:
                tower = cnn.CNNTower(name.network)
                if checkpoint is not None:
                    cnn.load_weights(tower, name.network, checkpoint)
                return cnn.ImageModel(tower)
            return clip_model(
                name.architecture,
                activation=activation,
                checkpoint=checkpoint,
                preprocessing={} if tag is None else published(name.architecture, tag),
            )
        except Exception as error:
            if checkpoint is None:
                raise
            raise BackboneError(
                f"checkpoint {checkpoint} must hold the weights of {name.architecture} as safetensors or a plain "
                f"state dict, but could not be loaded: {error}"
            ) from error


def _fetch_error(name: BackboneName, error: Exception) -> BackboneError:
    reason = (str(error).splitlines() or ["no reason given"])[0][:200]
    return BackboneError(
        f"weights {name.source} of {name.architecture} are not on this machine and could not be fetched "
        f"({type(error).__name__}: {reason}). Fetch them on a connected machine and pass "
        f"{file_spelling(name)}, or use the embedded backbone tiny"
    )


class _Quiet:
    """Raise the level of some loggers for a while: open_clip and the hub client print what our errors say."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(None if name == "root" else name) for name in names]
        self._levels: list[int] = []

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
