"""SimpleNet's networks against torch's modules, and its loss by hand."""

import math

import pytest
import torch
from torch import nn

from promptad.networks.discriminator import Discriminator, truncated_l1, xavier_linear
from promptad.prompts.linear_layers import Linear

CPU = torch.device("cpu")


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def modules(discriminator):
    """The same network of torch's modules."""
    width, hidden = discriminator.hidden.weight.shape[::-1]
    found = nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1, bias=False)
    )
    with torch.no_grad():
        found[0].weight.copy_(discriminator.hidden.weight)
        found[0].bias.copy_(discriminator.hidden.bias)
        found[3].weight.copy_(discriminator.output[None])
    return found


def test_the_loss_by_hand():
    # 0.5 - (2, 0.5, -1) above 0: 0, 0, 1.5; 0.5 + (-2, 0) above 0: 0, 0.5.
    normal, anomalous = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0])
    assert truncated_l1(normal, anomalous, 0.5).item() == pytest.approx(1.5 / 3 + 0.5 / 2)


def test_the_losses_gradient_stops_beyond_the_threshold():
    normal = torch.tensor([2.0, -1.0], requires_grad=True)
    anomalous = torch.tensor([-2.0, 0.1], requires_grad=True)
    truncated_l1(normal, anomalous, 0.5).backward()
    assert normal.grad.tolist() == [0.0, -0.5]
    assert anomalous.grad.tolist() == [0.0, 0.5]


def test_d_by_hand():
    # Hidden (3 - 1, -2) = (2, -2), normalised with mean 1 and variance 4 - 1e-5: (0.5, -1.5), leaky (0.5, -0.3).
    one = Discriminator(
        hidden=Linear(weight=torch.tensor([[1.0, 0.0], [0.0, -1.0]]), bias=torch.tensor([-1.0, 0.0])),
        norm=discriminator_norm(),
        output=torch.tensor([2.0, 1.0]),
    )
    assert one(torch.tensor([[3.0, 2.0]])).tolist() == pytest.approx([2 * 0.5 - 0.3], abs=1e-5)


def discriminator_norm():
    from promptad.networks.batch_norm import BatchNorm

    return BatchNorm(scale=torch.ones(2), shift=torch.zeros(2), mean=torch.ones(2), variance=torch.full((2,), 4 - 1e-5))


def test_steps_are_those_of_torchs_modules():
    first = Discriminator.draw(5, 7, draws())
    ours, theirs = first.leaf(CPU), modules(first)
    mine = torch.optim.Adam(ours.parameters(), lr=0.01, weight_decay=1e-3)
    other = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=1e-3)
    data = draws(1)
    for _ in range(5):
        normal, anomalous = torch.randn(6, 5, generator=data), torch.randn(6, 5, generator=data)
        for network, optimiser in ((lambda x: ours(x, learning=True), mine), (lambda x: theirs(x)[:, 0], other)):
            optimiser.zero_grad()
            truncated_l1(*network(torch.cat([normal, anomalous])).chunk(2), 0.5).backward()
            optimiser.step()
    theirs.eval()
    x = torch.randn(4, 5, generator=data)
    torch.testing.assert_close(ours.frozen()(x), theirs(x)[:, 0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours.frozen()(x), first(x), atol=1e-3)


def test_weights_are_glorots_and_biases_torchs():
    layer = xavier_linear(300, 100, draws())
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0, abs=0.002)
    assert layer.bias.abs().max().item() <= 1 / math.sqrt(300)
    assert Discriminator.draw(4, 999, draws()).output.std().item() == pytest.approx(math.sqrt(2 / 1000), rel=0.05)


def test_tensors_are_restored_and_seeds_differ():
    one = Discriminator.draw(5, 7, draws())
    again = Discriminator.restored(one.tensors())
    x = torch.randn(4, 5, generator=draws(2))
    assert torch.equal(one(x), again(x))
    assert len(one.tensors()) == 7
    assert not torch.equal(Discriminator.draw(5, 7, draws(1)).output, one.output)
