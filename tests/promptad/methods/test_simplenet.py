"""SimpleNet by hand, its learning against plain modules of torch, and what its scores and noise depend on."""

import pytest
import torch
from helpers.memory_methods import fitted, joined, one_layer, scores, some_features
from helpers.small_models import small_backbone
from torch import nn

from promptad.configs.network_configs import SimpleNetConfig
from promptad.features.extraction import Features
from promptad.methods import simplenet as simplenet_module
from promptad.methods.patches import support_patches
from promptad.methods.simplenet import FittedSimpleNet, SimpleNet, draw_networks
from promptad.networks.batch_norm import BatchNorm
from promptad.networks.discriminator import Discriminator
from promptad.prompts.linear_layers import Linear
from promptad.randomness import torch_generator

SMALL = SimpleNetConfig(memory_layers=(1, 2), steps=4, hidden_width=12)


def by_hand(task):
    return FittedSimpleNet(
        backbone=small_backbone(),
        config=SimpleNetConfig(memory_layers=(1,), neighbourhood=1),
        task=task,
        adaptor=Linear(weight=torch.tensor([[2.0]]), bias=torch.tensor([1.0])),
        discriminator=Discriminator(
            hidden=Linear(weight=torch.tensor([[1.0]]), bias=torch.tensor([0.0])),
            norm=BatchNorm(
                scale=torch.tensor([1.0]),
                shift=torch.tensor([0.0]),
                mean=torch.tensor([5.0]),
                variance=torch.tensor([1 - 1e-5]),
            ),
            output=torch.tensor([-3.0]),
        ),
    )


def test_scores_by_hand():
    # q = 2 x + 1 less 5, leaky, times -3, and negated: x = 1: -2 -> -0.4 -> -1.2; x = 3: 2 -> 6; x = 2: 0; x = 0: -2.4.
    query = one_layer([[1.0], [3.0], [2.0], [0.0]])
    assert by_hand("pixel").score(query).maps[0].flatten().tolist() == pytest.approx([-1.2, 6.0, 0.0, -2.4], abs=1e-5)
    assert by_hand("image").score(query).image.tolist() == pytest.approx([6.0], abs=1e-5)


def plain_torch(config, support):
    """The same learning, of torch's modules; returns the score of patches."""
    patches = support_patches(support, ("block/1", "block/2"), neighbourhood=3).flatten(1, 2)
    width = patches.shape[-1]
    adaptor, discriminator = draw_networks(width, config.hidden_width, seed=0, category="bottle")
    first, second = nn.Linear(width, width), nn.Linear(width, config.hidden_width)
    head = nn.Linear(config.hidden_width, 1, bias=False)
    for module, layer in ((first, adaptor), (second, discriminator.hidden)):
        module.weight.data.copy_(layer.weight)
        module.bias.data.copy_(layer.bias)
    head.weight.data.copy_(discriminator.output[None])
    network = nn.Sequential(second, nn.BatchNorm1d(config.hidden_width), nn.LeakyReLU(0.2), head)
    optimisers = (
        torch.optim.AdamW(first.parameters(), lr=1e-4, weight_decay=0.01),
        torch.optim.Adam(network.parameters(), lr=2e-4, weight_decay=1e-5),
    )
    sigma = config.noise or config.noise_in_rms * (patches.square().sum() / patches.numel()).sqrt()
    noise = torch_generator(0, "bottle", "simplenet noise")
    for _ in range(config.steps):
        q = first(patches.flatten(0, 1))
        anomalous = q + sigma * torch.randn(q.shape, generator=noise)
        above, below = network(torch.cat([q, anomalous]))[:, 0].tensor_split(2)
        loss = nn.functional.relu(0.5 - above).mean() + nn.functional.relu(below + 0.5).mean()
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
    network.eval()
    return lambda query: -network(first(query))[..., 0]


