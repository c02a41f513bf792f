"""The flow: by hand, determinants against autograd's Jacobian, its inverse, and its steps against torch's modules."""

import math

import pytest
import torch
from torch import nn

from promptad.networks.coupling_flow import Coupling, CouplingFlow, negative_log_likelihood, soft_clamp
from promptad.prompts.linear_layers import Linear

CPU = torch.device("cpu")


def flow(channels=4, blocks=3, width=6, clamp=3.0, seed=0):
    drawn = CouplingFlow.draw(
        channels, blocks=blocks, width=width, clamp=clamp, generator=torch.Generator().manual_seed(seed)
    )
    # Initial layers move little: larger weights make the case.
    for block in drawn.blocks:
        for layer in (*block.first, *block.second):
            layer.weight.mul_(1.6)
    return drawn


def constant(*values):
    """A network whose output is constant: its last layer has these biases, and no weight."""
    nothing = Linear(weight=torch.zeros(1, 1), bias=torch.zeros(1))
    return (nothing, Linear(weight=torch.zeros(len(values), 1), bias=torch.tensor(values)))


def test_a_block_by_hand():
    scale = 3 * 0.636 * math.atan(1 / 3)
    block = Coupling(order=torch.tensor([1, 0]), first=constant(1.0, 0.5), second=constant(0.0, -2.0))
    output, determinant = block(torch.tensor([[5.0, 7.0]]), 3.0)
    # The order makes (7, 5) of it; then 7 e^s + 0.5, and 5 e^0 - 2.
    assert output[0].tolist() == pytest.approx([7 * math.exp(scale) + 0.5, 3.0], rel=1e-6)
    assert determinant.tolist() == pytest.approx([scale])


def test_the_second_half_sees_the_first_as_it_was_moved():
    identity = Linear(weight=torch.tensor([[0.0], [1.0]]), bias=torch.zeros(2))
    block = Coupling(order=torch.tensor([0, 1]), first=constant(0.0, 10.0), second=(identity,))
    output, _ = block(torch.tensor([[1.0, 2.0]]), 3.0)
    # u1 = 1 + 10, and t(u1) = u1: u2 = 2 + 11.
    assert output.tolist() == [[11.0, 13.0]]


def test_the_clamp():
    assert soft_clamp(torch.tensor([0.0]), 3.0).item() == 0
    assert soft_clamp(torch.tensor([1e-3]), 3.0).item() == pytest.approx(0.636e-3)
    assert soft_clamp(torch.tensor([1e9]), 3.0).item() == pytest.approx(3 * 0.636 * math.pi / 2, rel=1e-6)


@pytest.mark.parametrize("channels", [4, 5])
def test_the_determinant_is_autograds(channels):
    one = flow(channels)
    for number in range(5):
        y = torch.randn(channels, generator=torch.Generator().manual_seed(number))
        jacobian = torch.autograd.functional.jacobian(lambda y: one(y[None])[0][0], y)
        expected = torch.linalg.slogdet(jacobian.double())[1]
        determinant = one(y[None])[1][0]
        assert determinant.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
        assert abs(determinant.item()) > 1e-3


