"""From decoded images to the views that are asked for, in as few passes through the frozen tower as they need.

A view's name has up to three parts: ``rotated/<copies>/`` where it is that of turned copies of each image, ``raw/``
where it is not l2-normalised, and what the tower computes (``extraction.py`` lists it).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import TowerOutput, encode_images
from promptad.backbones.windows import encode_windows
from promptad.images.preparation import Pixels, Preprocessing, normalised
from promptad.images.rotation import rotated_copies

_ROTATED, _RAW = "rotated/", "raw/"


@dataclass(frozen=True, slots=True)
class ViewName:
    """The parts of a view's name.

    ``copies`` counts turned copies of each image (None: the image alone), ``raw`` says that nothing is normalised,
    ``kind`` is what the tower computes (``block``) and ``detail`` which (``3``); "" where there is one only.
    """

    copies: int | None
    raw: bool
    kind: str
    detail: str

    @classmethod
    def of(cls, text: str) -> Self:
        """The parts of ``text``."""
        copies = None
        if text.startswith(_ROTATED):
            number, _, text = text.removeprefix(_ROTATED).partition("/")
            copies = int(number)
        kind, _, detail = text.removeprefix(_RAW).partition("/")
        return cls(copies, text.startswith(_RAW), kind, detail)


def raw_view(view: str) -> str:
    """The name of ``view`` without l2-normalisation."""
    return f"{_RAW}{view}"


def rotated_view(view: str, copies: int) -> str:
    """The name of ``view`` of an image's turned copies (``images/rotation.py``): copy x what ``view`` has."""
    return f"{_ROTATED}{copies}/{view}"


def view_shapes(backbone: Backbone, views: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shape of each view of one image, from a pass of a black one."""
    preprocessing = Preprocessing(size=backbone.image_size, mean=backbone.mean, std=backbone.std)
    black = np.zeros((backbone.image_size, backbone.image_size, 3), dtype=np.uint8)
    return {
        view: tuple(found.shape[1:])
        for view, found in encoded_views(backbone, [black], preprocessing, views, 1).items()
    }


@torch.inference_mode()
def encoded_views(
    backbone: Backbone, pixels: Sequence[Pixels], preprocessing: Preprocessing, views: Sequence[str], batch: int
) -> dict[str, Tensor]:
    """The named views of at most ``batch`` images, image first, on the CPU; passes are of ``batch`` images always."""
    turned: dict[int, list[str]] = defaultdict(list)
    upright = []
    for view in views:
        if (copies := ViewName.of(view).copies) is None:
            upright.append(view)
        else:
            turned[copies].append(view)
    encoded = _encode(backbone, pixels, preprocessing, upright, batch) if upright else {}
    for copies, named in turned.items():
        inner = [view.removeprefix(rotated_view("", copies)) for view in named]
        images = [copy for image in pixels for copy in rotated_copies(image, copies)]
        parts = [
            _encode(backbone, images[start : start + batch], preprocessing, inner, batch)
            for start in range(0, len(images), batch)
        ]
        for view, own in zip(named, inner, strict=True):
            encoded[view] = torch.cat([part[own] for part in parts]).unflatten(0, (len(pixels), copies))
    return encoded


def _encode(
    backbone: Backbone, pixels: Sequence[Pixels], preprocessing: Preprocessing, views: Sequence[str], batch: int
) -> dict[str, Tensor]:
    images = torch.stack([normalised(image, preprocessing) for image in pixels])
    # A constant shape keeps an accelerator's kernels, and so its rounding, the same for the last batch.
    padding = images.new_zeros((batch - len(images), *images.shape[1:]))
    images = torch.cat([images, padding]).to(device=backbone.device, dtype=backbone.dtype)
    encoded = {}
    if windows := [view for view in views if ViewName.of(view).kind == "windows"]:
        found = encode_windows(backbone.model.visual, images, _numbers(windows, "windows"))
        encoded = {view: _kept(found[int(name.detail)], name) for view in windows for name in [ViewName.of(view)]}
    if whole := [view for view in views if view not in encoded]:
        encoded |= _whole_images(backbone, images, whole)
    return {view: encoded[view][: len(pixels)].cpu() for view in views}


def _whole_images(backbone: Backbone, images: Tensor, views: Sequence[str]) -> dict[str, Tensor]:
    names = {view: ViewName.of(view) for view in views}
    local: list[Any] = list(dict.fromkeys(name.detail for name in names.values() if name.kind == "local"))
    output = encode_images(
        backbone.model.visual,
        images,
        local=[*local, "linear"] if any(name.kind == "stream" for name in names.values()) else local,
        blocks=_numbers(views, "block"),
        attended=_numbers(views, "attended"),
    )
    return {view: _view(output, name) for view, name in names.items()}


def _numbers(views: Sequence[str], kind: str) -> list[int]:
    names = map(ViewName.of, views)
    return list(dict.fromkeys(int(name.detail) for name in names if name.kind == kind))


def _view(output: TowerOutput, name: ViewName) -> Tensor:
    if name.kind == "stream":
        assert output.stream is not None
        return output.stream
    if name.kind == "global":
        found = output.global_feature
    elif name.kind == "local":
        found = output.local[name.detail]
    else:
        found = (output.blocks if name.kind == "block" else output.attended)[int(name.detail)]
    return _kept(found, name)


def _kept(values: Tensor, name: ViewName) -> Tensor:
    return values if name.raw else _unit(values)


def _unit(raw: Tensor) -> Tensor:
    """``raw`` l2-normalised over its last axis; 0 stays 0, and a norm that overflows gives NaN, not 0."""
    overflown = raw.norm(dim=-1, keepdim=True).isinf()
    # 1e-12 is 0 in half precision, and 0 / 0 is no number.
    eps = max(1e-12, torch.finfo(raw.dtype).tiny)
    return normalize(raw, dim=-1, eps=eps).masked_fill(overflown, torch.nan)
