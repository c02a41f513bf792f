"""CLIPs small enough for unit tests, images to feed them, and features to fit on.

Importing this module registers ``small-vit`` (32 pixels, 4 x 4 patches, 3 blocks) and ``small-resnet`` (64 pixels,
grids 16, 8, 4 and 2) with open_clip, so that they are backbones by name like any other.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import torch
from helpers.places import FIXTURES
from numpy.typing import NDArray
from PIL import Image

from promptad.backbones.backbone import Backbone
from promptad.backbones.backbone_names import BackboneName
from promptad.features.extraction import Features, ImageInput, extract_features
from promptad.images.preparation import CLIP_MEAN, CLIP_STD, Preprocessing

torch.set_num_threads(1)
open_clip.add_model_config(FIXTURES / "models")

CONTEXT_LENGTH = 32
IMAGE_SIZE = {"small-vit": 32, "small-resnet": 64}


def small_model(architecture: str = "small-vit", seed: int = 0) -> Any:
    """An untrained CLIP whose every parameter and buffer matters (open_clip starts many at zero or one)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.create_model(architecture)
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "running_mean")):
                value.normal_(std=0.1)
            elif name.endswith("weight") and value.ndim == 1:
                value.normal_(mean=1.0, std=0.2)
            elif name.startswith("visual.transformer") and value.ndim == 2:
                value.normal_(std=1.5 / math.sqrt(value.shape[1]))
        model.logit_scale.data.fill_(math.log(20.0))
    return model.eval().requires_grad_(requires_grad=False)


@functools.cache
def small_backbone(
    architecture: str = "small-vit", seed: int = 0, precision: Literal["fp32", "fp16"] = "fp32"
) -> Backbone:
    """``small_model`` as a backbone; shared between tests, so never change its weights."""
    model = small_model(architecture, seed).to(torch.float16 if precision == "fp16" else torch.float32)
    return Backbone(
        name=BackboneName(architecture=architecture, source="random"),
        weights=f"seed-{seed}",
        activation="gelu",
        model=model,
        text_tower=model,
        text_tokenizer=open_clip.get_tokenizer(architecture),
        image_size=IMAGE_SIZE[architecture],
        mean=CLIP_MEAN,
        std=CLIP_STD,
        precision=precision,
    )


def pixels(seed: int, size: int = 32) -> NDArray[np.uint8]:
    """A smooth random image with some noise, uint8 (size, size, 3)."""
    draws = np.random.default_rng(seed)
    coarse = Image.fromarray(draws.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((size, size))
    noise = draws.integers(-20, 21, (size, size, 3))
    return np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)


def image_files(folder: Path, seeds: Iterable[int], size: tuple[int, int] = (48, 40)) -> list[Path]:
    """PNG files of random images; width and height differ, so that the resizing protocols do."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        paths.append(folder / f"{seed:03d}.png")
        Image.fromarray(pixels(seed, max(size))[: size[1], : size[0]]).save(paths[-1])
    return paths


def small_features(backbone: Backbone, seeds: Iterable[int], views: Sequence[str]) -> Features:
    """Features of random images, one per seed."""
    size = backbone.image_size
    inputs = [
        ImageInput(
            identity=f"pixels {seed}",
            pixels=functools.partial(pixels, seed, size),
            enlarged=lambda factor, seed=seed: pixels(seed, factor * size),  # type: ignore[misc]
        )
        for seed in seeds
    ]
    return extract_features(backbone, inputs, preprocessing=Preprocessing(size=size), views=views)
