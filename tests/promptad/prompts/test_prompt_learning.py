"""Prompt learning: what is drawn, what the loss is made of, and SGD step by step against a plain loop."""

import dataclasses
import math

import pytest
import torch
from helpers.small_models import small_backbone, small_features
from open_clip.tokenizer import SimpleTokenizer
from torch.nn.functional import normalize

from promptad.backbones.towers import linear_local_features
from promptad.configs.method_configs import CoCoOpConfig, WinCLIPConfig
from promptad.configs.promptad_config import PromptADConfig
from promptad.prompts.losses import alignment_loss, contrastive_loss, margin_loss, prototype
from promptad.prompts.prompt_learning import LearnableTokens, PromptTraining, inverse_temperature, prompts_for
from promptad.texts.suffixes import CATEGORY_SUFFIXES, GENERIC_PAPER, GENERIC_REFERENCE

STRONG = PromptADConfig(learning_rate=0.05, initial_deviation=0.5, align_weight=0.5, n_normal_prompts_image=2)


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def support(backbone):
    return small_features(backbone, [1, 2, 3], ["global", "local/vv", "local/clip", "stream"])


def draw(config, task="image", category="bottle", seed=0):
    return LearnableTokens.draw(config, task, width=32, category=category, seed=seed)


def train(backbone, support, config, task="image", tokens=None):
    prompts = prompts_for(backbone.tokenizer, config, task, "bottle")
    return PromptTraining(backbone, support, config, task=task, prompts=prompts, tokens=tokens or draw(config, task))


def test_tokens_have_the_configs_shapes():
    config = PromptADConfig(
        n_normal_prompts_image=3, n_normal_prompts_pixel=2, n_anomaly_suffixes=5, n_anomaly_tokens=2
    )
    assert draw(config, "image").prefixes.shape == (3, 4, 32)
    assert draw(config, "pixel").prefixes.shape == (2, 4, 32)
    assert draw(config.with_changes({"training": "joint"}), "pixel").prefixes.shape == (3, 4, 32)
    assert draw(config).suffixes.shape == (5, 2, 32)
    for off in ({"laps": False}, {"sc": False}):
        assert draw(config.with_changes(off)).suffixes.shape == (0, 2, 32)


def test_a_token_is_the_same_however_many_are_drawn():
    many = draw(PromptADConfig(n_normal_prompts_image=8, n_anomaly_suffixes=8))
    for number in range(1, 8):
        few = draw(PromptADConfig(n_normal_prompts_image=number, n_anomaly_suffixes=number))
        assert torch.equal(few.prefixes, many.prefixes[:number])
        assert torch.equal(few.suffixes, many.suffixes[:number])


def test_arms_of_an_ablation_start_from_the_same_tokens():
    for changes in ({"sc": False}, {"laps": False}, {"eam": False}, {"transformation": "clip"}):
        changed = draw(PromptADConfig().with_changes(changes), "pixel")
        assert torch.equal(changed.prefixes, draw(PromptADConfig(), "image").prefixes)


def test_draws_differ_by_seed_category_and_purpose():
    config = PromptADConfig(n_normal_tokens=1, n_anomaly_tokens=1, n_normal_prompts_image=4, n_anomaly_suffixes=4)
    drawn = [draw(config), draw(config, seed=1), draw(config, category="cable")]
    every = [tokens for each in drawn for tokens in (each.prefixes, each.suffixes)]
    assert not any(torch.equal(every[i], every[j]) for i in range(6) for j in range(i))


def test_tokens_are_normal_with_the_initial_deviation():
    config = PromptADConfig(n_normal_prompts_image=64, n_normal_tokens=32)
    tokens = draw(config).prefixes
    assert tokens.mean().item() == pytest.approx(0, abs=4 * 0.02 / math.sqrt(tokens.numel()))
    assert tokens.std().item() == pytest.approx(0.02, rel=0.02)
    doubled = draw(config.with_changes({"initial_deviation": 0.04})).prefixes
    torch.testing.assert_close(doubled, 2 * tokens)