@pytest.mark.parametrize("changes", [{}, {"noise": 0.4}])
def test_learning_against_plain_torch(changes):
    config = SMALL.with_changes(changes)
    support, query = some_features()
    theirs = plain_torch(config, support)
    patches = torch.tensor(joined(query, (1, 2), 3), dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(patches.flatten(0, 2)).view(4, 4, 4)
    # Adam makes whole steps of what rounding leaves of a zero gradient: that of biases which the normalisation removes.
    torch.testing.assert_close(scores(config).maps, expected, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(scores(config, "image").image, expected.flatten(1).amax(dim=1), rtol=1e-3, atol=2e-3)
    before = config.with_changes({"steps": 1})
    assert (scores(before).maps - expected).abs().max() > 0.01


def test_a_planted_outlier_scores_higher_the_farther_it_is():
    support, _ = some_features()
    method = fitted(support, SimpleNetConfig(memory_layers=(1, 2), neighbourhood=1, steps=300))
    views = ("block/1", "block/2")
    image = {view: support.views[view][0].clone() for view in views}
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    found = []
    for strength in (0.0, 0.3, 1.0):
        moved = {view: [value.clone()] for view, value in image.items()}
        for view in views:
            moved[view][0][5] += strength * direction / direction.norm()
        found.append(method.score(Features(views=moved, device=torch.device("cpu"))).maps[0].flatten())
    assert found[0][5] < found[1][5] < found[2][5]
    assert found[2].argmax() == 5
    # Normal patches lie below the threshold that the loss asks of them, on average.
    assert found[0].mean() < -0.2


def test_noise_is_in_units_of_the_patches_length():
    """So features of other length give the same learning, up to the adaptor's own."""
    support, _ = some_features()
    patches = support_patches(support, ("block/1", "block/2"), neighbourhood=3)
    rms = patches.square().mean().sqrt().item()
    by_unit = fitted(support, SMALL.with_changes({"noise_in_rms": 0.5}))
    by_number = fitted(support, SMALL.with_changes({"noise": 0.5 * rms}))
    torch.testing.assert_close(by_unit.discriminator.output, by_number.discriminator.output, rtol=1e-5, atol=1e-6)
    other = fitted(support, SMALL.with_changes({"noise": 0.5}))
    assert not torch.allclose(by_unit.discriminator.output, other.discriminator.output, atol=1e-5)


def test_rounds_are_told_with_the_network_of_their_step():
    support, query = some_features()
    config = SMALL.with_changes({"steps": 6, "rounds": 3, "selection": "best_on_test"})
    seen = []
    SimpleNet().fit(
        small_backbone(),
        support,
        config,
        task="pixel",
        category="bottle",
        seed=0,
        on_epoch=lambda number, found: seen.append((number, found)),
    )
    assert [number for number, _ in seen] == [1, 2, 3]
    for number, found in seen:
        alone = fitted(support, config.with_changes({"steps": 2 * number}))
        assert torch.equal(found.score(query).maps, alone.score(query).maps)


def test_seeds_and_categories_draw_networks_noise_and_batches():
    support, query = some_features()
    config = SMALL.with_changes({"batch": 2})
    one, same = (fitted(support, config).score(query).maps for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, fitted(support, config, seed=1).score(query).maps, atol=1e-4)
    assert not torch.equal(one, scores(SMALL).maps)
    cable = SimpleNet().fit(small_backbone(), support, config, task="pixel", category="cable", seed=0)
    assert not torch.allclose(one, cable.score(query).maps, atol=1e-4)


def test_noise_and_batches_are_drawn_anew_beside_the_networks(monkeypatch):
    support, query = some_features()
    networks = simplenet_module.draw_networks(64, 8, seed=9, category="none")
    monkeypatch.setattr(simplenet_module, "draw_networks", lambda *_, **__: networks)
    for changes in ({"batch": 2, "noise_in_rms": 1e-9}, {"batch": 3}):
        config = SMALL.with_changes(changes)
        one, other = (fitted(support, config, seed=seed).score(query).maps for seed in (0, 1))
        assert not torch.allclose(one, other, atol=1e-5)


def test_views():
    assert SimpleNet().views(SMALL, "pixel", small_backbone()) == {"block/1", "block/2"}
    raw = SMALL.with_changes({"activations": "raw"})
    assert SimpleNet().views(raw, "pixel", small_backbone()) == {"raw/block/1", "raw/block/2"}
    assert not torch.equal(scores(raw).maps, scores(SMALL).maps)


def test_a_loss_that_diverges_is_an_error():
    support, _ = some_features()
    with pytest.raises(FloatingPointError, match="the training loss must stay finite"):
        fitted(support, SMALL.with_changes({"noise": 1e38, "steps": 3}))
