"""Batch normalisation against torch's own layers, over several batches, and what a copy shares."""

import pytest
import torch
from torch import nn

from promptad.networks.batch_norm import BatchNorm

CPU = torch.device("cpu")


@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (2, 3, 4, 5))])
def test_outputs_statistics_and_gradients_are_those_of_torchs_layer(layer, shape):
    theirs, ours = layer(3), BatchNorm.new(3).leaf(CPU)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for own, other in zip(ours.parameters(), (theirs.weight, theirs.bias), strict=True):
            other.copy_(own.copy_(torch.randn(3, generator=draws)))
    for _ in range(3):
        batch = 2 + 3 * torch.randn(shape, generator=draws)
        found, expected = ours(batch, learning=True), theirs(batch)
        torch.testing.assert_close(found, expected)
        found.square().sum().backward()
        expected.square().sum().backward()
    torch.testing.assert_close(ours.scale.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.shift.grad, theirs.bias.grad)
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    theirs.eval()
    torch.testing.assert_close(ours(batch), theirs(batch))
    # Scoring moves nothing.
    torch.testing.assert_close(ours.mean, theirs.running_mean)


def test_a_copy_is_not_moved_with_the_layer():
    first = BatchNorm.new(2)
    leaf = first.leaf(CPU)
    leaf(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), learning=True)
    assert first.mean.tolist() == [0, 0]
    # A tenth of the batch's mean; of its unbiased variance, and nine tenths of 1.
    assert leaf.mean.tolist() == pytest.approx([0.2, 0.4])
    assert leaf.variance.tolist() == pytest.approx([0.9 + 0.2, 0.9 + 0.8])
    frozen = leaf.frozen()
    leaf(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), learning=True)
    assert frozen.mean.tolist() == pytest.approx([0.2, 0.4])
    assert not any(part.requires_grad for part in frozen.parameters())
    assert all(part.requires_grad for part in leaf.parameters())


def test_tensors_are_restored():
    layer = BatchNorm(
        **{name: torch.full((2,), float(n)) for n, name in enumerate(("scale", "shift", "mean", "variance"))}
    )
    again = BatchNorm.restored("norm", layer.tensors("norm"))
    for name in ("scale", "shift", "mean", "variance"):
        assert torch.equal(getattr(again, name), getattr(layer, name))
