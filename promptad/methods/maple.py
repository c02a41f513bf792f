"""MaPLe (Khattak et al., CVPR 2023): prompts in the first blocks of both towers, coupled by linear layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import encode_prompted_images, grid_side
from promptad.configs.method_config import Task
from promptad.configs.method_configs import MaPLeConfig
from promptad.features.extraction import Features, images_at_once
from promptad.features.pictures import PIXELS
from promptad.methods.method import Fitted, MethodSize, PooledFit, Scores, require_setting
from promptad.prompts.class_prompts import ClassPrompts, draw_context
from promptad.prompts.descent import Descent
from promptad.prompts.linear_layers import Linear, layer_tensors, restored_layers
from promptad.prompts.losses import contrastive_loss
from promptad.prompts.prompt_depth import depth_in
from promptad.prompts.prompt_learning import inverse_temperature
from promptad.prompts.prompt_tree import PromptTree, encode_tree
from promptad.randomness import drawn_for, torch_generator
from promptad.scoring.anomaly_scores import prompt_score

TRAINED_AT_ONCE = 4
"""Support images whose graph is held together; bounds memory, changes no step but by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedMaPLe:
    """Prompts of the text tower and the layers that make those of the image tower, as they were learned.

    ``couplings`` are one layer for each block with prompts; ``prototypes`` both classes' text features (normal,
    anomaly), l2-normalised: the outputs of the prompted text tower.
    """

    backbone: Backbone
    config: MaPLeConfig
    task: Task
    prompts: Float[Tensor, "depth token width"]
    couplings: tuple[Linear, ...]
    prototypes: Float[Tensor, "2 embed"]

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """The probability of the anomaly prompt for each image's features from the prompted tower."""
        visual_prompts = coupled(self.couplings, self.prompts)
        scale = inverse_temperature(self.backbone, self.config)
        normal, anomaly = self.prototypes
        parts = []
        for chunk in query.chunks(images_at_once(self.backbone.device)):
            images = query.stack(PIXELS, chunk.start, chunk.stop)
            z = encoded(self.backbone, self.config, self.task, images, visual_prompts)
            parts.append(prompt_score(z, normal, anomaly, scale).float().cpu())
        scored = torch.cat(parts)
        if self.task == "image":
            return Scores(image=scored, maps=None, branches={})
        side = grid_side(scored.shape[1])
        maps = scored.unflatten(-1, (side, side))
        return Scores(image=None, maps=maps, branches={"textual": maps})

    def tensors(self) -> dict[str, Tensor]:
        """Prompts, couplings and prototypes by name."""
        couplings = layer_tensors("couplings", self.couplings)
        return {"prompts": self.prompts, "prototypes": self.prototypes, **couplings}


