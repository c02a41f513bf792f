"""Training of prompts: full-batch SGD on the learnable tokens, the frozen text tower in between (section 4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import block_count, linear_local_features
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.shared_config import TemperatureConfig
from promptad.features.extraction import Features
from promptad.prompts.descent import Descent
from promptad.prompts.losses import alignment_loss, contrastive_loss, margin_loss, prototype
from promptad.prompts.prompt_ensemble import ensemble_prompts
from promptad.prompts.prompt_tree import build_tree, encode_tree
from promptad.prompts.sequences import PromptForm, PromptSet, build_prompts
from promptad.randomness import drawn_for, torch_generator
from promptad.texts.suffixes import manual_suffixes, object_name


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnableTokens:
    """Initial values of prompt learning: N x E_N prefix tokens and L x E_A suffix tokens."""

    prefixes: Float[Tensor, "prefix token width"]
    suffixes: Float[Tensor, "suffix token width"]

    @classmethod
    def draw(cls, config: PromptADConfig, task: Task, *, width: int, category: str | None, seed: int) -> Self:
        """Tokens from N(0, ``initial_deviation``^2). Prefix i is the same whatever N is, as is suffix i for any L.

        ``category`` None: for all categories together.
        """
        n_suffixes = config.n_anomaly_suffixes if config.sc and config.laps else 0

        def draw(purpose: str, number: int, length: int) -> Tensor:
            generator = torch_generator(seed, *drawn_for(category), purpose)
            return config.initial_deviation * torch.randn((number, length, width), generator=generator)

        return cls(
            prefixes=draw("normal prefixes", config.n_normal_prompts(task), config.n_normal_tokens),
            suffixes=draw("anomaly suffixes", n_suffixes, config.n_anomaly_tokens),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The three losses of one step, unweighted: eq. 12, 13 and 15 (0 where a config switches one off)."""

    contrastive: float
    margin: float
    alignment: float


def prompts_for(tokenizer: SimpleTokenizer, config: PromptADConfig, task: Task, category: str) -> PromptSet:
    """The prompts that ``config`` describes for one category.

    Raises:
        PromptError: one of them is longer than the text tower's context.
    """
    mapped = config.prompt_text == "mapped_with_full_stop"
    if config.prompts == "ensemble":
        return ensemble_prompts(
            tokenizer, category, templates=config.ensemble_templates, prompt_text=config.prompt_text
        )
    suffixes = (
        manual_suffixes(category, config.generic_suffixes, config.own_suffixes) if config.sc and config.maps else ()
    )
    form = PromptForm(
        semantic_concatenation=config.sc,
        manual_suffixes=suffixes,
        n_normal_prompts=config.n_normal_prompts(task),
        n_normal_tokens=config.n_normal_tokens,
        n_anomaly_suffixes=config.n_anomaly_suffixes if config.sc and config.laps else 0,
        n_anomaly_tokens=config.n_anomaly_tokens,
        suffix_position=config.learnable_suffix_position,
        pairing=config.pairing,
        full_stop=mapped,
    )
    return build_prompts(tokenizer, object_name(category, mapped), form)


