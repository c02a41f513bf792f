"""PromptAD as a library: fit on a few normal images, score others, save and load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from promptad.backbones.accelerator import settle
from promptad.backbones.backbone import Backbone, load_backbone
from promptad.backbones.backbone_names import BackboneName, activation_of
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets.bit_depth import fixed_depth
from promptad.datasets.decoding import decode
from promptad.detector_file import DetectorError, DetectorFile
from promptad.features.cache import FeatureCache
from promptad.features.extraction import Features, extract_features, file_inputs
from promptad.features.support_poses import view_inputs
from promptad.images.preparation import Channels, Preprocessing, field_of_view
from promptad.methods.method import Fitting, finite_scores
from promptad.methods.promptad import FittedPromptAD, PromptAD
from promptad.prompts.padded import forget_recorded
from promptad.scoring.maps import finished_maps

__all__ = ["Detection", "Detector", "DetectorError"]


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
            DetectorError: no image, something that is not the path of a file, or a config that needs test labels or
                other objects.
            UnreadableImageError: an image that cannot be decoded.
        """
        config = config or PromptADConfig()
        paths = _existing(images, "a detector needs at least 1 normal image")
        if config.selection != "last":
            raise DetectorError(
                f"selection must be last, but is {config.selection}: a detector has no test labels to pick an epoch by"
            )
        if config.setting != "one_class":
            raise DetectorError(
                f"setting must be one_class, but is {config.setting}: a detector is fitted to one object"
            )
        _check_precision(backbone, config)
        config = _with_fixed_depth(config, paths)
        preprocessing = _preprocessing(backbone, config, "rgb")
        inputs = (
            view_inputs(paths, preprocessing, shift=backbone.patch_size // 2)
            if config.support_views == "augmented"
            else file_inputs(paths, preprocessing)
        )
        support = extract_features(backbone, inputs, preprocessing=preprocessing, views=_views(config, backbone))
        fitted = {
            task: _fitted(backbone, Fitting(support=support, config=config, task=task, category=category, seed=seed))
            for task in get_args(Task)
        }
        return cls(backbone=backbone, config=config, category=category, image=fitted["image"], pixel=fitted["pixel"])

    def score(self, images: Sequence[str | Path], *, cache: FeatureCache | None = None) -> Detection:
        """Scores and maps (``config.map_size`` pixels a side) of image files, and where in the images the maps lie.

        Raises:
            DetectorError: no image, or something that is not the path of a file.
            NotFiniteError: a feature, score or map of an image is not finite.
            UnreadableImageError: an image that cannot be decoded.
        """
        paths = _existing(images, "score needs at least 1 image")
        # Another backbone may have been loaded since, and the form of products is a process's.
        settle(self.backbone.device, tf32=self.backbone.precision == "tf32")
        preprocessing = _preprocessing(self.backbone, self.config, self.config.query_channels)
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
        """Write one safetensors file: prototypes, memories and the backbone's name and digest (not its weights).

        Raises:
            DetectorError: the folder is not there or cannot be written to.
        """
        DetectorFile(
            backbone=str(self.backbone.name),
            weights=self.backbone.weights,
            activation=self.backbone.activation or "",
            category=self.category,
            config=self.config,
            tensors={
                f"{task}/{name}": tensor.detach().cpu().contiguous().clone()
                for task, fitted in (("image", self.image), ("pixel", self.pixel))
                for name, tensor in fitted.tensors().items()
            },
        ).write(Path(path))

    @classmethod
    def load(cls, path: str | Path, *, backbone: Backbone | None = None, device: str | torch.device = "cpu") -> Self:
        """Read a file of ``save``; with ``backbone`` it is not loaded again.

        Raises:
            DetectorError: not such a file, one that lacks or changed a part, or a backbone with other weights or
                another precision than those it was fitted on.
        """
        path = Path(path)
        found = DetectorFile.read(path)
        config = found.config
        if backbone is None:
            backbone = load_backbone(found.backbone, device=device, precision=config.precision)
        if backbone.weights != found.weights:
            raise DetectorError(
                f"detector {path} was fitted on weights {found.weights} of {found.backbone}, but the backbone has "
                f"{backbone.weights}: load the same checkpoint"
            )
        # A file without this field is of a version that ran every architecture with the activation of its own config.
        before = activation_of(BackboneName(architecture=backbone.name.architecture, source="random"))
        fitted_with = (before or "") if found.activation is None else found.activation
        if fitted_with != (backbone.activation or ""):
            raise DetectorError(
                f"detector {path} was fitted on {found.backbone} with {fitted_with}, but the backbone has "
                f"{backbone.activation}: fit it again"
            )
        _check_precision(backbone, config)
        found.check_parts(path, _parts(config, backbone), dtype=backbone.dtype)
        restored = {}
        for task in get_args(Task):
            own = {name.removeprefix(f"{task}/"): t for name, t in found.tensors.items() if name.startswith(f"{task}/")}
            restored[task] = PromptAD().restore(backbone, own, config, task=task)
        return cls(
            backbone=backbone,
            config=config,
            category=found.category,
            image=restored["image"],
            pixel=restored["pixel"],
        )


def _fitted(backbone: Backbone, fitting: Fitting) -> FittedPromptAD:
    """A fit as a cell of a study has it."""
    settle(backbone.device, tf32=backbone.precision == "tf32")
    (found,) = PromptAD().fit_together(backbone, [fitting], 1)
    # A detector is fitted once: what a study would keep for the next cells goes.
    forget_recorded()
    if isinstance(found.result, Exception):
        raise found.result
    assert isinstance(found.result, FittedPromptAD)
    return found.result


def _parts(config: PromptADConfig, backbone: Backbone) -> dict[str, int | None]:
    """The tensors of a detector's file by name, with their widths where the backbone determines them."""
    return {
        f"{task}/{name}": width
        for task in get_args(Task)
        for name, width in PromptAD().parts(config, task, backbone).items()
    }


def _existing(images: Sequence[str | Path], least: str) -> list[Path]:
    """Paths of files, of which there is at least one; ``least`` begins the message where there is none."""
    if isinstance(images, (str, Path)):
        raise DetectorError(
            f"images must be a list of paths, but got the single path {images}: write [{str(images)!r}]"
        )
    if not isinstance(images, Iterable):
        raise DetectorError(f"images must be a list of paths, but got {_kind(images)}: {_PATHS_ALONE}")
    listed = list(images)
    if wrong := [
        f"{_kind(image)} as image {number}" for number, image in enumerate(listed, start=1) if not _is_path(image)
    ]:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise DetectorError(f"images must be paths of files, but got {', '.join(wrong[:3])}{more}: {_PATHS_ALONE}")
    if not listed:
        raise DetectorError(f"{least}, but got 0")
    paths = [Path(image) for image in listed]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise DetectorError(f"every image must be a file, but there is none at {', '.join(missing[:5])}")
    return paths


_PATHS_ALONE = "save pictures to files first, e.g. image.save('one.png')"


def _is_path(image: object) -> bool:
    return isinstance(image, (str, Path))


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


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
    """``config`` with the normal images' bit depth instead of ``by_maximum``, if they have 16 bits.

    Then all images of a detector have the same scale: one with larger values is an error.
    """
    if config.bit_depth != "by_maximum":
        return config
    bits = [found for path in paths if (found := decode(path).bits) is not None]
    return config.with_changes({"bit_depth": fixed_depth(max(bits))}) if bits else config
