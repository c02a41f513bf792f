"""The plain way: what the released code does, written straightforwardly, as the yardstick of the benchmarks.

Each epoch encodes the support images again, encodes every prompt as its own sequence of the full context length, takes
one step, and then encodes and scores every test image and computes the metric. The pieces that are equal in both ways
(tower, losses, scores) are the project's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import encode_images, grid_side
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.images.preparation import Preprocessing, load_image
from promptad.methods.promptad import memory_views
from promptad.prompts.descent import COSINE_FLOOR
from promptad.prompts.losses import alignment_loss, contrastive_loss, margin_loss, prototype
from promptad.prompts.prompt_learning import LearnableTokens, inverse_temperature, prompts_for
from promptad.prompts.sequences import Prompt, Word
from promptad.scoring.anomaly_scores import harmonic_fusion, prompt_score, resize_maps, visual_map
from promptad.scoring.maps import finished_maps

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class PlainProblem:
    """One cell: files, labels (image task) or masks (pixel task), and what to train."""

    backbone: Backbone
    config: PromptADConfig
    task: Task
    category: str
    seed: int
    support: list[Path]
    query: list[Path]
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.bool_]
    preprocessing: Preprocessing


class PlainTraining:
    """The released procedure on one problem; ``epoch`` is one epoch with its evaluation."""

    def __init__(self, problem: PlainProblem, planned_epochs: int) -> None:
        backbone, config = problem.backbone, problem.config
        self.problem = problem
        self.prompts = prompts_for(backbone.tokenizer, config, problem.task, problem.category)
        width = backbone.text.token_embedding.weight.shape[1]
        tokens = LearnableTokens.draw(config, problem.task, width=width, category=problem.category, seed=problem.seed)
        self.prefixes = tokens.prefixes.clone().requires_grad_()
        self.suffixes = tokens.suffixes.clone().requires_grad_()
        self.optimiser = torch.optim.SGD(
            [self.prefixes, self.suffixes],
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, planned_epochs, eta_min=COSINE_FLOOR)
        with torch.no_grad():
            views = self.encode(problem.support)
        self.memories = [views[view].flatten(0, 1) for view in memory_views(config, backbone)]

    def epoch(self) -> tuple[NDArray[np.float64], float]:
        """One step and one evaluation: image scores (image task) or map maxima (pixel task), and the AUROC."""
        self.step()
        return self.evaluate()

    def step(self) -> None:
        problem, config = self.problem, self.problem.config
        with torch.no_grad():
            views = self.encode(problem.support)
        z = views["global"] if problem.task == "image" else views["local"]
        normal, manual, learnable = self.encode_prompts()
        anomaly = torch.cat([manual, learnable])
        scale = inverse_temperature(problem.backbone, config)
        loss = contrastive_loss(z, normal, anomaly, scale)
        loss = loss + margin_loss(z, normal, anomaly, config.margin_distance)
        loss = loss + config.align_weight * alignment_loss(manual, learnable, config.alignment)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()

    @torch.no_grad()
    def evaluate(self) -> tuple[NDArray[np.float64], float]:
        problem, config = self.problem, self.problem.config
        normal, manual, learnable = self.encode_prompts()
        prototypes = prototype(normal), prototype(torch.cat([manual, learnable]))
        scale = inverse_temperature(problem.backbone, config)
        scores: list[Tensor] = []
        maps: list[NDArray[np.float32]] = []
        for start in range(0, len(problem.query), BATCH):
            views = self.encode(problem.query[start : start + BATCH])
            visual = visual_map([views[view] for view in memory_views(config, problem.backbone)], self.memories)
            if problem.task == "image":
                text = prompt_score(views["global"], *prototypes, scale)
                scores.append(harmonic_fusion(text, resize_maps(visual, config.map_size).flatten(1).amax(dim=1)))
                continue
            textual = prompt_score(views["local"], *prototypes, scale)
            side = grid_side(textual.shape[1])
            finest = max(side, visual.shape[-1])
            layers = (resize_maps(visual, finest), resize_maps(textual.unflatten(-1, (side, side)), finest))
            maps.append(finished_maps(harmonic_fusion(*layers), size=config.map_size, smoothing=config.map_smoothing))
        if problem.task == "image":
            values = torch.cat(scores).double().numpy()
            return values, float(roc_auc_score(problem.anomalous, values))
        stacked = np.concatenate(maps)
        return stacked.max(axis=(1, 2)).astype(float), float(roc_auc_score(problem.masks.ravel(), stacked.ravel()))

    def encode(self, paths: list[Path]) -> dict[str, Tensor]:
        """Every view of the images, decoded from disk."""
        backbone, config = self.problem.backbone, self.problem.config
        images = torch.stack([load_image(path, self.problem.preprocessing) for path in paths])
        memory = memory_views(config, backbone)
        numbers = [int(view.partition("/")[2]) for view in memory]
        output = encode_images(
            backbone.model.visual, images, local=(config.transformation,), blocks=numbers, attended=numbers
        )
        views = {
            view: (output.blocks if view.startswith("block") else output.attended)[int(view.partition("/")[2])]
            for view in memory
        }
        views |= {"global": output.global_feature, "local": output.local[config.transformation]}
        return {name: normalize(view, dim=-1) for name, view in views.items()}

    def encode_prompts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Every prompt as its own padded sequence."""
        text, length = self.problem.backbone.text, self.problem.backbone.tokenizer.context_length
        embedded = torch.stack([self._embed(prompt, length) for prompt in self.prompts.all])
        states = text.transformer(embedded + text.positional_embedding[:length], attn_mask=text.attn_mask)
        ends = torch.tensor([len(prompt) - 1 for prompt in self.prompts.all])
        features = text.ln_final(states)[torch.arange(len(ends)), ends] @ text.text_projection
        sizes = [len(self.prompts.normal), len(self.prompts.manual), len(self.prompts.learnable)]
        normal, manual, learnable = features.split(sizes)
        return normal, manual, learnable

    def _embed(self, prompt: Prompt, length: int) -> Tensor:
        table = self.problem.backbone.text.token_embedding.weight
        rows = []
        for symbol in prompt:
            if isinstance(symbol, Word):
                rows.append(table[symbol.token])
            else:
                learned = self.prefixes if symbol.role == "prefix" else self.suffixes
                rows.append(learned[symbol.index, symbol.position])
        rows += [table[0]] * (length - len(rows))
        return torch.stack(rows)
