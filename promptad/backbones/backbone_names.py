"""Names of backbones, and the facts known about one before its weights are loaded."""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from pathlib import Path

import open_clip
import timm

from promptad.backbones import cnn
from promptad.backbones.checkpoint_activation import (
    activation_of_file,
    activation_problem,
    checkpoint_spelling,
    said_activation,
)
from promptad.backbones.checkpoint_file import CheckpointError, container_of
from promptad.backbones.known_weights import (
    Activation,
    activation_of_architecture,
    activation_of_tag,
    is_torchscript,
    known_tag,
)
from promptad.user_error import UserError

CNN_PREFIX = "timm/"
"""Prefix of the architecture name of a convolutional network of timm."""


class BackboneError(UserError):
    """A backbone that does not exist, cannot be loaded, or has an unsupported text tower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneName:
    """A backbone as a user writes it: ``tiny``, ``NAME:TAG``, ``NAME:/path/to/checkpoint`` or ``NAME:random``.

    NAME is one of open_clip's, or ``timm/`` and a convolutional network of timm's, which has no text tower. ``said`` is
    the activation that a user writes between name and checkpoint: ``NAME:quick_gelu:/path/to/checkpoint``.
    """

    architecture: str
    source: str
    said: Activation | None = None

    @property
    def is_random(self) -> bool:
        """Whether the weights are random: then scores mean nothing."""
        return self.source == "random"

    @property
    def is_tiny(self) -> bool:
        """Whether this is the embedded tiny CLIP."""
        return self.architecture == "tiny"

    @property
    def is_cnn(self) -> bool:
        """Whether this is a convolutional network of timm: an image tower alone."""
        return self.architecture.startswith(CNN_PREFIX)

    @property
    def network(self) -> str:
        """The network's name in timm or open_clip."""
        return self.architecture.removeprefix(CNN_PREFIX)

    @property
    def is_file(self) -> bool:
        """Whether the source is a checkpoint file rather than a tag."""
        return "/" in self.source or self.source.endswith((".safetensors", ".pt", ".pth", ".bin"))

    @property
    def label(self) -> str:
        """The weights' name in rows and reports."""
        if self.is_tiny:
            return "embedded tiny CLIP"
        return "RANDOM weights" if self.is_random else Path(self.source).name if self.is_file else self.source

    def __str__(self) -> str:
        """The name as a user writes it."""
        if self.is_tiny:
            return "tiny"
        return ":".join((self.architecture, *(() if self.said is None else (self.said,)), self.source))


def parse_backbone(text: str) -> BackboneName:
    """Read a backbone's name; the path of a checkpoint may begin with ``~`` and is made absolute.

    Raises:
        BackboneError: no such architecture or tag, or a missing source or file; the message lists what exists.
    """
    architecture, _, source = text.partition(":")
    if architecture == "tiny":
        if source:
            raise BackboneError(f"tiny brings its own weights and takes no source, but got {text!r}: write tiny")
        return BackboneName(architecture="tiny", source="embedded")
    said, source = said_activation(source)
    name = BackboneName(architecture=architecture, source=source, said=said)
    tags = _cnn_tags(name) if name.is_cnn else _clip_tags(name)
    if not source:
        raise BackboneError(
            f"backbone {architecture} needs weights: write {architecture}:TAG with a TAG of {', '.join(tags)}, "
            f"{file_spelling(name)}, or {architecture}:random for random weights"
        )
    if said is not None and (name.is_cnn or not name.is_file):
        raise BackboneError(
            f"an activation is said of a CLIP's checkpoint file alone, but got {text!r}: write {architecture}:{source}"
        )
    if name.is_file:
        name = dataclasses.replace(name, source=_whole_path(architecture, source))
        if not Path(name.source).is_file():
            raise BackboneError(f"checkpoint of {architecture} missing: {source} is not a file")
        _check_container(name)
        if not name.is_cnn and (problem := activation_problem(architecture, Path(name.source), said)):
            raise BackboneError(problem)
    if not name.is_file and not name.is_random and source not in tags:
        raise BackboneError(f"{architecture} has no weights {source!r}; it has {', '.join(tags)}")
    return name


def activation_of(name: BackboneName) -> Activation | None:
    """The activation function of both towers, known before weights are loaded; None for a CNN.

    For a tag: the one with which its weights were trained. For a checkpoint: that of the tag whose weights it holds,
    else the one in its name. Otherwise, as for random weights: the architecture's own.
    """
    if name.is_cnn:
        return None
    if name.is_tiny:
        return "gelu"
    if name.is_random:
        return activation_of_architecture(name.architecture)
    if name.is_file:
        return activation_of_file(name.architecture, Path(name.source), name.said)
    return activation_of_tag(name.architecture, name.source)


def tag_of(name: BackboneName) -> str | None:
    """open_clip's tag of a CLIP's weights: the named one, or the one whose weights the checkpoint file holds.

    None for random weights, ``tiny``, CNNs, and files that equal no known tag's.
    """
    if name.is_cnn or name.is_tiny or name.is_random:
        return None
    return known_tag(name.architecture, Path(name.source)) if name.is_file else name.source


def file_spelling(name: BackboneName) -> str:
    """How to write a file with the weights of a backbone, with the activation where it may be needed."""
    if name.is_cnn:
        return f"{name.architecture}:/path/to/checkpoint"
    return checkpoint_spelling(name.architecture, activation_of(name) if name.source else None)


