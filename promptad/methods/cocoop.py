"""CoCoOp (Zhou et al., CVPR 2022): CoOp's context, moved by an offset that a small network computes from each image."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import grid_side
from promptad.configs.method_config import Task
from promptad.configs.method_configs import CoCoOpConfig
from promptad.features.extraction import Features
from promptad.methods.method import Fitted, MethodSize, Scores
from promptad.prompts.class_prompts import ClassPrompts, draw_context
from promptad.prompts.descent import Descent
from promptad.prompts.linear_layers import Linear, feed_forward, layer_tensors, restored_layers
from promptad.prompts.losses import contrastive_loss
from promptad.prompts.prompt_learning import inverse_temperature
from promptad.prompts.prompt_tree import PromptTree, encode_tree
from promptad.randomness import torch_generator
from promptad.scoring.anomaly_scores import prompt_score

CHUNK = 16
"""Images whose prompts are encoded together; bounds memory, changes no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCoCoOp:
    """The learned context and meta-network, and the prompts around them."""

    backbone: Backbone
    config: CoCoOpConfig
    task: Task
    prompts: ClassPrompts
    context: Float[Tensor, "token width"]
    network: tuple[Linear, ...]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """The probability of each image's own anomaly prompt: of its global feature, or of each local one."""
        tree = functools.cache(functools.partial(context_tree, self.backbone, self.prompts, len(self.context)))
        scored = torch.cat([self._score_chunk(query, chunk, tree) for chunk in query.chunks(CHUNK)])
        if self.task == "image":
            return Scores(image=scored, maps=None, branches={})
        side = grid_side(scored.shape[1])
        maps = scored.unflatten(-1, (side, side))
        return Scores(image=None, maps=maps, branches={"textual": maps})

    def tensors(self) -> dict[str, Tensor]:
        """Context, meta-network and the ids of the prompts by name."""
        return {"context": self.context, **layer_tensors("network", self.network), **self.prompts.tensors()}

    def _score_chunk(self, query: Features, chunk: slice, tree: Callable[[int], PromptTree]) -> Tensor:
        images = query.stack("global", chunk.start, chunk.stop)
        features = image_prompts(self.backbone, tree(len(images)), self.context, self.network, images)
        z = images if self.task == "image" else query.stack(_view(self.config, self.task), chunk.start, chunk.stop)
        scale = inverse_temperature(self.backbone, self.config)
        scores = [
            prompt_score(own, normalize(normal, dim=-1), normalize(anomaly, dim=-1), scale)
            for own, normal, anomaly in zip(z, *features, strict=True)
        ]
        return torch.stack(scores).float().cpu()


