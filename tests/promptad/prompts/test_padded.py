"""Companies of different forms, padded to one shape: each training's losses, gradients and steps are its own."""

import itertools

import pytest
import torch
from helpers.small_models import small_backbone, small_features

from promptad.configs.promptad_config import PromptADConfig
from promptad.prompts import padded
from promptad.prompts.descent import rates_of
from promptad.prompts.padded import Padded, Shape, can_be_padded, learn_padded, padded_companies
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


def all_steps(training):
    for _ in range(training.epochs):
        training.step()


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


def test_a_training_is_the_same_at_any_place_and_in_any_company(backbone, supports):
    """Empty places repeat the first, so that the shape, which chooses the kernels, is always the same."""

    def learned(numbers, shape, at):
        trainings = [begun(backbone, supports, 2 * number, {}) for number in numbers]
        company = Padded(trainings[0], shape)
        company.take(trainings)
        for _ in range(5):
            company.step()
        assert list(company.give_back()) == [None] * len(trainings)
        return trainings[at].learnable()

    shape = Shape(places=6, nodes=64, prompts=24, rows=8, vectors=16, epochs=25)
    alone = learned([3], shape, 0)
    assert torch.equal(alone, learned([3, 0, 1], shape, 0))
    assert torch.equal(alone, learned([0, 1, 2, 4, 5, 3], shape, 5))


def test_one_that_diverges_stops_and_its_neighbours_go_on(backbone, supports):
    rates = {1: 1e30, 3: 1e25}
    together, alone = (
        [begun(backbone, supports, seed, {"learning_rate": rates.get(seed, 0.05)}) for seed in range(5)]
        for _ in range(2)
    )
    company = Padded(together[0], largest(together))
    company.take(together)
    for _ in range(5):
        company.step()
    ended = dict(enumerate(company.give_back()))
    for number, training in enumerate(alone):
        if number in rates:
            with pytest.raises(FloatingPointError) as found:
                all_steps(training)
            assert str(ended[number]).partition("(now")[2] == str(found.value).partition("(now")[2]
            assert "lower learning_rate" in str(ended[number])
        else:
            all_steps(training)
            assert ended[number] is None
            assert difference(together[number].learnable(), training.learnable()) < 1e-4


def test_trainings_of_a_shape_reuse_its_company(backbone, supports, monkeypatch):
    """Also after one with another number of epochs, and after one that diverged: nothing of it is left."""
    made, real = [], padded.Padded.__init__

    def counting(self, like, shape):
        made.append(shape)
        real(self, like, shape)

    monkeypatch.setattr(padded.Padded, "__init__", counting)
    padded.forget_recorded()
    learn_padded([begun(backbone, supports, 0, {"learning_rate": 1e30}), begun(backbone, supports, 2, {"epochs": 9})])
    again = begun(backbone, supports, 4, {})
    assert learn_padded([again]) == [None]
    assert len(made) == 1
    single = begun(backbone, supports, 4, {})
    for _ in range(5):
        single.step()
    assert difference(again.learnable(), single.learnable()) < 1e-4
    for suffixes in (8, 16, 24, 32):
        learn_padded([begun(backbone, supports, 0, {"n_anomaly_suffixes": suffixes})])
    assert len(padded._recorded) == padded.RECORDED < len(made)
    padded.forget_recorded()


def test_companies_are_of_one_shape_and_fill_its_places(backbone, supports, monkeypatch):
    trainings = [begun(backbone, supports, 2 * seed, {}, category="cable") for seed in range(5)]
    trainings.append(begun(backbone, supports, 1, {"n_anomaly_suffixes": 30}))
    assert [len(company) for company in padded_companies(trainings, 32)] == [5, 1]
    assert [len(company) for company in padded_companies(trainings, 2)] == [2, 2, 1, 1]
    monkeypatch.setattr(padded, "PLACES", 3)
    assert [len(company) for company in padded_companies(trainings, 32)] == [3, 2, 1]
    shape = Shape.of(trainings[0])
    assert (shape.nodes % 16, shape.prompts % 8, shape.rows % 8, shape.vectors % 16, shape.epochs % 25) == (0,) * 5
    assert shape.places * shape.nodes <= padded.NODES
    assert not can_be_padded(begun(backbone, supports, 0, {"transformation": "linear"}, "pixel"))
    assert not can_be_padded(begun(backbone, supports, 0, {"margin_distance": "squared_over_second_axis"}))
    assert can_be_padded(begun(backbone, supports, 0, {"margin_distance": "squared_over_second_axis", "eam": False}))


def test_rates_are_those_of_the_descent():
    constant = STRONG.with_changes({"epochs": 4})
    assert rates_of(constant) == (0.05,) * 4
    cosine = rates_of(constant.with_changes({"learning_rate_schedule": "cosine"}))
    expected = [
        1e-5 + (0.05 - 1e-5) * (1 + torch.cos(torch.tensor(torch.pi * each / 4)).item()) / 2 for each in range(4)
    ]
    assert cosine == pytest.approx(expected, rel=1e-6)