class MaPLe:
    """The method's entry point; see ``Method``.

    The text tower reads ``[P_0][normal {object}]`` and ``[P_0][abnormal {object}]``, P_0 being 2 learnable tokens; at
    the input of blocks 2 to J further tokens P_1, ..., P_(J-1) stand in their place (section 3.2.1). The image tower
    has as many tokens beside its patches, in block j + 1 F_j(P_j), where F_j are learnable linear layers (sections
    3.2.2 and 3.2.3). So images cannot be encoded in advance: support images pass the tower at every step, and query
    images once for each fitted model. Ours:

    - The classes, eq. 12 of PromptAD as loss, optimiser and number of steps are those of our CoOp form
      (``prompts/sequences.py``, ``sc=false``); P_0 is drawn as its context is, and the other P_j with the same
      deviation. F_j are drawn one by one as torch's linear layers are.
    - J is 9 of 12 blocks, as printed, scaled to the shallower tower.
    - For the pixel task the loss and the scores take local features of the prompted tower, by default those of its V-V
      branch, in which patches attend to the prompts' values too. PromptAD prints a pixel score without its
      method; its row is not called VV-CLIP, so ``transformation=clip`` may be meant.
    - Of several categories together (``setting=multi_class``) prompts and couplings are shared, the classes' words are
      each one's, and the loss is the mean over categories.
    """

    def views(self, config: MaPLeConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The tower's input alone."""
        return frozenset({PIXELS})

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: MaPLeConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedMaPLe:
        """Learn prompts and couplings on the support images for ``config.epochs`` epochs.

        Raises:
            ConfigError: more blocks with prompts than one of the towers has.
        """
        require_setting(config, task, pooled=False)
        drawn = draw_prompts(backbone, config, category=category, seed=seed)
        training = MaPLeTraining(backbone, {category: support}, config, task=task, drawn=drawn)
        for epoch in range(1, config.epochs + 1):
            training.step()
            if on_epoch is not None:
                on_epoch(epoch, training.fitted()[category])
        return training.fitted()[category]

    def fit_pool(
        self, backbone: Backbone, supports: Mapping[str, Features], config: MaPLeConfig, *, task: Task, seed: int
    ) -> PooledFit:
        """One set of prompts and couplings for all categories; prototypes are of each one's own words.

        Raises:
            ConfigError: more blocks with prompts than one of the towers has; or a config of one category's model.
        """
        require_setting(config, task, pooled=True)
        drawn = draw_prompts(backbone, config, category=None, seed=seed)
        training = MaPLeTraining(backbone, supports, config, task=task, drawn=drawn)
        for _ in range(config.epochs):
            training.step()
        fitted = training.fitted()
        return lambda category, _support: fitted[category]

    def check_prompts(self, tokenizer: SimpleTokenizer, config: MaPLeConfig, task: Task, category: str) -> None:
        """Both classes behind the context."""
        ClassPrompts.of(tokenizer, category, n_tokens=config.context_length, prompt_text=config.prompt_text)

    def size(self, backbone: Backbone, config: MaPLeConfig, *, task: Task, category: str) -> MethodSize:
        """Two prompts, one a class; the tokens of every block, and the layers beside them."""
        # Drawn only to be counted; the values do not matter.
        prompts, couplings = draw_prompts(backbone, config, category=category, seed=0)
        return MethodSize(prompts=2, learned_parameters=prompts.numel() + sum(layer.size for layer in couplings))

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: MaPLeConfig, *, task: Task
    ) -> FittedMaPLe:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedMaPLe(
            backbone=backbone,
            config=config,
            task=task,
            prompts=moved["prompts"],
            couplings=restored_layers("couplings", moved),
            prototypes=moved["prototypes"],
        )


class MaPLeTraining:
    """Prompts and couplings that learn from the support images of one category or of several; ``step`` is one epoch."""

    def __init__(
        self,
        backbone: Backbone,
        supports: Mapping[str, Features],
        config: MaPLeConfig,
        *,
        task: Task,
        drawn: tuple[Float[Tensor, "depth token width"], tuple[Linear, ...]],
    ) -> None:
        self._backbone, self._config, self._task = backbone, config, task
        prompts, couplings = drawn
        self._prompts = prompts.to(backbone.device, backbone.dtype).requires_grad_()
        self._couplings = tuple(layer.leaf(backbone.device, backbone.dtype) for layer in couplings)
        self._trees = {category: class_tree(backbone, config, category) for category in supports}
        self._images = {category: support.stack(PIXELS) for category, support in supports.items()}
        layers = (part for layer in self._couplings for part in layer.parameters())
        self._descent = Descent(config, [self._prompts, *layers])

    def step(self) -> None:
        """One step of SGD down the mean of the categories' losses. Raises as ``Descent.step``."""
        self._descent.step(loss / len(self._trees) for category in self._trees for loss in self.losses(category))

    def losses(self, category: str) -> Iterator[Tensor]:
        """The parts of one category's own loss."""
        return maple_losses(
            self._backbone,
            self._trees[category],
            self._config,
            self._task,
            self._prompts,
            self._couplings,
            self._images[category],
        )

    @torch.no_grad()
    def fitted(self) -> dict[str, FittedMaPLe]:
        """The method as fitted to each category up to now."""
        prompts, couplings = self._prompts.detach().clone(), tuple(layer.frozen() for layer in self._couplings)
        return {
            category: FittedMaPLe(
                backbone=self._backbone,
                config=self._config,
                task=self._task,
                prompts=prompts,
                couplings=couplings,
                prototypes=normalize(class_features(self._backbone, tree, prompts), dim=-1),
            )
            for category, tree in self._trees.items()
        }


