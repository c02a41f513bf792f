"""Trainings of different forms in one step, for accelerators: padded to one shape, without a word from the host.

An accelerator multiplies thousands of tokens in the time of a hundred, and waits for the host between two operations.
Here everything in which trainings differ (words, masks, features, losses, rates) is data in tensors of a fixed shape.
A step is then the same sequence of operations for all trainings of a shape, so that CUDA records it once as a graph and
replays it for every epoch (`Recorded`).

A company always has as many places as its shape says, empty ones repeat the first training: so a training's numbers
depend neither on its company nor on its place. They are those of the training alone up to rounding (1e-5 of the loss,
its gradient and five steps; a test), so that a cell that learns here is not compared to the bit with one of a CPU.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from promptad.backbones.attention import masked_block
from promptad.prompts.descent import rates_of
from promptad.prompts.prompt_learning import Losses, PromptTraining
from promptad.prompts.prompt_tree import project

NODES = 4096
"""Upper bound on the nodes of all places of a company together."""

PLACES = 32
"""Upper bound on the places of a company."""

GRAPHS = "PROMPTAD_GRAPHS"
"""Environment variable: ``off`` takes each step operation by operation, should a driver not record it."""

RECORDED = 4
"""How many recorded steps a process keeps: each holds the memory of its activations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of a company: places, and for each of them nodes, prompts, learnable tokens and visual vectors."""

    places: int
    nodes: int
    prompts: int
    rows: int
    vectors: int
    epochs: int

    @classmethod
    def of(cls, training: PromptTraining) -> Shape:
        """The smallest shape in which a training has its place: few shapes for all trainings."""
        tree = training.tree
        nodes = _up(len(tree.tokens), 16 if len(tree.tokens) <= 64 else 32)
        return cls(
            places=max(1, min(PLACES, NODES // nodes)),
            nodes=nodes,
            prompts=_up(len(tree.ends), 8),
            rows=_up(len(training.learnable()), 8),
            vectors=_up(sum(len(z) for z in training.visual()), 16),
            epochs=_up(training.epochs, 25),
        )


def can_be_padded(training: PromptTraining) -> bool:
    """Whether a training's loss has a padded form.

    Not with layers of its own, with distances over patches (D6), or in half precision, where sums have another order.
    """
    config = training.config
    plain = training.layers is None and training.prefixes.dtype == torch.float32
    return plain and (not config.eam or config.margin_distance == "euclidean")


class Padded:
    """A company of one shape: its tensors, and its step."""

    def __init__(self, like: PromptTraining, shape: Shape) -> None:
        self._text: Any = like.text
        self.shape = shape
        device, dtype = like.prefixes.device, like.prefixes.dtype
        width, embed = like.prefixes.shape[-1], like.visual()[0].shape[-1]
        places, nodes, prompts, rows = shape.places, shape.nodes, shape.prompts, shape.rows

        def zeros(*sizes: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(sizes, dtype=kind, device=device)

        # What a company's words are: embeddings of what is not learned, and where learnable tokens stand.
        self.words, self.standing = zeros(places, nodes, width), zeros(places, nodes, rows)
        self.mask, self.ends = zeros(places, 1, nodes, nodes), zeros(places, prompts, nodes)
        self.ends_mask = zeros(places, 1, prompts, nodes)
        # Prompts of each role (normal, manual, learnable) by 1 and 0.
        self.roles = zeros(places, 3, prompts)
        self.z, self.weights = zeros(places, shape.vectors, embed), zeros(places, shape.vectors)
        # Numbers in which losses differ, a column each.
        self.scale, self.margin, self.margin_weight, self.align_weight = (zeros(places) for _ in range(4))
        self.eam, self.aligned_means = (zeros(places, kind=torch.bool) for _ in range(2))
        # The descent.
        self.rates = zeros(shape.epochs, places)
        self.momentum, self.decay = zeros(places, 1, 1), zeros(places, 1, 1)
        self.tokens, self.velocity = zeros(places, rows, width), zeros(places, rows, width)
        self.epoch = zeros(1, kind=torch.long)
        self.broken = zeros(places, kind=torch.bool)
        self.parts = zeros(3, places)
        self._seats = (
            *(self.words, self.standing, self.mask, self.ends, self.ends_mask, self.roles, self.z, self.weights),
            *(self.scale, self.margin, self.margin_weight, self.align_weight, self.eam, self.aligned_means),
            *(self.momentum, self.decay, self.tokens),
        )
        self._taken: Sequence[PromptTraining] = ()

    def take(self, trainings: Sequence[PromptTraining]) -> None:
        """Copy trainings of this shape into the tensors, before their first step; empty places repeat the first."""
        for place, training in enumerate(trainings):
            self._seat(place, training)
        for tensor in self._seats:
            tensor[len(trainings) :] = tensor[0]
        self.rates[:, len(trainings) :] = self.rates[:, :1]
        self.velocity.zero_()
        self.epoch.zero_()
        self.broken.zero_()
        self.parts.zero_()
        self._taken = tuple(trainings)

    def _seat(self, place: int, training: PromptTraining) -> None:
        tree, config = training.tree, training.config
        size, learnable = len(tree.tokens), training.learnable()
        own = training.words()
        own[tree.learned_nodes] = training.positions()[tree.learned_nodes]
        _fill(self.words[place], own)
        standing = torch.zeros_like(self.standing[place])
        standing[tree.learned_nodes, tree.learned_rows] = 1
        self.standing[place].copy_(standing)
        # A node that stands for nothing sees itself alone, so that no sum is empty.
        mask = torch.full_like(self.mask[place, 0], float("-inf")).fill_diagonal_(0)
        mask[:size, :size] = tree.mask
        self.mask[place, 0].copy_(mask)
        chosen = torch.zeros(self.shape.prompts, dtype=torch.long, device=mask.device)
        chosen[: len(tree.ends)] = tree.ends
        self.ends[place].copy_(torch.eye(self.shape.nodes, dtype=mask.dtype, device=mask.device)[chosen])
        self.ends_mask[place, 0].copy_(mask[chosen])
        roles, start = torch.zeros_like(self.roles[place]), 0
        for role, number in enumerate(training.role_sizes):
            roles[role, start : start + number] = 1
            start += number
        self.roles[place].copy_(roles)
        visual = training.visual()
        _fill(self.z[place], torch.cat(list(visual)))
        _fill(self.weights[place], torch.cat([z.new_full((len(z),), 1 / len(z)) for z in visual]))
        self.scale[place] = training.inverse_temperature
        self.margin[place], self.align_weight[place] = config.margin, config.align_weight
        self.margin_weight[place], self.eam[place] = config.margin_weight, config.eam
        self.aligned_means[place] = config.alignment == "normalised_means"
        rates = torch.tensor(rates_of(config), dtype=self.rates.dtype, device=self.rates.device)
        _fill(self.rates[:, place], rates)
        self.momentum[place], self.decay[place] = config.momentum, config.weight_decay
        _fill(self.tokens[place], learnable)

    def losses(self, tokens: Float[Tensor, "place row width"]) -> tuple[Float[Tensor, " place"], Tensor]:
        """The loss of each place as `PromptTraining.loss` has it, and its three parts (3 x place)."""
        features = self._encoded(tokens)
        normal, manual, learnable = self.roles.unbind(1)
        anomaly = manual + learnable
        to_normal, to_anomaly = _prototype(features, normal), _prototype(features, anomaly)
        unit = normalize(features, dim=-1)
        candidates = torch.cat([to_normal[:, None], unit], dim=1)
        logits = (self.z @ candidates.transpose(1, 2)) * self.scale[:, None, None]
        # Prompts of other roles, and those that stand for nothing, are no candidates.
        absent = torch.cat([torch.zeros_like(anomaly[:, :1], dtype=torch.bool), anomaly == 0], dim=1)
        logits = logits.masked_fill(absent[:, None], float("-inf"))
        first = torch.zeros(logits.shape[:2], dtype=torch.long, device=logits.device)
        entropy = cross_entropy(logits.flatten(0, 1), first.flatten(), reduction="none").view(first.shape)
        contrastive = self._mean(entropy)
        gap = _distance(self.z, to_normal) - _distance(self.z, to_anomaly)
        margin = self._mean((gap + self.margin[:, None]).clamp(min=0))
        of_means = _prototype(features, manual) - _prototype(features, learnable)
        of_units = _mean_of(unit, manual) - _mean_of(unit, learnable)
        difference = torch.where(self.aligned_means[:, None], of_means, of_units)
        both = (manual.sum(1) > 0) & (learnable.sum(1) > 0)
        alignment = torch.where(both, difference.square().sum(-1), torch.zeros_like(contrastive))
        margin = torch.where(self.eam, margin, torch.zeros_like(margin))
        total = contrastive + self.margin_weight * margin + self.align_weight * alignment
        return total, torch.stack([contrastive, margin, alignment])

    def step(self) -> None:
        """One epoch of every place, in place: nothing waits for the host. A place whose loss is not finite stops."""
        with torch.enable_grad():
            tokens = self.tokens.detach().requires_grad_()
            total, parts = self.losses(tokens)
            (gradient,) = torch.autograd.grad(total.sum(), tokens)
        rate = self.rates.index_select(0, self.epoch)[0]
        going = ~self.broken & (rate > 0)
        sound = torch.isfinite(total)
        velocity = self.velocity * self.momentum + gradient + self.tokens * self.decay
        moved = (going & sound)[:, None, None]
        self.parts.copy_(torch.where(going, parts.detach(), self.parts))
        self.velocity.copy_(torch.where(moved, velocity, self.velocity))
        self.tokens.copy_(torch.where(moved, self.tokens - rate[:, None, None] * self.velocity, self.tokens))
        self.broken |= going & ~sound
        self.epoch += 1

    def give_back(self) -> Iterator[FloatingPointError | None]:
        """Write each training's tokens into it; for each, why it ended early, or None. Waits for the device once."""
        broken, parts = self.broken.tolist(), self.parts.T.tolist()
        for place, training in enumerate(self._taken):
            training.learn_from(self.tokens[place])
            contrastive, margin, alignment = parts[place]
            losses = Losses(contrastive=contrastive, margin=margin, alignment=alignment)
            yield training.diverged(losses) if broken[place] else None
        self._taken = ()

    def _encoded(self, tokens: Tensor) -> Float[Tensor, "place prompt embed"]:
        text = self._text
        embedded = self.words + self.standing @ tokens
        blocks = text.transformer.resblocks
        for block in blocks[:-1]:
            embedded = masked_block(block, embedded, self.mask)
        features: Tensor = text.ln_final(masked_block(blocks[-1], embedded, self.ends_mask, self.ends))
        return project(text, features)

    def _mean(self, values: Float[Tensor, "place vector"]) -> Float[Tensor, " place"]:
        """Over the vectors of each place; what stands for nothing has no weight, whatever it is."""
        return torch.where(self.weights > 0, values * self.weights, torch.zeros_like(values)).sum(1)


