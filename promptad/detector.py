"""PromptAD as a library: fit on a few normal images, score others, save and load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from promptad.backbone_names import BackboneName, activation_of
from promptad.backbones import Backbone, load_backbone
from promptad.bit_depth import fixed_depth
from promptad.cache import FeatureCache
from promptad.config import PromptADConfig, Task
from promptad.datasets.decoding import decode
from promptad.features import Features, extract_features, file_inputs
from promptad.images import Channels, Preprocessing, field_of_view
from promptad.maps import finished_maps
from promptad.methods.method import finite_scores
from promptad.methods.promptad import FittedPromptAD, PromptAD
from promptad.support import view_inputs

FORMAT = "promptad-detector-1"


class DetectorError(ValueError):
    """A detector that cannot be fitted, loaded or used as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Scores of a list of images: ``scores`` (image) and ``maps`` (image x size x size) in [0, 1], higher is worse.

    Scores order images of one object; they are no probabilities, and no threshold comes with them. A map covers what
    the network sees of an image: under ``resize`` ``shorter_edge``, the default, its centre square, and nothing is
    known of what lies outside; under ``squash`` and ``squash_via_1024`` the whole of it, distorted to a square.

    ``boxes`` (image x 4) are these places: left, top, right and bottom in pixels of the image file, upright as its EXIF
    orientation says. The middle of a map's pixel (row, column) lies at
    ``left + (column + 0.5) / size * (right - left)`` and ``top + (row + 0.5) / size * (bottom - top)`` of its image.
    """

    scores: NDArray[np.float32]
    maps: NDArray[np.float32]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """PromptAD fitted to one object: an image-level and a pixel-level training on the same normal images."""

    backbone: Backbone
    config: PromptADConfig
    category: str
    image: FittedPromptAD
    pixel: FittedPromptAD

    @classmethod
    def fit(
        cls,
        backbone: Backbone,
        images: Sequence[str | Path],
        *,
        category: str,
        config: PromptADConfig | None = None,
        seed: int = 0,
    ) -> Self:
        """Fit to normal images of one object.

        ``category`` is the object's name as in a prompt; the names of MVTec AD and VisA bring their own anomaly
        suffixes. ``seed`` draws the initial prompt tokens.

        Raises:
            DetectorError: no image, a path that is no file, or a config that needs test labels.
            UnreadableImageError: an image that cannot be decoded.
        """
        config = config or PromptADConfig()
        if not images:
            raise DetectorError("a detector needs at least 1 normal image, but got 0")
        if config.selection != "last":
            raise DetectorError(
                f"selection must be last, but is {config.selection}: a detector has no test labels to pick an epoch by"
            )
        _check_precision(backbone, config)
        paths = _existing(images)
        config = _with_fixed_depth(config, paths)
        preprocessing = _preprocessing(backbone, config, "rgb")
        inputs = (
            view_inputs(paths, preprocessing, shift=backbone.patch_size // 2)
            if config.support_views == "augmented"
            else file_inputs(paths, preprocessing)
        )
        support = extract_features(backbone, inputs, preprocessing=preprocessing, views=_views(config, backbone))
        fitted = {
            task: PromptAD().fit(backbone, support, config, task=task, category=category, seed=seed)
            for task in get_args(Task)
        }
        return cls(backbone=backbone, config=config, category=category, image=fitted["image"], pixel=fitted["pixel"])

    def score(self, images: Sequence[str | Path], *, cache: FeatureCache | None = None) -> Detection:
        """Scores and maps of image files, ``config.map_size`` pixels a side, and where in the images the maps lie.

        Raises:
            DetectorError: no image, or a path that is no file.
            NotFiniteError: a feature, score or map of an image that is no number.
            UnreadableImageError: an image that cannot be decoded.
        """
        if not images:
            raise DetectorError("score needs at least 1 image, but got 0")
        preprocessing = _preprocessing(self.backbone, self.config, self.config.query_channels)
        paths = _existing(images)
        query: Features = extract_features(
            self.backbone,
            file_inputs(paths, preprocessing),
            preprocessing=preprocessing,
            views=_views(self.config, self.backbone),
            cache=cache,
        )
        scores, maps = finite_scores(self.image, query).image, finite_scores(self.pixel, query).maps
        assert scores is not None
        assert maps is not None
        size, smoothing = self.config.map_size, self.config.map_smoothing
        return Detection(
            scores=scores.numpy(),
            maps=finished_maps(maps, size=size, smoothing=smoothing),
            boxes=np.array([field_of_view(path, preprocessing) for path in paths]),
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: prototypes and memories, and which backbone they belong to (not its weights)."""
        tensors = {
            f"{task}/{name}": tensor.detach().cpu().contiguous().clone()
            for task, fitted in (("image", self.image), ("pixel", self.pixel))
            for name, tensor in fitted.tensors().items()
        }
        description = {
            "format": FORMAT,
            "backbone": str(self.backbone.name),
            "weights": self.backbone.weights,
            "activation": self.backbone.activation or "",
            "category": self.category,
            "config": json.dumps(self.config.as_dict()),
        }
        save_file(tensors, path, metadata=description)

    @classmethod
    def load(cls, path: str | Path, *, backbone: Backbone | None = None, device: str | torch.device = "cpu") -> Self:
        """Read what ``save`` wrote; ``backbone`` spares loading it again.

        Raises:
            DetectorError: not such a file, or a backbone with other weights or another precision than those it was
                fitted on.
        """
        try:
            with safe_open(path, framework="pt") as file:
                description = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DetectorError(f"detector {path} cannot be read: {error}") from error
        if description.get("format") != FORMAT:
            raise DetectorError(f"detector {path} must be of format {FORMAT}, but is {description.get('format')}")
        config = PromptADConfig.from_dict(json.loads(description["config"]))
        if backbone is None:
            backbone = load_backbone(description["backbone"], device=device, precision=config.precision)
        if backbone.weights != description["weights"]:
            raise DetectorError(
                f"detector {path} was fitted on weights {description['weights']} of {description['backbone']}, but the "
                f"backbone has {backbone.weights}: load the same checkpoint"
            )
        # A file without this field is of a version that ran every architecture with the activation of its own config.
        before = activation_of(BackboneName(architecture=backbone.name.architecture, source="random"))
        fitted_with = description.get("activation", before or "")
        if fitted_with != (backbone.activation or ""):
            raise DetectorError(
                f"detector {path} was fitted on {description['backbone']} with {fitted_with}, but the backbone has "
                f"{backbone.activation}: fit it again"
            )
        _check_precision(backbone, config)
        restored = {}
        for task in get_args(Task):
            own = {name.removeprefix(f"{task}/"): value for name, value in tensors.items() if name.startswith(task)}
            restored[task] = PromptAD().restore(backbone, own, config, task=task)
        return cls(
            backbone=backbone,
            config=config,
            category=description["category"],
            image=restored["image"],
            pixel=restored["pixel"],
        )


