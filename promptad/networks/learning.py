"""How a small network learns: steps on batches of normal items, in rounds after which it can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """``steps`` steps, each on at most ``batch`` items, divided as evenly as possible into ``rounds`` rounds."""

    steps: int
    rounds: int
    batch: int

    def batches(self, items: int, generator: torch.Generator) -> Iterator[Int[Tensor, " chosen"]]:
        """The numbers of the items of each step.

        Where all fit into a batch each step takes all. Else each pass over the items has an order of its own, drawn,
        and its last batch takes what is left.
        """
        taken = 0
        while taken < self.steps:
            order = torch.arange(items) if items <= self.batch else torch.randperm(items, generator=generator)
            for chosen in order.split(self.batch)[: self.steps - taken]:
                taken += 1
                yield chosen

    def round_ends(self) -> Mapping[int, int]:
        """The number of each round, from 1, by the step that ends it; at most as many rounds as steps."""
        rounds = min(self.rounds, self.steps)
        return {-(-self.steps * number // rounds): number for number in range(1, rounds + 1)}


def learn(
    optimisers: Sequence[torch.optim.Optimizer],
    loss_of: Callable[[Int[Tensor, " chosen"]], Tensor],
    course: Course,
    *,
    items: int,
    generator: torch.Generator,
    on_round: Callable[[int], None] | None = None,
) -> None:
    """Take the course's steps down ``loss_of`` the items of each; ``on_round`` is called with the number of each round.

    Whether losses were finite is asked at the end of a round alone, since an answer waits for the device.

    Raises:
        FloatingPointError: some loss was not finite.
    """
    ends = course.round_ends()
    finite: Tensor | None = None
    for step, chosen in enumerate(course.batches(items, generator), start=1):
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss = loss_of(chosen)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        here = torch.isfinite(loss.detach())
        finite = here if finite is None else finite & here
        if step == course.steps or (on_round is not None and step in ends):
            if not bool(finite):
                raise FloatingPointError(
                    f"the training loss must stay finite, but was not in some step up to {step}: lower the method's "
                    "learning rates (its fields that end with step_size)"
                )
            if on_round is not None:
                on_round(ends[step])