def _clip_tags(name: BackboneName) -> list[str]:
    known = open_clip.list_models()
    if name.network not in known:
        near = difflib.get_close_matches(name.network, known, n=3, cutoff=0.4)
        raise BackboneError(f"open_clip has no model {name.network!r}; near: {', '.join(near) or 'none'}; or use tiny")
    vision = open_clip.get_model_config(name.network)["vision_cfg"]
    if timm_tower := vision.get("timm_model_name"):
        raise BackboneError(
            f"an image tower must be open_clip's own ViT or ResNet, but {name.network} has {timm_tower} of timm: use "
            "e.g. ViT-B-16, or a CNN of timm by timm/NAME for methods without prompts"
        )
    tags: list[str] = open_clip.list_pretrained_tags_by_model(name.network)
    return tags


def _cnn_tags(name: BackboneName) -> list[str]:
    if not timm.is_model(name.network):
        near = difflib.get_close_matches(name.network, timm.list_models(), n=3, cutoff=0.4)
        raise BackboneError(
            f"timm has no model {name.network!r}; near: {', '.join(near) or 'none'}; PatchCore's is wide_resnet50_2"
        )
    if cnn.stage_indices(name.network) is None:
        raise BackboneError(
            f"a network of timm's must have stages with patches of {', '.join(map(str, cnn.REDUCTIONS))} pixels, but "
            f"{name.network} does not: use a ResNet, e.g. timm/wide_resnet50_2"
        )
    return cnn.tags(name.network)


def default_memory_layers(name: BackboneName) -> tuple[int, ...]:
    """Default memory layers: blocks 3 and 8 of 12 (supplement G), scaled with depth and rounded up.

    For ResNets the paper is silent; stages 2 and 3 are our choice (PatchCore's), as are blocks 2 and 3 of ``tiny``.
    """
    if name.is_tiny or name.is_cnn:
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
    if name.is_cnn:
        return len(cnn.REDUCTIONS)
    layers = open_clip.get_model_config(name.architecture)["vision_cfg"].get("layers", 12)
    return len(layers) if isinstance(layers, (list, tuple)) else int(layers)


def prompt_blocks(name: BackboneName) -> int:
    """Number of blocks that can have prompts in both towers: those of the shallower one."""
    if name.is_tiny:
        from promptad.tiny.model import TEXT_LAYERS

        return min(available_blocks(name), int(TEXT_LAYERS))
    text = open_clip.get_model_config(name.architecture)["text_cfg"]
    return min(available_blocks(name), int(text.get("layers", 12)))


def default_prompt_depth(name: BackboneName) -> int:
    """Default number of blocks with prompts: MaPLe's 9 of 12, scaled to the shallower tower and rounded up."""
    return math.ceil(prompt_blocks(name) * 9 / 12)


def patch_grid(name: BackboneName) -> int:
    """Patches on a side of a transformer backbone's grid."""
    if name.is_tiny:
        from promptad.tiny.model import IMAGE_SIZE, PATCH_SIZE

        return int(IMAGE_SIZE // PATCH_SIZE)
    vision = open_clip.get_model_config(name.architecture)["vision_cfg"]
    return int(vision["image_size"] // vision["patch_size"])


def is_transformer(name: BackboneName) -> bool:
    """Whether the image tower is a transformer over patch tokens; else it is a ResNet with attention pool, or a CNN."""
    if name.is_tiny:
        return True
    if name.is_cnn:
        return False
    return not isinstance(open_clip.get_model_config(name.architecture)["vision_cfg"].get("layers"), (list, tuple))


def kind_of(name: BackboneName) -> str:
    """The kind of backbone, in words for messages."""
    if name.is_cnn:
        return "a CNN without text tower"
    return "a transformer" if is_transformer(name) else "a ResNet"


def _check_container(name: BackboneName) -> None:
    """Reject a file that is no checkpoint; ``backbones.check_weights`` checks later whether its weights fit.

    A TorchScript archive is a program, whose loading can write files. Of those only archives that OpenAI published are
    opened, known by their SHA-256 in open_clip's table, which also says that they have QuickGELU.
    """
    path = Path(name.source)
    try:
        container = container_of(path)
    except CheckpointError as error:
        raise BackboneError(f"checkpoint {path} {error}") from error
    except OSError as error:
        raise BackboneError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
    if container != "zip" or not is_torchscript(path):
        return
    if name.is_cnn or known_tag(name.architecture, path) is None:
        raise BackboneError(
            f"checkpoint {path} is a TorchScript archive, a program, and none that OpenAI published for "
            f"{name.architecture}: {_archive_remedy(path)}"
        )


def _archive_remedy(path: Path) -> str:
    if owner := next((each for each in open_clip.list_models() if known_tag(each, path)), None):
        return f"it is OpenAI's of {owner}, write {owner}:{path}"
    return "write its state dict with torch.save and name that file"


def _whole_path(architecture: str, source: str) -> str:
    """The absolute path of a checkpoint: workers and later runs have another current folder."""
    try:
        return str(Path(source).expanduser().absolute())
    except RuntimeError as error:
        raise BackboneError(f"checkpoint of {architecture} missing: {source} names nobody's home folder") from error
