"""DifferNet's flow against FrEIA's coupling blocks with the same weights: ``make test-oracles``."""

import pytest
import torch
from torch import nn

from promptad.networks.coupling_flow import CouplingFlow

pytest.importorskip("FrEIA", reason="FrEIA has an environment of its own: make test-oracles")

from FrEIA.modules import GLOWCouplingBlock

CHANNELS, WIDTH, CLAMP = 6, 7, 3.0


def network(layers):
    """A network of torch's modules with the weights of ours."""
    parts = []
    for layer in layers:
        made = nn.Linear(*layer.weight.shape[::-1])
        made.weight.data.copy_(layer.weight)
        made.bias.data.copy_(layer.bias)
        parts += [made, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def their_block(block):
    """FrEIA's block; it multiplies by its clamp, and does not divide by it first."""
    made = GLOWCouplingBlock(
        [(CHANNELS,)],
        subnet_constructor=nn.Linear,
        clamp=CLAMP,
        clamp_activation=lambda scale: 0.636 * torch.atan(scale / CLAMP),
    )
    # Its second network sees the second half.
    made.subnet2, made.subnet1 = network(block.first), network(block.second)
    return made


@pytest.mark.parametrize("blocks", [1, 4])
def test_the_flow_and_its_determinant(blocks):
    flow = CouplingFlow.draw(
        CHANNELS, blocks=blocks, width=WIDTH, clamp=CLAMP, generator=torch.Generator().manual_seed(0)
    )
    y = 2 * torch.randn(9, CHANNELS, generator=torch.Generator().manual_seed(1))
    z, determinant = flow(y)
    expected, total = y, torch.zeros(9)
    for block in flow.blocks:
        (expected,), own = their_block(block)([expected[:, block.order]])
        total = total + own
    torch.testing.assert_close(z, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(determinant, total.detach(), rtol=1e-4, atol=1e-5)
    assert determinant.abs().min() > 1e-4
