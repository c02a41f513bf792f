"""What somebody adds from outside the package, at addresses that its tables can name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import MethodConfig, Task
from promptad.datasets import Sample, Scan
from promptad.datasets.layouts.layout import folders_in, images_in
from promptad.features.extraction import Features
from promptad.images.preparation import Pixels
from promptad.methods.method import MethodSize, Scores, WithoutPrompts
from promptad.scoring.metrics import Parts
from reports.reading.kept import Loader
from reports.tables.table import Table
from reports.views.views import View


def counted_view(table: Table, _loader: Loader) -> View:
    """A view that counts the arms."""
    return View(title="Arms, counted", caption=f"{len(table.plan.arms)} arms.", absent="Nothing to draw.")


class PairsLayout:
    """Normal images in ``ok/``, of which those of an even number are the support, and bad ones in ``nok/``."""

    form = "<category>/ok/*, <category>/nok/*"

    def category_names(self, root: Path) -> tuple[str, ...]:
        return tuple(folder.name for folder in folders_in(root) if (folder / "ok").is_dir())

    def scan(self, root: Path, category: str) -> Scan:
        def sample(path: Path, *, anomalous: bool) -> Sample:
            kind = "bad" if anomalous else "good"
            return Sample(name=f"{kind}/{path.name}", path=path, anomalous=anomalous, kind=kind)

        good = [sample(path, anomalous=False) for path in images_in(root / category / "ok")]
        bad = [sample(path, anomalous=True) for path in images_in(root / category / "nok")]
        return Scan(train=tuple(good[::2]), test=(*good[1::2], *bad))


def stripe(pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, NDArray[np.bool_]]:
    """A pseudo-anomaly: one white column."""
    altered, mask = pixels.copy(), np.zeros(pixels.shape[:2], dtype=np.bool_)
    mask[:, generator.integers(0, pixels.shape[1])] = True
    altered[mask] = 255
    return altered, mask


def best_f1(parts: Parts) -> dict[str, float]:
    """A pixel metric: the highest F1 over all thresholds, by sorting."""
    truth = np.concatenate([np.asarray(masks).ravel() for masks, _ in parts])
    score = np.concatenate([np.asarray(maps).ravel() for _, maps in parts])
    hits = np.cumsum(truth[np.argsort(-score, kind="stable")])
    return {"pixel_f1": float((2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max())}


def key_to_key(query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG001
    """A transformation's rule: attention from keys to keys."""
    return torch.nn.functional.scaled_dot_product_attention(key, key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceConfig(MethodConfig):
    """The hyperparameters of ``Distance``: how many times the distance counts."""

    weight: float = 1.0

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        problems = [] if self.weight > 0 else [f"weight must be above 0, but got {self.weight}"]
        return [*MethodConfig.domain_problems(self), *problems]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDistance:
    """The mean of the support's global features."""

    config: DistanceConfig
    mean: torch.Tensor

    def score(self, query: Features) -> Scores:
        """How far each image's global feature is from it."""
        features = torch.stack(list(query.views["global"])).float()
        return Scores(image=self.config.weight * (features - self.mean).norm(dim=-1).cpu(), maps=None, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """The mean."""
        return {"mean": self.mean}


class Distance(WithoutPrompts):
    """A method for images alone."""

    def views(self, config: DistanceConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """Global features."""
        return frozenset({"global"})

    def fit(self, backbone: Backbone, support: Features, config: DistanceConfig, **_: object) -> FittedDistance:
        """Their mean."""
        mean = torch.stack(list(support.views["global"])).float().mean(dim=0)
        return FittedDistance(config=config, mean=mean)

    def size(self, backbone: Backbone, config: DistanceConfig, *, task: Task, category: str) -> MethodSize:
        """No prompt, nothing learned by gradients."""
        return MethodSize(prompts=0, learned_parameters=0)

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: DistanceConfig, *, task: Task
    ) -> FittedDistance:
        """The inverse of ``tensors``."""
        return FittedDistance(config=config, mean=tensors["mean"])
