"""What somebody adds from outside the package, at addresses that its tables can name."""

from dataclasses import dataclass

import numpy as np
import torch

from promptad.configs.method_config import MethodConfig
from promptad.datasets import Sample, Scan
from promptad.datasets.layouts.layout import folders_in, images_in
from promptad.methods.method import MethodSize, Scores, WithoutPrompts
from reports.views.views import View


def counted_view(table, _loader):
    """A view that counts the arms."""
    return View(title="Arms, counted", caption=f"{len(table.plan.arms)} arms.", absent="Nothing to draw.")


class PairsLayout:
    """Normal images in ``ok/``, of which those of an even number are the support, and bad ones in ``nok/``."""

    form = "<category>/ok/*, <category>/nok/*"

    def category_names(self, root):
        return tuple(folder.name for folder in folders_in(root) if (folder / "ok").is_dir())

    def scan(self, root, category):
        def sample(path, anomalous):
            kind = "bad" if anomalous else "good"
            return Sample(name=f"{kind}/{path.name}", path=path, anomalous=anomalous, kind=kind)

        good = [sample(path, anomalous=False) for path in images_in(root / category / "ok")]
        bad = [sample(path, anomalous=True) for path in images_in(root / category / "nok")]
        return Scan(train=tuple(good[::2]), test=(*good[1::2], *bad))


def stripe(pixels, generator):
    """A pseudo-anomaly: one white column."""
    altered, mask = pixels.copy(), np.zeros(pixels.shape[:2], dtype=np.bool_)
    mask[:, generator.integers(0, pixels.shape[1])] = True
    altered[mask] = 255
    return altered, mask


def best_f1(parts):
    """A pixel metric: the highest F1 over all thresholds, by sorting."""
    truth = np.concatenate([np.asarray(masks).ravel() for masks, _ in parts])
    score = np.concatenate([np.asarray(maps).ravel() for _, maps in parts])
    hits = np.cumsum(truth[np.argsort(-score, kind="stable")])
    return {"pixel_f1": float((2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max())}


def key_to_key(query, key, value):  # noqa: ARG001
    """A transformation's rule: attention from keys to keys."""
    return torch.nn.functional.scaled_dot_product_attention(key, key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceConfig(MethodConfig):
    """The hyperparameters of ``Distance``: how many times the distance counts."""

    weight: float = 1.0

    def domain_problems(self):
        """Values out of their domain."""
        problems = [] if self.weight > 0 else [f"weight must be above 0, but got {self.weight}"]
        return [*MethodConfig.domain_problems(self), *problems]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDistance:
    """The mean of the support's global features."""

    config: DistanceConfig
    mean: torch.Tensor

    def score(self, query):
        """How far each image's global feature is from it."""
        features = torch.stack(list(query.views["global"])).float()
        return Scores(image=self.config.weight * (features - self.mean).norm(dim=-1).cpu(), maps=None, branches={})

    def tensors(self):
        """The mean."""
        return {"mean": self.mean}


class Distance(WithoutPrompts):
    """A method for images alone."""

    def views(self, config, task, backbone):  # noqa: ARG002
        """Global features."""
        return frozenset({"global"})

    def fit(self, backbone, support, config, *, task, category, seed, on_epoch=None):  # noqa: ARG002
        """Their mean."""
        mean = torch.stack(list(support.views["global"])).float().mean(dim=0)
        return FittedDistance(config=config, mean=mean)

    def size(self, backbone, config, *, task, category):  # noqa: ARG002
        """No prompt, nothing learned by gradients."""
        return MethodSize(prompts=0, learned_parameters=0)

    def restore(self, backbone, tensors, config, *, task):  # noqa: ARG002
        """The inverse of ``tensors``."""
        return FittedDistance(config=config, mean=tensors["mean"])
