"""How well the tiny model finds defects without any prompt learning: prompts, visual memory and both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchvision.transforms import v2

from promptad.backbones.towers import encode_images
from promptad.tiny.model import (
    IMAGE_MEAN,
    IMAGE_SIZE,
    IMAGE_STD,
    PATCH_SIZE,
    WEIGHTS,
    build_model,
    load_tiny,
    tiny_tokenizer,
)
from promptad.tiny.render.benchmark import CATEGORIES, write_benchmark
from promptad.tiny.render.benchmark import IMAGE_SIZE as BENCHMARK_SIZE
from promptad.tiny.training.objectives import nearest_distance

SUFFIXES = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")
MEMORY_BLOCKS = (2, 3)
LOCAL: tuple[str, ...] = ("vv",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One few-shot problem: support and test images (n, size, size, 3) uint8, test masks (n, size, size) bool."""

    name: str
    support: NDArray[np.uint8]
    test: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def preprocess(images: NDArray[np.uint8]) -> Tensor:
    """Images (n, size, size, 3) as the model wants them: (n, 3, 96, 96), resized and normalised."""
    tensor = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255.0
    if tensor.shape[-1] != IMAGE_SIZE:
        tensor = F.interpolate(tensor, IMAGE_SIZE, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return (tensor - torch.tensor(IMAGE_MEAN)[:, None, None]) / torch.tensor(IMAGE_STD)[:, None, None]


def support_views(images: Tensor) -> Tensor:
    """Twenty views of each support image: rotations by 0, +-2.5, +-5 degrees, each with half-patch shifts."""
    half = PATCH_SIZE // 2
    views = []
    for angle in (0.0, -2.5, 2.5, -5.0, 5.0):
        turned = v2.functional.rotate(images, angle, interpolation=v2.InterpolationMode.BILINEAR)
        # the corners that a rotation leaves empty would be defects of the support: keep the original there
        filled = (
            v2.functional.rotate(torch.ones_like(images), angle, interpolation=v2.InterpolationMode.BILINEAR) > 0.999
        )
        turned = torch.where(filled, turned, images)
        for shift in ((0, 0), (half, 0), (0, half), (half, half)):
            padded = F.pad(turned, (half, half, half, half), mode="replicate")
            top, left = half - shift[0], half - shift[1]
            views.append(padded[..., top : top + IMAGE_SIZE, left : left + IMAGE_SIZE])
    return torch.cat(views)


@torch.no_grad()
def text_prototypes(model: open_clip.CLIP, tokenizer: SimpleTokenizer, name: str) -> tuple[Tensor, Tensor]:
    """Normalised features (c,) of "{name}" and of the mean of the five generic anomaly prompts."""
    features = model.encode_text(tokenizer([name, *(suffix.format(name) for suffix in SUFFIXES)]), normalize=True)
    return features[0], F.normalize(features[1:].mean(dim=0), dim=0)


def area_under_roc(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """AUROC in [0, 1]."""
    return float(roc_auc_score(labels, scores))


@torch.no_grad()
def probe_scores(
    model: open_clip.CLIP, tokenizer: SimpleTokenizer, probe: Probe, *, augment: bool
) -> dict[str, tuple[float, float]]:
    """(image AUROC, pixel AUROC) of "prompt", "vision" and "fused" (harmonic) scores on one probe."""
    normal, anomalous = text_prototypes(model, tokenizer, probe.name)
    support = preprocess(probe.support)
    if augment:
        support = support_views(support)
    output = encode_images(model.visual, preprocess(probe.test), local=LOCAL, blocks=MEMORY_BLOCKS)
    memory = encode_images(model.visual, support, local=LOCAL, blocks=MEMORY_BLOCKS)
    scale = model.logit_scale.exp()
    score = torch.sigmoid(scale * (F.normalize(output.global_feature, dim=-1) @ (anomalous - normal)))
    textual = torch.sigmoid(scale * (F.normalize(output.local["vv"], dim=-1) @ (anomalous - normal)))
    visual = torch.stack(
        [
            nearest_distance(
                F.normalize(output.blocks[block], dim=-1),
                F.normalize(memory.blocks[block], dim=-1).flatten(0, 1).unsqueeze(0).expand(len(probe.test), -1, -1),
            )
            for block in MEMORY_BLOCKS
        ]
    ).mean(dim=0)
    best = visual.amax(dim=1)
    found = {"prompt": (score, textual), "vision": (best, visual)}
    found["fused"] = (harmonic(score, best), harmonic(textual, visual))
    return {
        name: (
            area_under_roc(np.asarray(probe.masks.any(axis=(1, 2))), image.double().numpy()),
            area_under_roc(probe.masks.ravel(), upsampled(maps, probe.masks.shape[1]).ravel()),
        )
        for name, (image, maps) in found.items()
    }


def harmonic(first: Tensor, second: Tensor) -> Tensor:
    """1 / (1/a + 1/b), elementwise."""
    return 1.0 / (1.0 / first.clamp_min(1e-6) + 1.0 / second.clamp_min(1e-6))


def upsampled(maps: Tensor, size: int) -> NDArray[np.float64]:
    """Patch maps (n, patches) brought to the masks' size (n, size, size), bilinear."""
    side = IMAGE_SIZE // PATCH_SIZE
    grid = maps.double().view(len(maps), 1, side, side)
    large = F.interpolate(grid, size, mode="bilinear", align_corners=False)
    return np.asarray(large[:, 0].numpy(), dtype=np.float64)


def mean_scores(results: Sequence[dict[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Mean over probes of each branch's image and pixel AUROC."""
    return {
        name: (float(np.mean([r[name][0] for r in results])), float(np.mean([r[name][1] for r in results])))
        for name in results[0]
    }


def benchmark_probe(root: Path, category: str, seed: int, shots: int = 1) -> Probe:
    """A few-shot problem from the inspection set at `root`: `shots` support images drawn by `seed`, all test images."""
    folder = root / category
    train = sorted((folder / "train" / "good").glob("*.png"))
    chosen = np.random.default_rng([seed, CATEGORIES.index(category)]).choice(len(train), shots, replace=False)
    tests = sorted((folder / "test").glob("*/*.png"))

    def mask_of(path: Path) -> NDArray[np.bool_]:
        truth = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        return np.asarray(Image.open(truth)) > 0 if truth.exists() else np.zeros((BENCHMARK_SIZE,) * 2, dtype=np.bool_)

    return Probe(
        name=category,
        support=np.stack([np.asarray(Image.open(train[index])) for index in sorted(chosen)]),
        test=np.stack([np.asarray(Image.open(path)) for path in tests]),
        masks=np.stack([mask_of(path) for path in tests]),
    )


def main(arguments: list[str]) -> None:
    """Print a markdown table: 1-shot scores of the weights on the inspection set, mean of the seeds, per category."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder for the inspection set (rendered if needed)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--random-weights", action="store_true", help="the untrained model instead")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    write_benchmark(options.data)
    model, tokenizer = (
        (build_model().eval(), tiny_tokenizer()) if options.random_weights else load_tiny(options.weights)
    )
    for augment in (False, True):
        print(f"\n{'20 views of the support image' if augment else 'plain support'} (image / pixel AUROC)\n")
        print("| category | prompt | vision | fused |\n|---|---|---|---|")
        everything = []
        for category in CATEGORIES:
            results = [
                probe_scores(model, tokenizer, benchmark_probe(options.data, category, seed), augment=augment)
                for seed in options.seeds
            ]
            everything += results
            print(_row(category, mean_scores(results)), flush=True)
        print(_row("mean", mean_scores(everything)), flush=True)


def _row(name: str, scores: dict[str, tuple[float, float]]) -> str:
    return f"| {name} | " + " | ".join(f"{image:.3f} / {pixel:.3f}" for image, pixel in scores.values()) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
