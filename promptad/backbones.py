"""CLIP backbones by name: any open_clip model with a checkpoint, the embedded tiny one, or random weights."""

from __future__ import annotations

import difflib
import functools
import hashlib
import logging
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock
from safetensors import SafetensorError, safe_open

from promptad.towers import block_count

RANDOM_SEED = 0
"""Seed of ``NAME:random`` weights, so that they are the same in every process."""


class BackboneError(ValueError):
    """A backbone that does not exist, cannot be loaded, or has an unsupported text tower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneName:
    """A backbone as a user writes it: ``tiny``, ``NAME:TAG``, ``NAME:/path/to/checkpoint`` or ``NAME:random``."""

    architecture: str
    source: str

    @property
    def is_random(self) -> bool:
        """Whether the weights are random: scores then say nothing about CLIP."""
        return self.source == "random"

    @property
    def is_tiny(self) -> bool:
        """Whether this is the embedded tiny CLIP."""
        return self.architecture == "tiny"

    @property
    def is_file(self) -> bool:
        """Whether the source is a checkpoint file rather than a tag."""
        return "/" in self.source or self.source.endswith((".safetensors", ".pt", ".pth", ".bin"))

    @property
    def label(self) -> str:
        """How rows and reports name the weights."""
        if self.is_tiny:
            return "embedded tiny CLIP"
        return "RANDOM weights" if self.is_random else Path(self.source).name if self.is_file else self.source

    def __str__(self) -> str:
        """The name as a user writes it."""
        return "tiny" if self.is_tiny else f"{self.architecture}:{self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A frozen CLIP in evaluation mode, with all that preprocessing and prompts need to know of it.

    ``model`` is open_clip's CLIP, ``text`` the module that holds its text tower's parts (the same for most models).
    ``weights`` is the digest of what was loaded (hex); ``mean`` and ``std`` are per RGB channel in [0, 1] units.
    """

    name: BackboneName
    weights: str
    model: Any
    text: Any
    tokenizer: SimpleTokenizer
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    precision: Literal["fp32", "fp16"]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.model.logit_scale.device)

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


def parse_backbone(text: str) -> BackboneName:
    """Read a backbone's name.

    Raises:
        BackboneError: no such architecture or tag, or a missing source or file; says what there is.
    """
    architecture, _, source = text.partition(":")
    if architecture == "tiny":
        if source:
            raise BackboneError(f"tiny brings its own weights and takes no source, but got {text!r}: write tiny")
        return BackboneName(architecture="tiny", source="embedded")
    known = open_clip.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.4)
        raise BackboneError(f"open_clip has no model {architecture!r}; near: {', '.join(near) or 'none'}; or use tiny")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not source:
        raise BackboneError(
            f"backbone {architecture} needs weights: write {architecture}:TAG with a TAG of {', '.join(tags)}, "
            f"{architecture}:/path/to/checkpoint, or {architecture}:random for random weights"
        )
    name = BackboneName(architecture=architecture, source=source)
    if name.is_file and not Path(source).is_file():
        raise BackboneError(f"checkpoint of {architecture} missing: {source} is not a file")
    if name.is_file:
        _check_container(name)
    if not name.is_file and not name.is_random and source not in tags:
        raise BackboneError(f"{architecture} has no weights {source!r}; it has {', '.join(tags)}")
    return name


def weights_digest(name: BackboneName) -> str:
    """Digest (hex) of the weights that ``load_backbone`` would load, without building the model.

    Fetches the checkpoint to open_clip's cache when it is not there.

    Raises:
        BackboneError: the checkpoint cannot be fetched.
    """
    if name.is_random:
        return f"random-{RANDOM_SEED}"
    digest = hashlib.blake2b(digest_size=16)
    with _checkpoint_path(name).open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def weights_are_here(name: BackboneName) -> bool:
    """Whether ``load_backbone`` needs no network: weights that are embedded, random, a file, or in a local cache."""
    if name.is_tiny or name.is_random or name.is_file:
        return True
    found = open_clip.get_pretrained_cfg(name.architecture, name.source)
    model, _, filename = found.get("hf_hub", "").rpartition("/")
    filenames = (
        (filename,) if filename else (open_clip.constants.HF_SAFE_WEIGHTS_NAME, open_clip.constants.HF_WEIGHTS_NAME)
    )
    if model and any(isinstance(try_to_load_from_cache(model, each), str) for each in filenames):
        return True
    url = found.get("url", "")
    return bool(url) and (Path.home() / ".cache" / "clip" / url.rpartition("/")[2]).is_file()


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
    model = model.to(device=device, dtype=torch.float16 if precision == "fp16" else torch.float32).eval()
    return Backbone(
        name=name,
        weights=digest,
        model=model.requires_grad_(requires_grad=False),
        text=text_tower,
        tokenizer=tokenizer,
        image_size=size[0] if isinstance(size, (tuple, list)) else size,
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        precision=precision,
    )