def inverse(one, z):
    """From z back to y, block by block, in the other order."""
    for block in reversed(one.blocks):
        half = z.shape[1] // 2
        first, second = z[:, :half], z[:, half:]

        def parts(network, x):
            for number, layer in enumerate(network):
                x = x @ layer.weight.T + layer.bias
                x = x.clamp(min=0) if number < len(network) - 1 else x
            return x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]

        scale, shift = parts(block.second, first)
        second = (second - shift) / torch.exp(one.clamp * 0.636 * torch.atan(scale / one.clamp))
        scale, shift = parts(block.first, second)
        first = (first - shift) / torch.exp(one.clamp * 0.636 * torch.atan(scale / one.clamp))
        ordered = torch.cat([first, second], dim=1)
        z = torch.empty_like(ordered)
        z[:, block.order] = ordered
    return z


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_the_flow_can_be_inverted(channels):
    one = flow(channels, blocks=4)
    y = torch.randn(6, channels, generator=torch.Generator().manual_seed(1))
    z, _ = one(y)
    torch.testing.assert_close(inverse(one, z), y, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(z, y, atol=0.1)


def test_the_loss_by_hand():
    z, determinant = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([1.0, -2.0])
    # (5 / 2 - 1 + 16 / 2 + 2) / 2 images / 2 channels.
    assert negative_log_likelihood(z, determinant).item() == pytest.approx((1.5 + 10) / 4)


def test_learning_makes_vectors_standard_normal():
    one = flow(2, blocks=4, width=16).leaf(CPU)
    data = torch.Generator().manual_seed(5)
    y = torch.randn(400, 2, generator=data) * torch.tensor([0.2, 3.0]) + torch.tensor([4.0, -1.0])
    optimiser = torch.optim.Adam(one.parameters(), lr=5e-3)
    for _ in range(200):
        optimiser.zero_grad()
        negative_log_likelihood(*one(y)).backward()
        optimiser.step()
    z = one(y)[0].detach()
    assert z.mean(dim=0).tolist() == pytest.approx([0, 0], abs=0.2)
    assert z.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.2)


class TheirBlock(nn.Module):
    """One block of torch's modules."""

    def __init__(self, block):
        super().__init__()
        self.order = block.order
        self.networks = nn.ModuleList()
        for network in (block.first, block.second):
            layers = []
            for layer in network:
                made = nn.Linear(*layer.weight.shape[::-1])
                made.weight.data.copy_(layer.weight)
                made.bias.data.copy_(layer.bias)
                layers += [made, nn.ReLU()]
            self.networks.append(nn.Sequential(*layers[:-1]))

    def forward(self, x):
        one, two = x[:, self.order].tensor_split(2, dim=1)
        s, t = self.networks[0](two).chunk(2, dim=1)
        s = 3 * 0.636 * torch.atan(s / 3)
        one = torch.exp(s) * one + t
        r, t = self.networks[1](one).chunk(2, dim=1)
        r = 3 * 0.636 * torch.atan(r / 3)
        return torch.cat([one, torch.exp(r) * two + t], dim=1), s.sum(dim=1) + r.sum(dim=1)


def test_steps_are_those_of_torchs_modules():
    first = flow()
    ours, theirs = first.leaf(CPU), nn.ModuleList([TheirBlock(block) for block in first.blocks])
    options = {"lr": 1e-2, "betas": (0.8, 0.8), "eps": 1e-4, "weight_decay": 1e-5}
    mine, other = torch.optim.Adam(ours.parameters(), **options), torch.optim.Adam(theirs.parameters(), **options)
    y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

    def their_flow(y):
        total = 0
        for block in theirs:
            y, own = block(y)
            total = total + own
        return y, total

    for _ in range(5):
        for network, optimiser in ((ours, mine), (their_flow, other)):
            optimiser.zero_grad()
            z, determinant = network(y)
            (0.5 * z.square().sum(dim=1) - determinant).mean().div(4).backward()
            optimiser.step()
    torch.testing.assert_close(ours.frozen()(y)[0], their_flow(y)[0].detach(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours.frozen()(y)[0], first(y)[0], atol=1e-2)


def test_permutations_are_fixed_and_differ():
    drawn = flow(8)
    orders = [block.order.tolist() for block in drawn.blocks]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [block.order.tolist() for block in drawn.leaf(CPU).blocks] == orders


def test_tensors_are_restored():
    one = flow(5)
    again = CouplingFlow.restored(one.tensors(), one.clamp)
    y = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    for found, expected in zip(again(y), one(y), strict=True):
        assert torch.equal(found, expected)
    assert len(again.blocks) == 3
    assert sum(part.numel() for part in one.parameters()) == sum(
        value.numel() for name, value in one.tensors().items() if not name.endswith("/order")
    )
