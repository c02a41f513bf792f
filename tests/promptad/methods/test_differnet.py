"""DifferNet's scores by hand, its learning against plain torch, and what it depends on."""

import pytest
import torch
from helpers.memory_methods import fitted, some_features
from helpers.small_models import small_backbone

from promptad.configs.network_configs import DifferNetConfig
from promptad.features.extraction import Features
from promptad.methods.differnet import DifferNet, FittedDifferNet, draw_flow
from promptad.networks.coupling_flow import Coupling, CouplingFlow
from promptad.prompts.linear_layers import Linear

SMALL = DifferNetConfig(steps=4, width=8, blocks=2, step_size=0.01)


def nothing(outputs):
    """A network that moves nothing."""
    return (Linear(weight=torch.zeros(outputs, 1), bias=torch.zeros(outputs)),)


def test_the_score_by_hand():
    identity = Coupling(order=torch.tensor([1, 0]), first=nothing(2), second=nothing(2))
    method = FittedDifferNet(
        backbone=small_backbone(),
        config=SMALL.with_changes({"copies": 3}),
        flow=CouplingFlow(blocks=(identity,), clamp=3.0),
    )
    images = [torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]]), torch.zeros(3, 2)]
    query = Features(views={"rotated/3/raw/global": images}, device=torch.device("cpu"))
    result = method.score(query)
    # (1 + 4 + 9) over 3 copies of 2 channels.
    assert result.image.tolist() == pytest.approx([14 / 6, 0.0])
    assert (result.maps, dict(result.branches)) == (None, {})


def test_learning_against_plain_torch():
    support, query = some_features()
    vectors = support.stack("rotated/8/raw/global").flatten(0, 1)
    flow = draw_flow(vectors.shape[1], SMALL, seed=0, category="bottle").leaf(torch.device("cpu"))
    optimiser = torch.optim.Adam(flow.parameters(), lr=0.01, betas=(0.8, 0.8), eps=1e-4, weight_decay=1e-5)
    for _ in range(SMALL.steps):
        optimiser.zero_grad()
        # The likelihood by torch's own normal distribution, less its constant.
        z, determinant = flow(vectors)
        density = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1)
        (-(density + determinant).mean() / z.shape[1]).backward()
        optimiser.step()
    z, _ = flow(query.stack("rotated/8/raw/global").flatten(0, 1))
    expected = z.detach().square().view(4, -1).mean(dim=1)
    found = fitted(support, SMALL, "image").score(query).image
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(
        found, fitted(support, SMALL.with_changes({"steps": 1}), "image").score(query).image, rtol=1e-4
    )


def test_images_unlike_the_support_score_higher():
    draws = torch.Generator().manual_seed(0)
    support, near = (torch.randn(8, 8, 16, generator=draws) for _ in range(2))
    far = near + 3 * torch.randn(16, generator=draws)
    features = [
        Features(views={"rotated/8/raw/global": list(images)}, device=torch.device("cpu"))
        for images in (support, near, far)
    ]
    method = fitted(features[0], DifferNetConfig(width=32), "image")
    close, distant = (method.score(part).image for part in features[1:])
    assert close.max() < distant.min()


def test_rounds_are_told_with_the_flow_of_their_step():
    support, query = some_features()
    config = SMALL.with_changes({"rounds": 2, "selection": "best_on_test"})
    seen = []
    DifferNet().fit(
        small_backbone(),
        support,
        config,
        task="image",
        category="bottle",
        seed=0,
        on_epoch=lambda number, found: seen.append((number, found.score(query).image)),
    )
    assert [number for number, _ in seen] == [1, 2]
    halfway = fitted(support, config.with_changes({"steps": 2}), "image").score(query).image
    assert torch.equal(seen[0][1], halfway)
    assert not torch.equal(seen[1][1], halfway)


def test_seeds_categories_and_batches():
    support, query = some_features()
    one, same = (fitted(support, SMALL, "image").score(query).image for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, fitted(support, SMALL, "image", seed=1).score(query).image)
    assert not torch.equal(one, fitted(support, SMALL.with_changes({"batch": 5}), "image").score(query).image)
    cable = DifferNet().fit(small_backbone(), support, SMALL, task="image", category="cable", seed=0)
    assert not torch.equal(one, cable.score(query).image)


def test_more_images_than_are_scored_at_once(monkeypatch):
    support, query = some_features()
    expected = fitted(support, SMALL, "image").score(query).image
    monkeypatch.setattr("promptad.methods.differnet.CHUNK", 3)
    torch.testing.assert_close(fitted(support, SMALL, "image").score(query).image, expected)


def test_views():
    backbone = small_backbone()
    assert DifferNet().views(SMALL, "image", backbone) == {"rotated/8/raw/global"}
    unit = SMALL.with_changes({"activations": "unit", "copies": 64})
    assert DifferNet().views(unit, "image", backbone) == {"rotated/64/global"}