def _existing(images: Sequence[str | Path]) -> list[Path]:
    if isinstance(images, (str, Path)):
        raise DetectorError(
            f"images must be a list of paths, but got the single path {images}: write [{str(images)!r}]"
        )
    paths = [Path(image) for image in images]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise DetectorError(f"every image must be a file, but there is none at {', '.join(missing[:5])}")
    return paths


def _views(config: PromptADConfig, backbone: Backbone) -> frozenset[str]:
    return PromptAD().views(config, "image", backbone) | PromptAD().views(config, "pixel", backbone)


def _check_precision(backbone: Backbone, config: PromptADConfig) -> None:
    if backbone.precision != config.precision:
        raise DetectorError(
            f"backbone and config must have one precision, but have {backbone.precision} and {config.precision}: "
            f"load_backbone(..., precision={config.precision!r})"
        )


def _preprocessing(backbone: Backbone, config: PromptADConfig, channels: Channels) -> Preprocessing:
    return Preprocessing(
        size=backbone.image_size,
        resize=config.resize,
        channels=channels,
        bit_depth=config.bit_depth,
        mean=backbone.mean,
        std=backbone.std,
    )


def _with_fixed_depth(config: PromptADConfig, paths: Sequence[Path]) -> PromptADConfig:
    """``config`` with the bit depth of the normal images in place of ``by_maximum``, where they have 16 bits.

    All images of a detector are scaled alike then: one with larger values is an error, not another scale.
    """
    if config.bit_depth != "by_maximum":
        return config
    bits = [found for path in paths if (found := decode(path).bits) is not None]
    return config.with_changes({"bit_depth": fixed_depth(max(bits))}) if bits else config