def test_training_leaves_the_given_tokens_and_the_backbone_as_they_were(backbone, support):
    tokens = draw(STRONG)
    before = [tokens.prefixes.clone(), tokens.suffixes.clone()]
    weights = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    training = train(backbone, support, STRONG, tokens=tokens)
    for _ in range(2):
        training.step()
    assert torch.equal(tokens.prefixes, before[0])
    assert torch.equal(tokens.suffixes, before[1])
    assert not torch.equal(training.prefixes, before[0])
    assert not torch.equal(training.suffixes, before[1])
    assert all(torch.equal(weights[name], value) for name, value in backbone.model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in backbone.model.parameters())


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_sgd_with_momentum_decay_and_schedule(backbone, support, schedule, momentum):
    config = STRONG.with_changes(
        {"learning_rate_schedule": schedule, "momentum": momentum, "weight_decay": 0.1, "epochs": 4}
    )
    training, oracle = train(backbone, support, config), train(backbone, support, config)
    parameters = [oracle.prefixes, oracle.suffixes]
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for epoch in range(4):
        training.step()
        gradients = torch.autograd.grad(oracle.loss()[0], parameters)
        rate = config.learning_rate
        if schedule == "cosine":
            rate = 1e-5 + (rate - 1e-5) * (1 + math.cos(math.pi * epoch / 4)) / 2
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(momentum).add_(gradient + 0.1 * parameter)
                parameter.sub_(rate * velocity)
        torch.testing.assert_close(training.prefixes, oracle.prefixes, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(training.suffixes, oracle.suffixes, rtol=1e-4, atol=1e-5)


def test_training_lowers_the_loss(backbone, support):
    training = train(backbone, support, STRONG.with_changes({"learning_rate": 0.01, "align_weight": 0.001}))
    before = training.loss()[0].item()
    for _ in range(10):
        training.step()
    assert training.loss()[0].item() < before - 0.1


def test_step_returns_the_losses_before_it(backbone, support):
    training = train(backbone, support, STRONG)
    expected = training.loss()[1]
    assert training.step() == expected
    assert training.loss()[1] != expected


@pytest.mark.parametrize(("task", "view"), [("image", "global"), ("pixel", "local/vv")])
def test_the_loss_is_equation_12_plus_13_plus_lambda_15(backbone, support, task, view):
    training = train(backbone, support, STRONG, task)
    normal, manual, learnable = training.text_features()
    anomaly, z = torch.cat([manual, learnable]), support.stack(view)
    contrastive = contrastive_loss(z, normal, anomaly, 20.0)
    margin = margin_loss(z, normal, anomaly, "euclidean")
    alignment = alignment_loss(manual, learnable, "normalised_means")
    total, parts = training.loss()
    torch.testing.assert_close(total, contrastive + margin + 0.5 * alignment)
    assert dataclasses.astuple(parts) == pytest.approx((contrastive.item(), margin.item(), alignment.item()))


@pytest.mark.parametrize("weight", [0.0, 0.25, 3.0])
def test_equation_13_has_a_margin_and_a_weight(backbone, support, weight):
    config = STRONG.with_changes({"margin": 0.5, "margin_weight": weight})
    total, parts = train(backbone, support, config).loss()
    plain = train(backbone, support, STRONG)
    normal, manual, learnable = plain.text_features()
    anomaly, z = torch.cat([manual, learnable]), support.stack("global")
    difference = (z - prototype(normal)).norm(dim=-1) - (z - prototype(anomaly)).norm(dim=-1)
    hinge = (difference + 0.5).clamp(min=0).mean()
    assert parts.margin == pytest.approx(hinge.item())
    others = plain.loss()[1]
    assert total.item() == pytest.approx(others.contrastive + weight * hinge.item() + 0.5 * others.alignment)


def test_joint_training_sums_both_tasks(backbone, support):
    parts = {}
    for task, training in (("image", "per_task"), ("pixel", "per_task"), ("image", "joint")):
        config = STRONG.with_changes({"training": training, "n_normal_prompts_pixel": 2})
        parts[task, training] = train(backbone, support, config, task).loss()[1]
    alone = parts["image", "per_task"], parts["pixel", "per_task"]
    joint = parts["image", "joint"]
    assert joint.contrastive == pytest.approx(alone[0].contrastive + alone[1].contrastive)
    assert joint.margin == pytest.approx(alone[0].margin + alone[1].margin)
    assert joint.alignment == pytest.approx(alone[0].alignment)


def test_parts_that_are_off_are_zero(backbone, support):
    full = train(backbone, support, STRONG).loss()[1]
    assert min(dataclasses.astuple(full)) > 0
    no_margin = train(backbone, support, STRONG.with_changes({"eam": False}))
    assert no_margin.loss()[1] == dataclasses.replace(full, margin=0.0)
    for off in ({"laps": False}, {"maps": False}, {"sc": False}):
        training = train(backbone, support, STRONG.with_changes(off))
        total, parts = training.loss()
        assert parts.alignment == 0
        assert total.item() == pytest.approx(parts.contrastive + parts.margin)


def test_two_class_form_trains_prefixes_alone(backbone, support):
    training = train(backbone, support, STRONG.with_changes({"sc": False}))
    before = training.prefixes.detach().clone()
    training.step()
    assert not torch.equal(training.prefixes, before)
    assert [len(features) for features in training.text_features()] == [2, 2, 0]


def test_linear_trains_its_layers_from_the_identity(backbone, support):
    config = STRONG.with_changes({"transformation": "linear"})
    training = train(backbone, support, config, "pixel")
    clip = train(backbone, support, config.with_changes({"transformation": "clip"}), "pixel")
    torch.testing.assert_close(training.loss()[0], clip.loss()[0], rtol=1e-4, atol=1e-5)
    identity = torch.eye(32).repeat(3, 1, 1)
    assert torch.equal(training.layers, identity)
    gradient = torch.autograd.grad(training.loss()[0], training.layers)[0]
    training.step()
    torch.testing.assert_close(
        training.layers.detach(), identity - 0.05 * (gradient + 0.0005 * identity), rtol=1e-4, atol=1e-5
    )
    local = linear_local_features(backbone.model.visual, support.stack("stream"), training.layers)
    normal, manual, learnable = training.text_features()
    expected = contrastive_loss(normalize(local, dim=-1), normal, torch.cat([manual, learnable]), 20.0)
    assert training.loss()[1].contrastive == pytest.approx(expected.item())
    assert train(backbone, support, config, "image").layers is None


def test_prototypes_are_of_the_normal_and_of_all_anomaly_prompts(backbone, support):
    training = train(backbone, support, STRONG)
    normal, manual, learnable = training.text_features()
    found = training.prototypes()
    torch.testing.assert_close(found[0], prototype(normal))
    torch.testing.assert_close(found[1], prototype(torch.cat([manual, learnable])))
    assert not found.requires_grad
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2))