@functools.cache
def load_tokenizer(name: BackboneName) -> SimpleTokenizer:
    """The tokenizer of a backbone, without its weights.

    Raises:
        BackboneError: it is not CLIP's own.
    """
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


def default_memory_layers(name: BackboneName) -> tuple[int, ...]:
    """Memory layers where the user names none: blocks 3 and 8 of 12 (section G), scaled with depth and rounded up.

    For ResNets the paper is silent; stages 2 and 3 are our choice (PatchCore's), as are blocks 2 and 3 of ``tiny``.
    """
    if name.is_tiny:
        return (2, 3)
    layers = open_clip.get_model_config(name.architecture)["vision_cfg"].get("layers", 12)
    if isinstance(layers, (list, tuple)):
        return (2, 3)
    return (math.ceil(layers * 3 / 12), math.ceil(layers * 8 / 12))


def available_blocks(name: BackboneName) -> int:
    """Number of blocks (ResNet: stages) that memory layers may name."""
    if name.is_tiny:
        from promptad.tiny.model import VISION_LAYERS

        return int(VISION_LAYERS)
    layers = open_clip.get_model_config(name.architecture)["vision_cfg"].get("layers", 12)
    return len(layers) if isinstance(layers, (list, tuple)) else int(layers)


def prompt_blocks(name: BackboneName) -> int:
    """Most blocks that can have prompts in both towers: those of the shallower one."""
    if name.is_tiny:
        from promptad.tiny.model import TEXT_LAYERS

        return min(available_blocks(name), int(TEXT_LAYERS))
    text = open_clip.get_model_config(name.architecture)["text_cfg"]
    return min(available_blocks(name), int(text.get("layers", 12)))


def default_prompt_depth(name: BackboneName) -> int:
    """How many blocks have prompts where the user names no number: MaPLe's 9 of 12, scaled and rounded up."""
    return math.ceil(prompt_blocks(name) * 9 / 12)


def patch_grid(name: BackboneName) -> int:
    """Patches on a side of a transformer backbone's grid."""
    if name.is_tiny:
        from promptad.tiny.model import IMAGE_SIZE, PATCH_SIZE

        return int(IMAGE_SIZE // PATCH_SIZE)
    vision = open_clip.get_model_config(name.architecture)["vision_cfg"]
    return int(vision["image_size"] // vision["patch_size"])


def is_resnet(name: BackboneName) -> bool:
    """Whether the image tower is a ResNet with attention pool."""
    if name.is_tiny:
        return False
    return isinstance(open_clip.get_model_config(name.architecture)["vision_cfg"].get("layers"), (list, tuple))


def _check_container(name: BackboneName) -> None:
    """Find a file that is no checkpoint before anything starts; whether its weights fit is found when it is loaded."""
    path = Path(name.source)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                return
        readable = zipfile.is_zipfile(path)
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"checkpoint {path} must be a whole safetensors file, but is not: {error}") from error
    if not readable:
        raise BackboneError(f"checkpoint {path} must be safetensors or what torch.save writes, but is neither")


def _checkpoint_path(name: BackboneName) -> Path:
    if name.is_tiny:
        from promptad.tiny.model import WEIGHTS

        return Path(WEIGHTS)
    if name.is_file:
        return Path(name.source)
    try:
        with _Quiet("huggingface_hub", "open_clip"):
            found = open_clip.download_pretrained(open_clip.get_pretrained_cfg(name.architecture, name.source))
    except Exception as error:
        raise _fetch_error(name, error) from error
    return Path(found)


def _create_model(name: BackboneName) -> Any:
    with torch.random.fork_rng(devices=[]), _Quiet("root"):
        torch.manual_seed(RANDOM_SEED)
        if name.is_random:
            return open_clip.create_model(name.architecture, precision="fp32")
        try:
            return open_clip.create_model(name.architecture, pretrained=name.source, precision="fp32")
        except Exception as error:
            if name.is_file:
                raise BackboneError(
                    f"checkpoint {name.source} must hold the weights of {name.architecture} as safetensors or a plain "
                    f"state dict, but could not be loaded: {error}"
                ) from error
            raise _fetch_error(name, error) from error


def _fetch_error(name: BackboneName, error: Exception) -> BackboneError:
    reason = (str(error).splitlines() or ["no reason given"])[0][:200]
    return BackboneError(
        f"weights {name.source} of {name.architecture} are not on this machine and could not be fetched "
        f"({type(error).__name__}: {reason}). Fetch them on a connected machine and pass "
        f"{name.architecture}:/path/to/checkpoint, or use the embedded backbone tiny"
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
