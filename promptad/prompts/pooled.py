"""One training of prompts for several categories: the learnable tokens are shared, the words are each category's own.

A step goes down the mean of the categories' losses. They are computed one by one, each with its own prompts and support
images, so that the memory of one graph is enough however many categories there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.prompts.prompt_learning import LearnableTokens, PromptTraining, prompts_for


class PooledTraining:
    """Trainings of several categories as one: ``step`` is one epoch, and moves what all of them share."""

    def __init__(self, trainings: Sequence[PromptTraining]) -> None:
        self._first, *others = trainings
        self._trainings = tuple(trainings)
        for training in others:
            training.learn_with(self._first)

    def step(self) -> float:
        """One full-batch step of SGD down the mean of all categories' losses; returns that mean before it.

        Raises:
            FloatingPointError: the mean is not finite; then nothing has changed.
        """
        number = len(self._trainings)
        return self._first.descend(training.loss()[0] / number for training in self._trainings)

    def prototypes(self) -> list[Float[Tensor, "2 embed"]]:
        """Each category's normal and anomaly prototype (eq. 14), l2-normalised."""
        return [training.prototypes() for training in self._trainings]

    def layers(self) -> Tensor | None:
        """The layers of the ``linear`` transformation as they are now; None where none are learned."""
        layers = self._first.layers
        return None if layers is None else layers.detach().clone()


def begin_pooled_training(
    backbone: Backbone, supports: Mapping[str, Features], config: PromptADConfig, *, task: Task, seed: int
) -> PooledTraining:
    """A training for the categories of ``supports``, in their order, before its first step.

    The initial tokens are drawn for the seed alone: they name no category.

    Raises:
        PromptError: a prompt is longer than the text tower's context.
    """
    width = backbone.text.token_embedding.weight.shape[1]
    tokens = LearnableTokens.draw(config, task, width=width, category=None, seed=seed)
    return PooledTraining(
        [
            PromptTraining(
                backbone,
                support,
                config,
                task=task,
                prompts=prompts_for(backbone.tokenizer, config, task, category),
                tokens=tokens,
            )
            for category, support in supports.items()
        ]
    )
