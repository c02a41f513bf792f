"""The optimisation of prompts of any method: SGD on all support images, with one of two schedules."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from promptad.configs.method_configs import PromptLearningConfig
from promptad.configs.promptad_config import PromptADConfig

COSINE_FLOOR = 1e-5
"""Learning rate at the end of cosine annealing (the released code's)."""


@functools.lru_cache(maxsize=256)
def rates_of(config: PromptADConfig | PromptLearningConfig) -> tuple[float, ...]:
    """The learning rate of each epoch."""
    descent = Descent(config, [torch.zeros(1)])
    rates = []
    for _ in range(config.epochs):
        rates.append(descent.rate)
        descent.move()
    return tuple(rates)


class Descent:
    """SGD with momentum and weight decay on some leaf tensors, one step per epoch (deviation D16: the schedule)."""

    def __init__(self, config: PromptADConfig | PromptLearningConfig, parameters: Sequence[Tensor]) -> None:
        self._optimiser = torch.optim.SGD(
            parameters, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
        self._schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, max(config.epochs, 1), eta_min=COSINE_FLOOR)
            if config.learning_rate_schedule == "cosine"
            else None
        )

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimiser.param_groups[0]["lr"])

    def step(self, losses: Iterable[Tensor]) -> float:
        """One step down the sum of ``losses``, computed one by one, so that only one graph is held at a time.

        Returns the sum before the step.

        Raises:
            FloatingPointError: the sum is not finite; then no tensor has changed.
        """
        self._optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for loss in losses:
            total += loss.item()
            loss.backward()
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the training loss must stay finite, but is {total}: lower learning_rate or use precision fp32"
            )
        self.move()
        return total

    def move(self) -> None:
        """One step along the gradients that the tensors have now; they are let go."""
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        if self._schedule is not None:
            self._schedule.step()