class CoCoOp:
    """The method's entry point; see ``Method``.

    The context of an image with global feature x is [v_1 + h(x), ..., v_E + h(x)] (section 3.2): v are learnable
    tokens, h is a meta-network of two linear layers with ReLU between, its hidden layer a sixteenth as wide as x. As
    prompts differ by image, the text tower runs for every query image. Ours:

    - Context, classes and loss are those of our CoOp form (``sc=false``; ``prompts/sequences.py``): ``normal {object}``
      and ``abnormal {object}``, learned with eq. 12 of PromptAD on normal images alone, each against its own prompts.
      With a meta-network of zeros the scores are CoOp's.
    - x is l2-normalised, and h's initial weights are drawn as torch's linear layers are.
    - Optimiser and number of steps are PromptAD's, on all support images at once.
    - For the pixel task an image's prompts, made from its global feature, score its local features.
    """

    def views(self, config: CoCoOpConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The global feature, and for maps the local branch."""
        return frozenset({"global", _view(config, task)})

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: CoCoOpConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedCoCoOp:
        """Learn context and meta-network on the support images for ``config.epochs`` epochs."""
        prompts = ClassPrompts.of(
            backbone.tokenizer, category, n_tokens=config.n_normal_tokens, prompt_text=config.prompt_text
        )
        context = draw_context(
            backbone.text,
            n_tokens=config.n_normal_tokens,
            deviation=config.initial_deviation,
            category=category,
            seed=seed,
        )
        context = context.to(backbone.device, backbone.dtype).requires_grad_()
        images, z = support.stack("global"), support.stack(_view(config, task))
        layers = draw_meta_network(
            images.shape[-1], context.shape[-1], config.reduction, torch_generator(seed, category, "meta-network")
        )
        network = tuple(layer.leaf(backbone.device, backbone.dtype) for layer in layers)
        descent = Descent(config, [context, *(part for layer in network for part in layer.parameters())])

        def fitted() -> FittedCoCoOp:
            return FittedCoCoOp(
                backbone=backbone,
                config=config,
                task=task,
                prompts=prompts,
                context=context.detach().clone(),
                network=tuple(layer.frozen() for layer in network),
            )

        tree = functools.cache(functools.partial(context_tree, backbone, prompts, len(context)))
        for epoch in range(1, config.epochs + 1):
            descent.step(cocoop_losses(backbone, tree, config, context, network, images, z))
            if on_epoch is not None:
                on_epoch(epoch, fitted())
        return fitted()

    def check_prompts(self, tokenizer: SimpleTokenizer, config: CoCoOpConfig, task: Task, category: str) -> None:
        """Both classes behind the context."""
        ClassPrompts.of(tokenizer, category, n_tokens=config.context_length, prompt_text=config.prompt_text)

    def size(self, backbone: Backbone, config: CoCoOpConfig, *, task: Task, category: str) -> MethodSize:
        """Two prompts of each image's own; context and meta-network."""
        width = backbone.text.token_embedding.weight.shape[1]
        # Drawn only to be counted; the values do not matter.
        layers = draw_meta_network(
            backbone.model.visual.output_dim, width, config.reduction, torch_generator(0, category, "meta-network")
        )
        return MethodSize(
            prompts=2, learned_parameters=config.n_normal_tokens * width + sum(layer.size for layer in layers)
        )

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: CoCoOpConfig, *, task: Task
    ) -> FittedCoCoOp:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedCoCoOp(
            backbone=backbone,
            config=config,
            task=task,
            prompts=ClassPrompts.restored(moved),
            context=moved["context"],
            network=restored_layers("network", moved),
        )


def draw_meta_network(features: int, width: int, reduction: int, generator: torch.Generator) -> tuple[Linear, Linear]:
    """Two layers from an image feature to an offset of tokens; the hidden one has at least 1 channel."""
    hidden = max(features // reduction, 1)
    return Linear.draw(features, hidden, generator), Linear.draw(hidden, width, generator)


def context_tree(backbone: Backbone, prompts: ClassPrompts, n_tokens: int, images: int) -> PromptTree:
    """Both classes' prompts with a context of ``n_tokens`` for each of so many images."""
    return prompts.tree(images, n_tokens, device=backbone.device, dtype=backbone.dtype)


def image_prompts(
    backbone: Backbone,
    tree: PromptTree,
    context: Float[Tensor, "token width"],
    network: tuple[Linear, ...],
    images: Float[Tensor, "image embed"],
) -> tuple[Float[Tensor, "image embed"], Float[Tensor, "image embed"]]:
    """Each image's normal and anomaly prompt as text features, not normalised; ``tree`` has a context for each."""
    contexts = context + feed_forward(network, images)[:, None]
    nothing = context.new_zeros((0, 0, context.shape[-1]))
    normal, anomaly = encode_tree(backbone.text, tree, contexts, nothing).chunk(2)
    return normal, anomaly


def cocoop_losses(
    backbone: Backbone,
    tree: Callable[[int], PromptTree],
    config: CoCoOpConfig,
    context: Float[Tensor, "token width"],
    network: tuple[Linear, ...],
    images: Float[Tensor, "image embed"],
    z: Float[Tensor, "image *patch embed"],
) -> Iterator[Tensor]:
    """PromptAD's eq. 12 for each image against its own prompts, a chunk of images at a time; their sum is the mean."""
    for own, visual in zip(images.split(CHUNK), z.split(CHUNK), strict=True):
        normal, anomaly = image_prompts(backbone, tree(len(own)), context, network, own)
        scale = inverse_temperature(backbone, config)
        losses = [
            contrastive_loss(visual[i : i + 1], normal[i : i + 1], anomaly[i : i + 1], scale) for i in range(len(own))
        ]
        yield torch.stack(losses).sum() / len(images)


def _view(config: CoCoOpConfig, task: Task) -> str:
    return "global" if task == "image" else f"local/{config.transformation}"
