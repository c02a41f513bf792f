"""Courses of learning: which items a step takes, where rounds end, and losses that are not finite."""

import pytest
import torch

from promptad.networks.learning import Course, learn


def generator():
    return torch.Generator().manual_seed(0)


def test_few_items_are_all_taken_at_every_step():
    taken = [chosen.tolist() for chosen in Course(steps=3, rounds=1, batch=4).batches(4, generator())]
    assert taken == [[0, 1, 2, 3]] * 3


def test_many_items_pass_by_in_drawn_orders():
    taken = [chosen.tolist() for chosen in Course(steps=8, rounds=1, batch=2).batches(5, generator())]
    assert [len(chosen) for chosen in taken] == [2, 2, 1, 2, 2, 1, 2, 2]
    passes = [[item for chosen in part for item in chosen] for part in (taken[:3], taken[3:6])]
    assert [sorted(order) for order in passes] == [[0, 1, 2, 3, 4]] * 2
    assert passes[0] != passes[1]
    again = [chosen.tolist() for chosen in Course(steps=8, rounds=1, batch=2).batches(5, generator())]
    assert again == taken


@pytest.mark.parametrize(
    ("steps", "rounds", "ends"),
    [
        (160, 40, {4 * number: number for number in range(1, 41)}),
        (5, 2, {3: 1, 5: 2}),
        (3, 7, {1: 1, 2: 2, 3: 3}),
        (1, 1, {1: 1}),
    ],
)
def test_rounds_divide_the_steps(steps, rounds, ends):
    assert dict(Course(steps=steps, rounds=rounds, batch=1).round_ends()) == ends


def test_every_optimiser_moves_and_rounds_are_told_after_their_steps():
    one, two = torch.tensor(4.0, requires_grad=True), torch.tensor(8.0, requires_grad=True)
    seen = []
    learn(
        [torch.optim.SGD([one], lr=0.5), torch.optim.SGD([two], lr=0.25)],
        lambda chosen: (one + two) * len(chosen),
        Course(steps=4, rounds=2, batch=2),
        items=2,
        generator=generator(),
        on_round=lambda number: seen.append((number, one.item(), two.item())),
    )
    # Gradient 2: one falls by 1 a step, two by a half.
    assert seen == [(1, 2.0, 7.0), (2, 0.0, 6.0)]


@pytest.mark.parametrize("on_round", [None, lambda _: None])
def test_a_loss_that_is_not_finite_is_an_error_even_if_later_ones_are(on_round):
    leaf = torch.tensor(1.0, requires_grad=True)
    losses = iter([leaf * 1, leaf * 0 + float("nan"), leaf * 1, leaf * 1])
    with pytest.raises(FloatingPointError, match="the training loss must stay finite, but was not in some step up to"):
        learn(
            [torch.optim.SGD([leaf], lr=0.0)],
            lambda _: next(losses),
            Course(steps=4, rounds=1, batch=1),
            items=1,
            generator=generator(),
            on_round=on_round,
        )
