"""MKD's student: its form for several teachers, its steps against torch's modules, and guided backpropagation."""

import pytest
import torch
from torch import nn

from promptad.networks.student import Student, TeacherMap, guided_relu, halvings

CPU = torch.device("cpu")
CNN = (TeacherMap(side=8, width=6), TeacherMap(side=4, width=10))
TRANSFORMER = (TeacherMap(side=4, width=6), TeacherMap(side=4, width=6))
UNEVEN = (TeacherMap(side=5, width=3),)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def student(maps, size=32):
    return Student.draw(size, maps, draws())


@pytest.mark.parametrize(
    ("side", "least", "count"), [(32, 8, 2), (32, 4, 3), (240, 15, 4), (224, 16, 3), (96, 12, 3), (7, 7, 0), (15, 7, 1)]
)
def test_halvings(side, least, count):
    assert halvings(side, least) == count


@pytest.mark.parametrize("maps", [CNN, TRANSFORMER, UNEVEN])
def test_maps_have_the_teachers_form(maps):
    found = student(maps)(torch.randn(2, 3, 32, 32, generator=draws()))
    assert [tuple(each.shape) for each in found] == [(2, each.side**2, each.width) for each in maps]


def test_the_layers_of_a_stage():
    one = student(CNN)
    shapes = [[tuple(layer.kernel.shape[:2]) for layer in layers] for layers in one.stages]
    assert shapes == [
        [(16, 3), (16, 16), (16, 16), (16, 16), (16, 16), (6, 16)],
        [(16, 6), (16, 16), (16, 16), (10, 16)],
    ]
    # The layer before a maximum, and the one that imitates, are not normalised.
    assert [[layer.norm is not None for layer in layers] for layers in one.stages] == [
        [True, False] * 3,
        [True, False] * 2,
    ]


class TheirStudent(nn.Module):
    """The student of ``CNN``, of torch's modules; its stages end with the layers that imitate."""

    def __init__(self, ours):
        super().__init__()
        self.layers = nn.ModuleList()
        for layers in ours.stages:
            for layer in layers:
                outputs, inputs = layer.kernel.shape[:2]
                made = nn.Conv2d(inputs, outputs, 3, padding=1, bias=layer.bias is not None)
                made.weight.data.copy_(layer.kernel)
                if layer.bias is not None:
                    made.bias.data.copy_(layer.bias)
                self.layers.append(made if layer.norm is None else nn.Sequential(made, nn.BatchNorm2d(outputs)))

    def forward(self, x):
        layer, pool = self.layers, nn.MaxPool2d(2)
        for first in (0, 2):
            x = pool(layer[first + 1](layer[first](x).relu()).relu())
        one = layer[5](layer[4](x).relu())
        x = pool(layer[7](layer[6](one.relu()).relu()).relu())
        two = layer[9](layer[8](x).relu())
        return [each.permute(0, 2, 3, 1).flatten(1, 2) for each in (one, two)]


def test_steps_are_those_of_torchs_modules():
    first = student(CNN)
    ours, theirs = first.leaf(CPU), TheirStudent(first)
    mine, other = torch.optim.Adam(ours.parameters(), lr=1e-3), torch.optim.Adam(theirs.parameters(), lr=1e-3)
    data = draws(1)
    goals = [torch.randn(3, each.side**2, each.width, generator=data) for each in CNN]
    for _ in range(4):
        images = torch.randn(3, 3, 32, 32, generator=data)
        for network, optimiser in ((lambda x: ours(x, learning=True), mine), (theirs, other)):
            optimiser.zero_grad()
            sum((found - goal).square().mean() for found, goal in zip(network(images), goals, strict=True)).backward()
            optimiser.step()
    theirs.eval()
    for found, expected, before in zip(ours.frozen()(images), theirs(images), first(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(found, before, atol=1e-2)


def test_a_side_that_is_no_halving_is_averaged():
    one = student(UNEVEN)
    images = torch.randn(2, 3, 32, 32, generator=draws(1))
    x = images
    layers = one.stages[0]
    assert len(layers) == 6
    for first, second in ((0, 1), (2, 3)):
        x = nn.functional.max_pool2d(layers[second](layers[first](x).relu()).relu(), 2)
    x = layers[5](layers[4](x).relu())
    expected = nn.functional.adaptive_avg_pool2d(x, 5).flatten(2).transpose(1, 2)
    torch.testing.assert_close(one(images)[0], expected, rtol=1e-4, atol=1e-5)


def test_guided_relu_by_hand():
    values = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    found = guided_relu(values)
    assert found.tolist() == [0.0, 2.0, 3.0]
    (gradient,) = torch.autograd.grad((found * torch.tensor([5.0, 6.0, -7.0])).sum(), values)
    assert gradient.tolist() == [0.0, 6.0, 0.0]


def test_tensors_are_restored():
    one = student(CNN).leaf(CPU)
    images = torch.randn(2, 3, 32, 32, generator=draws(1))
    one(images, learning=True)
    frozen = one.frozen()
    again = Student.restored(frozen.tensors())
    assert again.maps == CNN
    for found, expected in zip(again(images), frozen(images), strict=True):
        assert torch.equal(found, expected)
    # What went on to learn is no more what was frozen.
    one(images * 3 + 1, learning=True)
    assert not torch.allclose(one(images)[1], frozen(images)[1], atol=1e-3)