class Recorded:
    """The step of a company as a CUDA graph; other companies of its shape are copied into its tensors."""

    def __init__(self, company: Padded) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Handles and workspaces are made before anything is recorded.
            for _ in range(3):
                company.step()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            company.step()

    def step(self) -> None:
        """Replay the step."""
        self._graph.replay()


_recorded: OrderedDict[tuple[object, ...], tuple[Padded, Recorded | None]] = OrderedDict()


def forget_recorded() -> None:
    """Let go of the recorded steps and their memory."""
    _recorded.clear()


def learn_padded(trainings: Sequence[PromptTraining]) -> list[FloatingPointError | None]:
    """All epochs of trainings that have one shape; for each, why it ended early, or None."""
    first, shape = trainings[0], Shape.of(trainings[0])
    tokens, tf32 = first.prefixes, torch.backends.cuda.matmul.allow_tf32
    key = (id(first.text), str(tokens.device), tokens.dtype, tf32, shape)
    if key not in _recorded:
        while len(_recorded) >= RECORDED:
            _recorded.popitem(last=False)
        company = Padded(first, shape)
        company.take(trainings)
        recording = tokens.is_cuda and os.environ.get(GRAPHS) != "off"
        _recorded[key] = company, Recorded(company) if recording else None
    _recorded.move_to_end(key)
    company, recorded = _recorded[key]
    company.take(trainings)
    step = company.step if recorded is None else recorded.step
    for _ in range(max(training.epochs for training in trainings)):
        step()
    return list(company.give_back())


