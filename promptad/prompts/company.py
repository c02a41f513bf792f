"""Trainings that learn together: one pass of the text tower for several, each with its own losses and descent.

A text tower works on a few dozen tokens at a time, far below what a processor multiplies best. Trainings whose prompts
have the same form (`PromptTree.is_like`), as those of several seeds, values of lambda or arms without EAM, stand side
by side as rows of one batch. On a CPU each has to the bit the numbers that it has alone: a batch of a new shape is
first compared with its trainings one by one, and never used if a bit differs. On an accelerator trainings of any form
learn together, and their numbers are of the card (`padded`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.prompts.padded import can_be_padded, learn_padded, padded_companies
from promptad.prompts.prompt_learning import (
    Losses,
    PromptTraining,
    begin_training,
    encoded_together,
    step_together,
)

OnEpoch: TypeAlias = Callable[[int], None]
"""Is told the number of an epoch that has ended."""

MOST = 16
"""Upper bound on the trainings of a company."""

NODES = 640
"""Upper bound on the tree nodes of a company: with more the processor multiplies no faster, and memory grows."""

_proven: dict[tuple[object, ...], bool] = {}
"""Shapes of companies that this process has tried, and whether the numbers were those of each training alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEnd:
    """How a training ended: why before its last step, or None; and how many took their steps with it."""

    error: Exception | None
    company: int


def learn(
    trainings: Sequence[PromptTraining], most: int = MOST, listeners: Sequence[OnEpoch | None] | None = None
) -> list[TrainingEnd]:
    """All steps of every training; how each ended.

    A training's listener is called after each of its epochs (from 1); what it raises ends that training alone. On an
    accelerator a training that is listened to learns alone.
    """
    hearing = listeners or [None] * len(trainings)
    numbers = {id(training): number for number, training in enumerate(trainings)}
    on_cpu = all(training.prefixes.device.type == "cpu" for training in trainings)
    padded = [] if on_cpu else [each for each, heard in zip(trainings, hearing, strict=True) if heard is None]
    padded = [training for training in padded if can_be_padded(training)]
    ended: dict[int, TrainingEnd] = {}
    for company in padded_companies(padded, most):
        for training, error in zip(company, learn_padded(company), strict=True):
            ended[numbers[id(training)]] = TrainingEnd(error=error, company=len(company))
    rest = [training for training in trainings if not any(training is each for each in padded)]
    for company in companies(rest, most) if on_cpu else ([training] for training in rest):
        own = [numbers[id(training)] for training in company]
        errors = learn_together(company, [hearing[number] for number in own])
        size = len(company) if len(company) > 1 and keeps_bits(company) else 1
        ended |= {number: TrainingEnd(error=errors.get(place), company=size) for place, number in enumerate(own)}
    return [ended[number] for number in range(len(trainings))]


def learned_prompts(
    backbone: Backbone, support: Features, config: PromptADConfig, *, task: Task, category: str, seed: int
) -> PromptTraining:
    """A training of one category's prompts after its last step, as a cell of a study has it.

    Raises:
        FloatingPointError: a loss was not finite.
    """
    training = begin_training(backbone, support, config, task=task, category=category, seed=seed)
    (ended,) = learn([training])
    if ended.error is not None:
        raise ended.error
    return training


def companies(trainings: Sequence[PromptTraining], most: int = MOST) -> Iterator[list[PromptTraining]]:
    """The trainings in companies, in the order of their first ones."""
    left = list(trainings)
    while left:
        first = left[0]
        number = max(1, min(most, NODES // len(first.tree.tokens)))
        joining = [training for training in left if training.can_join(first)][:number]
        left = [training for training in left if not any(training is taken for taken in joining)]
        yield joining


def learn_together(
    company: Sequence[PromptTraining], listeners: Sequence[OnEpoch | None] | None = None
) -> dict[int, Exception]:
    """All steps of each training of a company, as `learn`; by their numbers in it, those that ended early, and why."""
    hearing = listeners or [None] * len(company)
    ended: dict[int, Exception] = {}
    for epoch in range(1, max((training.epochs for training in company), default=0) + 1):
        learning = [number for number, each in enumerate(company) if number not in ended and epoch <= each.epochs]
        if not learning:
            break
        for number, result in zip(learning, _step([company[number] for number in learning]), strict=True):
            try:
                if isinstance(result, FloatingPointError):
                    raise result
                listener = hearing[number]
                if listener is not None:
                    listener(epoch)
            except Exception as error:
                ended[number] = error
    return ended


def _step(trainings: Sequence[PromptTraining]) -> list[Losses | FloatingPointError]:
    if len(trainings) == 1 or keeps_bits(trainings):
        return step_together(trainings)
    return [result for training in trainings for result in step_together([training])]


def keeps_bits(company: Sequence[PromptTraining]) -> bool:
    """Whether each training has in company the features and gradients that it has alone, to the bit."""
    first, tree = company[0], company[0].tree
    shape = (
        *(len(company), len(tree.tokens), len(tree.ends), len(tree.learned_nodes)),
        *(first.prefixes.shape, first.suffixes.shape, first.prefixes.dtype, first.prefixes.device),
        *(torch.get_num_threads(), *first.tower_shape),
    )
    if shape not in _proven:
        together = zip(company, encoded_together(company), strict=True)
        losses = [training.loss_of(features)[0] for training, features in together]
        found = torch.autograd.grad(losses, _tokens(company))
        if not all(bool(torch.isfinite(gradient).all()) for gradient in found):
            # Of numbers that are none nothing can be said: this step goes one by one, and the next may be asked.
            return False
        alone = [
            gradient
            for training in company
            for gradient in torch.autograd.grad(training.loss()[0], _tokens([training]))
        ]
        _proven[shape] = all(torch.equal(mine, theirs) for mine, theirs in zip(found, alone, strict=True))
    return _proven[shape]


def _tokens(company: Sequence[PromptTraining]) -> list[Tensor]:
    return [tokens for training in company for tokens in (training.prefixes, training.suffixes)]