def test_inverse_temperature(backbone, support):
    assert inverse_temperature(backbone, STRONG) == pytest.approx(20.0)
    raw = STRONG.with_changes({"temperature": "raw_parameter"})
    assert inverse_temperature(backbone, raw) == pytest.approx(math.log(20.0))
    assert train(backbone, support, raw).inverse_temperature == pytest.approx(math.log(20.0))
    for config in (STRONG, raw, WinCLIPConfig(), CoCoOpConfig(temperature="raw_parameter")):
        assert inverse_temperature(backbone, config.with_changes({"tau": 0.25})) == 4.0
    assert train(backbone, support, STRONG.with_changes({"tau": 0.25})).inverse_temperature == 4.0


def test_a_loss_that_is_not_finite_is_an_error(backbone, support):
    tokens = draw(STRONG)
    broken = LearnableTokens(prefixes=tokens.prefixes * float("nan"), suffixes=tokens.suffixes)
    training = train(backbone, support, STRONG, tokens=broken)
    message = r"must stay finite, but its parts are Losses\(contrastive=nan.*learning_rate \(now 0.05\).*\(now fp32\)"
    with pytest.raises(FloatingPointError, match=message):
        training.step()
    assert torch.equal(training.suffixes, tokens.suffixes)


def words(prompt, tokenizer):
    return tokenizer.decode([symbol.token for symbol in prompt[1:-1] if hasattr(symbol, "token")]).strip()


@pytest.mark.parametrize(
    ("changes", "category", "normal", "suffixes"),
    [
        ({}, "bottle", "bottle", GENERIC_PAPER + CATEGORY_SUFFIXES["bottle"]),
        ({"generic_suffixes": "reference"}, "bottle", "bottle", GENERIC_REFERENCE + CATEGORY_SUFFIXES["bottle"]),
        ({"own_suffixes": ("rusty {}",)}, "bottle", "bottle", (*GENERIC_PAPER, "rusty {}")),
        ({}, "metal_nut", "metal nut", GENERIC_PAPER + CATEGORY_SUFFIXES["metal_nut"]),
        ({"maps": False}, "bottle", "bottle", ()),
        (
            {"prompt_text": "mapped_with_full_stop", "own_suffixes": ()},
            "pcb1",
            "printed circuit board .",
            GENERIC_PAPER,
        ),
    ],
)
def test_prompts_of_a_category(backbone, changes, category, normal, suffixes):
    prompts = prompts_for(backbone.tokenizer, PromptADConfig(**changes), "image", category)
    assert words(prompts.normal[0], backbone.tokenizer) == normal
    name, stop = normal.removesuffix(" ."), "." if normal.endswith(".") else ""
    encode, decode = backbone.tokenizer.encode, backbone.tokenizer.decode
    expected = [decode(encode(suffix.format(name) + stop)).strip() for suffix in suffixes]
    assert [words(prompt, backbone.tokenizer) for prompt in prompts.manual] == expected
    assert len(prompts.learnable) == 4


def test_prompt_counts_follow_task_and_parts(backbone):
    config = PromptADConfig(n_normal_prompts_image=2, n_normal_prompts_pixel=3, n_anomaly_suffixes=5)
    image, pixel = (prompts_for(backbone.tokenizer, config, task, "bottle") for task in ("image", "pixel"))
    assert (len(image.normal), len(image.learnable)) == (2, 10)
    assert (len(pixel.normal), len(pixel.learnable)) == (3, 15)
    assert prompts_for(backbone.tokenizer, config.with_changes({"laps": False}), "image", "bottle").learnable == ()
    assert isinstance(backbone.tokenizer, SimpleTokenizer)
