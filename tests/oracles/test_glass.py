"""SimpleNet's two networks against those of anomalib's GLASS, which are SimpleNet's: ``make test-oracles``."""

import warnings

import pytest
import torch
from torch import nn

from promptad.networks.discriminator import Discriminator, xavier_linear

pytest.importorskip("anomalib", reason="anomalib has an environment of its own: make test-oracles")

with warnings.catch_warnings():
    # It imports what timm has moved.
    warnings.simplefilter("ignore")
    from anomalib.models.image.glass.components import Discriminator as TheirDiscriminator
    from anomalib.models.image.glass.components import Projection

WIDTH, HIDDEN = 12, 20


def generator():
    return torch.Generator().manual_seed(0)


def layers_of(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def test_the_adaptor():
    ours = xavier_linear(WIDTH, WIDTH, generator())
    theirs = Projection(WIDTH, WIDTH, 1, 0)
    (layer,) = layers_of(theirs, nn.Linear)
    layer.weight.data.copy_(ours.weight)
    layer.bias.data.copy_(ours.bias)
    patches = torch.randn(5, WIDTH, generator=generator())
    torch.testing.assert_close(ours(patches), theirs(patches).detach())


@pytest.mark.parametrize("learning", [True, False])
def test_the_discriminators_logit(learning):
    ours = Discriminator.draw(WIDTH, HIDDEN, generator()).leaf(torch.device("cpu"))
    theirs = TheirDiscriminator(WIDTH, n_layers=2, hidden=HIDDEN)
    hidden, output = layers_of(theirs, nn.Linear)
    hidden.weight.data.copy_(ours.hidden.weight)
    hidden.bias.data.copy_(ours.hidden.bias)
    output.weight.data.copy_(ours.output[None])
    # It draws the normalisation's scale.
    (norm,) = layers_of(theirs, nn.BatchNorm1d)
    ours.norm.scale.data.copy_(norm.weight.data)
    for number in range(3):
        patches = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(number))
        theirs(patches), ours(patches, learning=True)
    theirs.train(learning)
    # Its score is a sigmoid's, the paper's is not.
    torch.testing.assert_close(
        ours(patches, learning=learning).sigmoid().detach(), theirs(patches).flatten().detach(), rtol=1e-4, atol=1e-6
    )