def padded_companies(trainings: Sequence[PromptTraining], most: int) -> Iterator[list[PromptTraining]]:
    """Trainings that have a padded form in companies of one shape, in the order of their first ones."""
    left = list(trainings)
    while left:
        first, shape = left[0], Shape.of(left[0])
        alike = [each for each in left if each.text is first.text and Shape.of(each) == shape]
        joining = alike[: min(most, shape.places)]
        left = [training for training in left if not any(training is taken for taken in joining)]
        yield joining


def _up(number: int, step: int) -> int:
    """The next multiple of ``step``."""
    return max(1, -(-number // step)) * step


def _fill(target: Tensor, values: Tensor) -> None:
    target.zero_()
    target[: len(values)].copy_(values)


def _mean_of(features: Float[Tensor, "place prompt embed"], members: Float[Tensor, "place prompt"]) -> Tensor:
    number = members.sum(1, keepdim=True).clamp(min=1)
    return (members[:, None] @ features)[:, 0] / number


def _prototype(features: Tensor, members: Tensor) -> Float[Tensor, "place embed"]:
    found: Tensor = normalize(_mean_of(features, members), dim=-1)
    return found


def _distance(z: Float[Tensor, "place vector embed"], prototype: Float[Tensor, "place embed"]) -> Tensor:
    found: Tensor = (z - prototype[:, None]).norm(dim=-1)
    return found
