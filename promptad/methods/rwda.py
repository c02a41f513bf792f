"""RWDA (Tamura, BMVC 2023): texts with random words train a small network, which then judges images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.method_configs import RWDAConfig
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.prompts.linear_layers import Linear, feed_forward, layer_tensors, restored_layers
from promptad.prompts.prompt_ensemble import text_features
from promptad.prompts.random_words import random_word_texts, vocabulary_words
from promptad.prompts.sequences import fixed_prompts
from promptad.randomness import numpy_generator, torch_generator
from promptad.texts.suffixes import object_name

CHUNK = 256
"""Query images scored at once; bounds memory, changes no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRWDA:
    """The network, and ``shift``: from the mean support image to the mean normal text (zeros without support)."""

    backbone: Backbone
    config: RWDAConfig
    network: tuple[Linear, ...]
    shift: Float[Tensor, " embed"]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """The network's probability that a shifted global feature is an anomalous thing's."""
        parts = []
        for chunk in query.chunks(CHUNK):
            images = query.stack("global", chunk.start, chunk.stop).float()
            logits = feed_forward(self.network, normalize(images + self.shift, dim=-1))
            parts.append(logits.softmax(dim=-1)[:, 1].cpu())
        return Scores(image=torch.cat(parts), maps=None, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """Network and shift by name."""
        return {"shift": self.shift, **layer_tensors("network", self.network)}


class RWDA(WithoutPrompts):
    """The method's entry point; see ``Method``.

    The text tower encodes prompts with words of normal and anomaly and with several random words, which make a diverse
    set of both; a feed-forward network learns to separate the two by their embeddings, and scores embeddings of images,
    which share their space. No image is needed. We had only the paper's abstract; ours are:

    - Texts (``random_words.py``): one of CPE's states in "a photo of a {}.", 1 to 4 words drawn from those of CLIP's
      vocabulary, and the category's name (``names_object``). Text i of both classes has the same words.
    - The network: one hidden layer with ReLU, two classes, cross-entropy, Adam on all texts at once, on l2-normalised
      embeddings; in single precision whatever the backbone's.
    - Support images, which the few-shot row of Table 1 sees, calibrate: embeddings of images lie apart from those of
      texts, so each is moved by the difference between the mean normal text and the mean support image, and normalised
      again. The network is the same with and without them.
    - Global features alone, so images and no maps.
    """

    def views(self, config: RWDAConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The global feature."""
        return frozenset({"global"})

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: RWDAConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedRWDA:
        """Make texts, train the network on them, and compute the shift from the support images.

        Raises:
            PromptError: a text longer than the text tower's context.
        """
        # Without names there is one network for all categories.
        whose = category if config.names_object else "any object"
        name = object_name(category, config.prompt_text == "mapped_with_full_stop") if config.names_object else ""
        texts = random_word_texts(
            vocabulary_words(backbone.tokenizer),
            name,
            number=config.n_texts,
            most_words=config.random_words,
            draws=numpy_generator(seed, whose, "random words"),
        )
        prompts = fixed_prompts(backbone.tokenizer, whose, normal=texts[0], anomaly=texts[1])
        normal, anomaly = (
            normalize(text_features(backbone, side).float(), dim=-1) for side in (prompts.normal, prompts.anomaly)
        )
        network = trained_network(
            normal,
            anomaly,
            config.hidden_width,
            config.steps,
            config.step_size,
            torch_generator(seed, whose, "network"),
        )
        shift = torch.zeros_like(normal[0])
        if len(support):
            shift = normal.mean(dim=0) - support.stack("global").float().mean(dim=0)
        return FittedRWDA(backbone=backbone, config=config, network=network, shift=shift)

    def size(self, backbone: Backbone, config: RWDAConfig, *, task: Task, category: str) -> MethodSize:
        """The texts of both classes, and the network."""
        # Drawn only to be counted; the values do not matter.
        network = draw_network(
            backbone.model.visual.output_dim, config.hidden_width, torch_generator(0, category, "network")
        )
        return MethodSize(prompts=2 * config.n_texts, learned_parameters=sum(layer.size for layer in network))

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: RWDAConfig, *, task: Task
    ) -> FittedRWDA:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedRWDA(
            backbone=backbone, config=config, network=restored_layers("network", moved), shift=moved["shift"]
        )


def draw_network(width: int, hidden_width: int, generator: torch.Generator) -> tuple[Linear, Linear]:
    """Two layers from an embedding to the two classes, with initial weights."""
    return Linear.draw(width, hidden_width, generator), Linear.draw(hidden_width, 2, generator)


def trained_network(
    normal: Float[Tensor, "text embed"],
    anomaly: Float[Tensor, "text embed"],
    hidden_width: int,
    steps: int,
    step_size: float,
    generator: torch.Generator,
) -> tuple[Linear, ...]:
    """Two layers that separate embeddings of class 0 (``normal``) from those of class 1, after ``steps`` of Adam."""
    embeddings = torch.cat([normal, anomaly])
    labels = torch.cat([torch.zeros(len(normal)), torch.ones(len(anomaly))]).long().to(embeddings.device)
    drawn = draw_network(embeddings.shape[1], hidden_width, generator)
    network = tuple(layer.leaf(embeddings.device, embeddings.dtype) for layer in drawn)
    optimiser = torch.optim.Adam([part for layer in network for part in layer.parameters()], lr=step_size)
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        cross_entropy(feed_forward(network, embeddings), labels).backward()
        optimiser.step()
    return tuple(layer.frozen() for layer in network)
