"""Companies of different forms, padded to one shape: each training's losses, gradients and steps are its own."""

import itertools

import pytest
import torch
from helpers.small_models import small_backbone, small_features

from promptad.configs.promptad_config import PromptADConfig
from promptad.prompts.padded import Padded, Shape
from promptad.prompts.prompt_learning import begin_training

STRONG = PromptADConfig(learning_rate=0.05, initial_deviation=0.5, align_weight=0.5, epochs=5)
COMPANIES = {
    "one": [{}],
    "five seeds": [{}] * 5,
    "lambdas, rates, EAM": [
        *({"align_weight": 0.0}, {"learning_rate": 0.2}, {"eam": False}, {"margin": 0.3}, {"margin_weight": 0.0}),
        *({"tau": 0.1}, {"momentum": 0.0}, {"weight_decay": 0.1}, {"learning_rate_schedule": "cosine"}),
        *({"alignment": "means_of_normalised"}, {"epochs": 3}, {"epochs": 0}),
    ],
    "N x L": [
        {"n_normal_prompts_image": n, "n_normal_prompts_pixel": n, "n_anomaly_suffixes": suffixes}
        for n, suffixes in itertools.product((1, 2, 3), (1, 4))
    ],
    "forms": [{}, {"sc": False, "eam": False}, {"maps": False}, {"laps": False}, {"training": "joint"}],
}


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def supports(backbone):
    views = ["global", "local/vv", "stream"]
    return [small_features(backbone, images, views) for images in ([1], [2, 3, 4, 5])]


def begun(backbone, supports, seed, changes, task="image", category=None):
    config = STRONG.with_changes(changes)
    category = category or ("cable", "bottle", "carpet")[seed % 3]
    return begin_training(backbone, supports[seed % 2], config, task=task, category=category, seed=seed)


def difference(found, expected):
    return float((found - expected).detach().abs().max() / expected.detach().abs().max().clamp(min=1e-12))


def largest(trainings):
    """A shape in which all of them have a place."""
    shapes = [Shape.of(training) for training in trainings]
    top = {
        name: max(getattr(shape, name) for shape in shapes)
        for name in ("nodes", "prompts", "rows", "vectors", "epochs")
    }
    return Shape(places=len(trainings) + 2, **top)


@pytest.mark.parametrize("task", ["image", "pixel"])
@pytest.mark.parametrize("changes", COMPANIES.values(), ids=COMPANIES)
def test_losses_gradients_and_five_steps_are_those_of_each_alone(backbone, supports, changes, task):
    def make():
        return [begun(backbone, supports, seed, change, task) for seed, change in enumerate(changes)]

    together, alone, first = make(), make(), make()
    company = Padded(together[0], largest(together))
    company.take(together)
    tokens = company.tokens.clone().requires_grad_()
    total, parts = company.losses(tokens)
    (gradient,) = torch.autograd.grad(total.sum(), tokens)
    for place, training in enumerate(alone):
        loss, said = training.loss()
        loss.backward()
        assert difference(total[place], loss) < 1e-5
        expected = torch.tensor([said.contrastive, said.margin, said.alignment])
        torch.testing.assert_close(parts[:, place].detach(), expected, rtol=1e-5, atol=1e-6)
        own = torch.cat([training.prefixes.grad.flatten(0, 1), training.suffixes.grad.flatten(0, 1)])
        assert difference(gradient[place, : len(own)], own) < 1e-5
        assert not gradient[place, len(own) :].any()
        training.prefixes.grad = training.suffixes.grad = None
    for _ in range(max(training.epochs for training in together)):
        company.step()
    assert list(company.give_back()) == [None] * len(together)
    for mine, single, began in zip(together, alone, first, strict=True):
        for _ in range(single.epochs):
            single.step()
        moved = single.learnable() - began.learnable()
        assert difference(mine.learnable() - began.learnable(), moved) < 1e-4
        assert single.epochs == 0 or moved.abs().max() > 1e-4