class PromptTraining:
    """One training of prompts on the support images' features; ``step`` is one epoch."""

    def __init__(
        self,
        backbone: Backbone,
        support: Features,
        config: PromptADConfig,
        *,
        task: Task,
        prompts: PromptSet,
        tokens: LearnableTokens,
    ) -> None:
        self._backbone, self._config, self._prompts = backbone, config, prompts
        device, dtype = backbone.device, backbone.dtype
        self.prefixes = tokens.prefixes.detach().to(device, dtype, copy=True).requires_grad_()
        self.suffixes = tokens.suffixes.detach().to(device, dtype, copy=True).requires_grad_()
        self.layers: Tensor | None = None
        self.tree = build_tree(
            prompts.all,
            prefix_shape=(self.prefixes.shape[0], self.prefixes.shape[1]),
            suffix_shape=(self.suffixes.shape[0], self.suffixes.shape[1]),
            device=device,
            dtype=dtype,
        )
        tasks = _trained_tasks(config, task)
        self._stream = support.stack("stream") if "pixel" in tasks and config.learns_local_layers else None
        self._fixed: list[Tensor] = []
        if "image" in tasks:
            self._fixed.append(support.stack("global"))
        if "pixel" in tasks and self._stream is None:
            self._fixed.append(support.stack(f"local/{config.transformation}"))
        parameters = [parameter for parameter in (self.prefixes, self.suffixes) if parameter.numel()]
        if self._stream is not None:
            width = self._stream.shape[-1]
            identity = torch.eye(width, device=device, dtype=dtype).repeat(self._stream.shape[1] - 1, 1, 1)
            self.layers = identity.requires_grad_()
            parameters.append(self.layers)
        self._descent = Descent(config, parameters)

    @property
    def config(self) -> PromptADConfig:
        """The config of the training."""
        return self._config

    @property
    def epochs(self) -> int:
        """Number of steps of the whole training."""
        return self._config.epochs

    @property
    def text(self) -> Any:
        """The text tower."""
        return self._backbone.text

    @property
    def role_sizes(self) -> tuple[int, int, int]:
        """How many prompts are normal, manual anomaly and learnable anomaly prompts: they stand in this order."""
        return len(self._prompts.normal), len(self._prompts.manual), len(self._prompts.learnable)

    def learnable(self) -> Float[Tensor, "row width"]:
        """The learnable tokens as rows, as ``PromptTree.learned_rows`` counts them."""
        return torch.cat([self.prefixes.detach().flatten(0, 1), self.suffixes.detach().flatten(0, 1)])

    @torch.no_grad()
    def learn_from(self, rows: Float[Tensor, "row width"]) -> None:
        """Take over learnable tokens; rows behind the last one are not looked at."""
        split = self.prefixes.shape[0] * self.prefixes.shape[1]
        self.prefixes.copy_(rows[:split].view_as(self.prefixes))
        self.suffixes.copy_(rows[split : split + self.suffixes[..., 0].numel()].view_as(self.suffixes))

    def visual(self) -> Sequence[Float[Tensor, "vector embed"]]:
        """The features of normal images that do not change, a tensor for each trained task."""
        return [z.flatten(0, -2) for z in self._fixed]

    def words(self) -> Float[Tensor, "node width"]:
        """Embeddings of the tree's words at their places; learned nodes hold no meaning."""
        found: Tensor = self.text.token_embedding(self.tree.tokens) + self.positions()
        return found

    def positions(self) -> Float[Tensor, "node width"]:
        """The part of the embeddings that the place alone decides."""
        found: Tensor = self.text.positional_embedding[self.tree.depths]
        return found

    @property
    def inverse_temperature(self) -> float:
        """The factor of the logits: 1/tau."""
        return inverse_temperature(self._backbone, self._config)

    def text_features(self) -> tuple[Tensor, Tensor, Tensor]:
        """Normal, manual and learnable anomaly features, each prompt x embed, not normalised."""
        (features,) = encoded_together([self])
        return self._by_role(features)

    def loss(self) -> tuple[Tensor, Losses]:
        """The training loss (eq. 12 + ``margin_weight`` eq. 13 + lambda eq. 15), differentiable, and its parts."""
        (features,) = encoded_together([self])
        return self.loss_of(features)

    def loss_of(self, features: Float[Tensor, "prompt embed"]) -> tuple[Tensor, Losses]:
        """The loss of text features that the tower gave for this training's prompts."""
        config = self._config
        normal, manual, learnable = self._by_role(features)
        anomaly = torch.cat([manual, learnable])
        visual = list(self._fixed)
        if self._stream is not None and self.layers is not None:
            local = linear_local_features(self._backbone.model.visual, self._stream, self.layers)
            visual.append(normalize(local, dim=-1))
        zero = normal.new_zeros(())
        contrastive, margin, alignment = zero, zero, zero
        for z in visual:
            contrastive = contrastive + contrastive_loss(z, normal, anomaly, self.inverse_temperature)
            if config.eam:
                margin = margin + margin_loss(z, normal, anomaly, config.margin_distance, config.margin)
        if len(manual) and len(learnable):
            alignment = alignment_loss(manual, learnable, config.alignment)
        total = contrastive + config.margin_weight * margin + config.align_weight * alignment
        return total, Losses(contrastive=contrastive.item(), margin=margin.item(), alignment=alignment.item())

    def step(self) -> Losses:
        """One epoch: one full-batch step of SGD. Returns the losses before it.

        Raises:
            FloatingPointError: the loss is no longer finite.
        """
        (result,) = step_together([self])
        if isinstance(result, FloatingPointError):
            raise result
        return result

    def learn_with(self, first: PromptTraining) -> None:
        """Learn ``first``'s tokens and layers in place of own ones: one set of them, which ``first`` moves."""
        self.prefixes, self.suffixes, self.layers = first.prefixes, first.suffixes, first.layers

    def move(self) -> None:
        """Move along the gradients that the parameters have now."""
        self._descent.move()

    def descend(self, losses: Iterable[Tensor]) -> float:
        """One step down the sum of losses of the learned parameters; returns it. Raises as ``Descent.step``."""
        return self._descent.step(losses)

    def diverged(self, parts: Losses) -> FloatingPointError:
        """The error of a loss that is not finite."""
        return FloatingPointError(
            f"the training loss must stay finite, but its parts are {parts}: lower learning_rate "
            f"(now {self._config.learning_rate}) or use precision fp32 (now {self._config.precision})"
        )

    @torch.no_grad()
    def prototypes(self) -> Float[Tensor, "2 embed"]:
        """Normal and anomaly prototype (eq. 14), l2-normalised."""
        normal, manual, learnable = self.text_features()
        return torch.stack([prototype(normal), prototype(torch.cat([manual, learnable]))])

    @property
    def tower_shape(self) -> tuple[int, ...]:
        """Blocks, width and heads of the text tower: with the trees' shape they are the shapes of all its products."""
        blocks = self._backbone.text.transformer.resblocks
        return len(blocks), int(self.prefixes.shape[-1]), int(blocks[0].attn.num_heads)

    def can_join(self, other: PromptTraining) -> bool:
        """Whether both can pass the text tower together."""
        return self._backbone is other._backbone and self.tree.is_like(other.tree)

    def pass_tower(self, prefixes: Tensor, suffixes: Tensor) -> Tensor:
        """The features of tokens, whose leading axis stands for trainings that can join this one."""
        return encode_tree(self._backbone.text, self.tree, prefixes, suffixes)

    def _by_role(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normal, manual, learnable = features.split(self.role_sizes)
        return normal, manual, learnable


def encoded_together(trainings: Sequence[PromptTraining]) -> Sequence[Float[Tensor, "prompt embed"]]:
    """Text features of each training's prompts, from one pass of the text tower; each can join the first one."""
    first = trainings[0]
    if len(trainings) == 1:
        return [first.pass_tower(first.prefixes, first.suffixes)]
    prefixes = torch.stack([training.prefixes for training in trainings])
    suffixes = torch.stack([training.suffixes for training in trainings])
    return first.pass_tower(prefixes, suffixes).unbind(0)


def step_together(trainings: Sequence[PromptTraining]) -> list[Losses | FloatingPointError]:
    """One epoch of each training, each with its own losses and descent; the losses before it, or why one is at its end.

    A training whose loss is not finite does not move, and the others move as they would without it.
    """
    results: list[Losses | FloatingPointError] = []
    totals = []
    for training, features in zip(trainings, encoded_together(trainings), strict=True):
        total, parts = training.loss_of(features)
        if torch.isfinite(total):
            totals.append(total)
            results.append(parts)
        else:
            results.append(training.diverged(parts))
    if totals:
        torch.autograd.backward(totals)
    for training, result in zip(trainings, results, strict=True):
        if isinstance(result, Losses):
            training.move()
    return results


def _trained_tasks(config: PromptADConfig, task: Task) -> tuple[Task, ...]:
    return ("image", "pixel") if config.training == "joint" else (task,)


def learns_layers(config: PromptADConfig, task: Task) -> bool:
    """Whether a training learns the linear layers of the local branch beside its tokens."""
    learned = config.learns_prompts and config.transformation == "linear"
    return learned and "pixel" in _trained_tasks(config, task)


def learnable_parameters(backbone: Backbone, config: PromptADConfig, task: Task) -> int:
    """Number of learnable parameters of a training: tokens, and layers of the transformation ``linear``."""
    width = backbone.text.token_embedding.weight.shape[1]
    # Drawn only to be counted; the values do not matter.
    tokens = LearnableTokens.draw(config, task, width=width, category="", seed=0)
    number = tokens.prefixes.numel() + tokens.suffixes.numel()
    if "pixel" in _trained_tasks(config, task) and config.learns_local_layers:
        visual = backbone.model.visual
        number += block_count(visual) * int(visual.ln_post.weight.shape[0]) ** 2
    return number


def begin_training(
    backbone: Backbone, support: Features, config: PromptADConfig, *, task: Task, category: str, seed: int
) -> PromptTraining:
    """A training of one category's prompts before its first step."""
    width = backbone.text.token_embedding.weight.shape[1]
    return PromptTraining(
        backbone,
        support,
        config,
        task=task,
        prompts=prompts_for(backbone.tokenizer, config, task, category),
        tokens=LearnableTokens.draw(config, task, width=width, category=category, seed=seed),
    )


def inverse_temperature(backbone: Backbone, config: PromptADConfig | TemperatureConfig) -> float:
    """1/tau: of ``tau`` where it is a number, else the exponential of CLIP's logit_scale, or the raw one (D1)."""
    if config.tau is not None:
        return 1 / config.tau
    return backbone.logit_scale if config.temperature == "raw_parameter" else math.exp(backbone.logit_scale)