def class_tree(backbone: Backbone, config: MaPLeConfig, category: str) -> PromptTree:
    """Both classes' prompts of a category behind the context."""
    words = ClassPrompts.of(
        backbone.tokenizer, category, n_tokens=config.n_context_tokens, prompt_text=config.prompt_text
    )
    return words.tree(1, config.n_context_tokens, device=backbone.device, dtype=backbone.dtype)


def draw_prompts(
    backbone: Backbone, config: MaPLeConfig, *, category: str | None, seed: int
) -> tuple[Float[Tensor, "depth token width"], tuple[Linear, ...]]:
    """The prompts of every block and the layers beside them; those of a block are the same whatever J is.

    ``category`` None: for all categories together.

    Raises:
        ConfigError: more blocks with prompts than one of the towers has.
    """
    depth = depth_in(backbone.name, config.prompt_depth)
    first = draw_context(
        backbone.text,
        n_tokens=config.n_context_tokens,
        deviation=config.initial_deviation,
        category=category,
        seed=seed,
    )
    deeper = [
        config.initial_deviation
        * torch.randn(first.shape, generator=torch_generator(seed, *drawn_for(category), f"prompts of block {number}"))
        for number in range(2, depth + 1)
    ]
    width = backbone.model.visual.ln_post.weight.shape[0]
    couplings = tuple(
        Linear.draw(first.shape[-1], width, torch_generator(seed, *drawn_for(category), f"coupling of block {number}"))
        for number in range(1, depth + 1)
    )
    return torch.stack([first, *deeper]), couplings


def coupled(
    couplings: tuple[Linear, ...], prompts: Float[Tensor, "depth token width"]
) -> Float[Tensor, "depth token visual_width"]:
    """The image tower's prompts F_j(P_j)."""
    return torch.stack([layer(own) for layer, own in zip(couplings, prompts, strict=True)])


def class_features(
    backbone: Backbone, tree: PromptTree, prompts: Float[Tensor, "depth token width"]
) -> Float[Tensor, "2 embed"]:
    """Normal and anomaly text feature, not normalised."""
    nothing = prompts.new_zeros((0, 0, prompts.shape[-1]))
    return encode_tree(backbone.text, tree, prompts[:1], nothing, deeper=[own[None] for own in prompts[1:]])


def encoded(
    backbone: Backbone,
    config: MaPLeConfig,
    task: Task,
    images: Float[Tensor, "image 3 height width"],
    visual_prompts: Float[Tensor, "depth token visual_width"],
) -> Float[Tensor, "image *patch embed"]:
    """The features that the task scores, l2-normalised: each image's global feature, or its local ones."""
    local = () if task == "image" else (config.transformation,)
    output = encode_prompted_images(backbone.model.visual, images, list(visual_prompts), local=local)
    return normalize(output.global_feature if task == "image" else output.local[config.transformation], dim=-1)


def maple_losses(
    backbone: Backbone,
    tree: PromptTree,
    config: MaPLeConfig,
    task: Task,
    prompts: Float[Tensor, "depth token width"],
    couplings: tuple[Linear, ...],
    images: Float[Tensor, "image 3 height width"],
) -> Iterator[Tensor]:
    """PromptAD's eq. 12, some images at a time; the sum of all parts is the mean over images."""
    for part in images.split(TRAINED_AT_ONCE):
        normal, anomaly = class_features(backbone, tree, prompts).split(1)
        z = encoded(backbone, config, task, part, coupled(couplings, prompts))
        loss = contrastive_loss(z, normal, anomaly, inverse_temperature(backbone, config))
        yield loss * (len(part) / len(images))
