"""One training for several categories: with one it is that category's own, with more it goes down the mean."""

import pytest
import torch
from helpers.small_models import small_backbone, small_features

from promptad.configs.promptad_config import PromptADConfig
from promptad.prompts.pooled import PooledTraining, begin_pooled_training
from promptad.prompts.prompt_learning import LearnableTokens, PromptTraining, prompts_for

STRONG = PromptADConfig(
    setting="multi_class", learning_rate=0.05, initial_deviation=0.5, align_weight=0.5, n_normal_prompts_image=2
)
VIEWS = ["global", "local/vv", "stream"]
SEEDS = {"bottle": [1, 2, 3], "cable": [4], "tile": [5, 6]}
TASKS = pytest.mark.parametrize("task", ["image", "pixel"])


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def supports(backbone):
    """Categories with other images, as many as are not equal, and other words."""
    return {category: small_features(backbone, seeds, VIEWS) for category, seeds in SEEDS.items()}


def tokens_of(config, task, category=None, seed=0):
    return LearnableTokens.draw(config, task, width=32, category=category, seed=seed)


def training(backbone, support, config, task, category):
    """A training of one category with the tokens that name no category."""
    prompts = prompts_for(backbone.tokenizer, config, task, category)
    tokens = tokens_of(config, task)
    return PromptTraining(backbone, support, config, task=task, prompts=prompts, tokens=tokens)


@TASKS
@pytest.mark.parametrize("changes", [{}, {"sc": False}, {"transformation": "linear"}, {"training": "joint"}])
def test_a_pool_of_one_is_that_categorys_training(backbone, supports, task, changes):
    config = STRONG.with_changes(changes)
    alone = training(backbone, supports["bottle"], config, task, "bottle")
    pooled = begin_pooled_training(backbone, {"bottle": supports["bottle"]}, config, task=task, seed=0)
    for _ in range(4):
        alone.step()
        pooled.step()
    assert torch.equal(pooled.prototypes()[0], alone.prototypes())
    found = pooled.layers()
    assert (found is None) == (alone.layers is None)
    assert found is None or torch.equal(found, alone.layers)


@TASKS
def test_a_step_goes_down_the_mean_of_the_categories_losses(backbone, supports, task):
    """Against SGD by hand on gradients of each category alone, at tokens that move together."""
    config = STRONG.with_changes({"momentum": 0.9, "weight_decay": 0.1})
    pooled = begin_pooled_training(backbone, supports, config, task=task, seed=0)
    alone = [training(backbone, support, config, task, category) for category, support in supports.items()]
    velocities = [torch.zeros_like(leaf) for leaf in (alone[0].prefixes, alone[0].suffixes)]
    for _ in range(3):
        losses = [each.loss()[0] for each in alone]
        gradients = [
            torch.autograd.grad(loss, [each.prefixes, each.suffixes]) for loss, each in zip(losses, alone, strict=True)
        ]
        assert pooled.step() == pytest.approx(sum(losses).item() / 3)
        with torch.no_grad():
            for number, velocity in enumerate(velocities):
                leaves = [(each.prefixes, each.suffixes)[number] for each in alone]
                mean = (gradients[0][number] + gradients[1][number] + gradients[2][number]) / 3
                velocity.mul_(0.9).add_(mean + 0.1 * leaves[0])
                for leaf in leaves:
                    leaf.sub_(0.05 * velocity)
    for found, each in zip(pooled.prototypes(), alone, strict=True):
        torch.testing.assert_close(found, each.prototypes(), rtol=1e-4, atol=1e-5)
    # Each has words of its own, so that they are no copies of each other.
    assert not torch.allclose(pooled.prototypes()[0], pooled.prototypes()[1], atol=1e-3)


def test_layers_are_shared_as_tokens_are(backbone, supports):
    config = STRONG.with_changes({"transformation": "linear"})
    alone = [training(backbone, support, config, "pixel", category) for category, support in supports.items()]
    mean = sum(torch.autograd.grad(each.loss()[0], each.layers)[0] for each in alone) / 3
    pooled = begin_pooled_training(backbone, supports, config, task="pixel", seed=0)
    identity = pooled.layers()
    pooled.step()
    expected = identity - 0.05 * (mean + 0.0005 * identity)
    torch.testing.assert_close(pooled.layers(), expected, rtol=1e-4, atol=1e-5)


def test_initial_tokens_depend_on_the_seed_and_on_no_category(backbone, supports):
    config = STRONG.with_changes({"epochs": 1})

    def prototypes(names, seed=0):
        some = {name: supports[name] for name in names}
        found = begin_pooled_training(backbone, some, config, task="image", seed=seed).prototypes()
        return dict(zip(names, found, strict=True))

    every = prototypes(["bottle", "cable", "tile"])
    assert torch.equal(prototypes(["bottle", "tile"])["tile"], every["tile"])
    assert not torch.equal(prototypes(["bottle", "tile"], seed=1)["tile"], every["tile"])
    tokens = tokens_of(config, "image")
    named = [tokens_of(config, "image", category) for category in (*SEEDS, "")]
    assert not any(torch.equal(tokens.prefixes, each.prefixes) for each in named)
    assert not any(torch.equal(tokens.suffixes, each.suffixes) for each in named)


def test_a_loss_that_is_not_finite_moves_nothing(backbone, supports):
    tokens = tokens_of(STRONG, "image")
    first = training(backbone, supports["bottle"], STRONG, "image", "bottle")
    pooled = PooledTraining([first, training(backbone, supports["cable"], STRONG, "image", "cable")])
    with torch.no_grad():
        first.suffixes.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="the training loss must stay finite, but is nan"):
        pooled.step()
    assert torch.equal(first.prefixes, tokens.prefixes)
