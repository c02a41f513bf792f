"""CoCoOp by hand, against prompts encoded one by one, and against our CoOp form where its network is silent."""

import dataclasses
import functools
import math

import pytest
import torch
from helpers.memory_methods import fitted, some_features
from helpers.slow_text import encode_slowly
from helpers.small_models import small_backbone, small_features
from torch.nn.functional import cosine_similarity

from promptad.configs.method_config import ConfigError
from promptad.configs.method_configs import CoCoOpConfig
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.methods.cocoop import CHUNK, CoCoOp, cocoop_losses, context_tree, draw_meta_network
from promptad.methods.promptad import PromptAD
from promptad.prompts.linear_layers import Linear, feed_forward
from promptad.prompts.prompt_learning import begin_training
from promptad.prompts.sequences import PromptError
from promptad.randomness import torch_generator

STRONG = CoCoOpConfig(epochs=3, learning_rate=0.05, initial_deviation=0.5, reduction=4)
TASKS = pytest.mark.parametrize("task", ["image", "pixel"])
COOP = {"sc": False, "eam": False, "vad": False}


def visual(features, task):
    return features.stack("global" if task == "image" else "local/vv")


def slow_prompts(method, image):
    """Both prompts of one image, from the network's formula and open_clip's text transformer."""
    first, second = method.network
    hidden = [max(0.0, float(row @ image + bias)) for row, bias in zip(first.weight, first.bias, strict=True)]
    offset = second.weight @ torch.tensor(hidden) + second.bias
    context = torch.stack([token + offset for token in method.context])
    return [encode_slowly(small_backbone(), f"{word} bottle", [context]) for word in ("normal", "abnormal")]


def probability(feature, prompts, scale=20.0):
    normal, anomaly = (math.exp(scale * float(cosine_similarity(feature, prompt, dim=0))) for prompt in prompts)
    return anomaly / (normal + anomaly)


def test_the_network_by_hand():
    # relu((1, -2) + (0, 1)) = (1, 0), and 2 * 1 + 3 * 0 + 0.5 = 2.5.
    layers = (
        Linear(weight=torch.eye(2), bias=torch.tensor([0.0, 1.0])),
        Linear(weight=torch.tensor([[2.0, 3.0]]), bias=torch.tensor([0.5])),
    )
    assert feed_forward(layers, torch.tensor([1.0, -2.0])).tolist() == [2.5]
    assert feed_forward(layers, torch.tensor([-1.0, 2.0])).tolist() == [9.5]


def test_layers_are_drawn_as_torchs_own():
    layer = Linear.draw(64, 500, torch_generator(0, "layer"))
    assert layer.weight.abs().max().item() == pytest.approx(1 / 8, rel=1e-3)
    assert layer.weight.std().item() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert layer.bias.abs().max().item() == pytest.approx(1 / 8, rel=0.02)


def test_the_hidden_layer_is_a_fraction_of_the_feature():
    first, second = draw_meta_network(640, 512, 16, torch_generator(0))
    assert (first.weight.shape, second.weight.shape) == ((40, 640), (512, 40))
    assert len(draw_meta_network(8, 512, 16, torch_generator(0))[0].weight) == 1


@TASKS
def test_scores_against_prompts_encoded_one_by_one(task):
    support, query = some_features()
    method = fitted(support, STRONG, task)
    result = method.score(query)
    found = result.image[:, None] if task == "image" else result.maps.flatten(1)
    prompts = [slow_prompts(method, image) for image in query.stack("global")]
    for number, own in enumerate(visual(query, task)):
        expected = [probability(z, prompts[number]) for z in own.view(-1, own.shape[-1])]
        torch.testing.assert_close(found[number], torch.tensor(expected), rtol=1e-3, atol=1e-5)
    # What images add to the context matters here, or the oracle would see one set of prompts.
    assert not torch.allclose(prompts[0][0], prompts[1][0], rtol=1e-2)
    assert set(result.branches) == (set() if task == "image" else {"textual"})


@TASKS
def test_steps_against_a_slow_loss(task):
    support, _ = some_features()
    start, end = fitted(support, STRONG.with_changes({"epochs": 0}), task), fitted(support, STRONG, task)
    leaves = [start.context, *(part for layer in start.network for part in layer.parameters())]
    learned = [leaf.clone().requires_grad_() for leaf in leaves]
    velocities = [torch.zeros_like(leaf) for leaf in leaves]
    for _ in range(STRONG.epochs):
        context, w1, b1, w2, b2 = learned
        losses = []
        for image, own in zip(support.stack("global"), visual(support, task), strict=True):
            moved = context + (w2 @ torch.relu(w1 @ image + b1) + b2)
            normal, anomaly = (
                encode_slowly(small_backbone(), f"{word} bottle", [moved]) for word in ("normal", "abnormal")
            )
            for z in own.view(-1, own.shape[-1]):
                gap = cosine_similarity(z, anomaly, dim=0) - cosine_similarity(z, normal, dim=0)
                losses.append(torch.log1p(torch.exp(20 * gap)))
        gradients = torch.autograd.grad(torch.stack(losses).mean(), learned)
        for leaf, velocity, gradient in zip(learned, velocities, gradients, strict=True):
            velocity.mul_(0.9).add_(gradient + 0.0005 * leaf.detach())
            leaf.data.sub_(0.05 * velocity)
    found = [end.context, *(part for layer in end.network for part in layer.parameters())]
    for leaf, before, after in zip(learned, leaves, found, strict=True):
        assert not torch.allclose(before, after, atol=1e-5)
        torch.testing.assert_close(after, leaf.detach(), rtol=1e-3, atol=1e-4)


@TASKS
def test_a_silent_network_leaves_our_coop_form(task):
    support, query = some_features()
    coop = PromptADConfig(initial_deviation=0.5, epochs=0).with_changes(COOP)
    options = {"task": task, "category": "bottle", "seed": 3}
    expected = PromptAD().fit(small_backbone(), support, coop, **options).score(query)
    method = CoCoOp().fit(small_backbone(), support, STRONG.with_changes({"epochs": 0}), **options)
    silent = tuple(
        Linear(weight=torch.zeros_like(layer.weight), bias=torch.zeros_like(layer.bias)) for layer in method.network
    )
    result = dataclasses.replace(method, network=silent).score(query)
    name = "image" if task == "image" else "maps"
    torch.testing.assert_close(getattr(result, name), getattr(expected, name), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(getattr(method.score(query), name), getattr(expected, name), rtol=1e-3)
    # The loss and what it asks of the context are CoOp's too.
    training = begin_training(small_backbone(), support, coop, **options)
    loss, _ = training.loss()
    context = method.context.clone().requires_grad_()
    tree = functools.partial(context_tree, small_backbone(), method.prompts, len(context))
    (own,) = cocoop_losses(
        small_backbone(), tree, STRONG, context, silent, support.stack("global"), visual(support, task)
    )
    torch.testing.assert_close(own, loss, rtol=1e-5, atol=1e-6)
    wanted, found = torch.autograd.grad(loss, training.prefixes)[0][0], torch.autograd.grad(own, context)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)


def test_more_images_than_are_encoded_at_once():
    support, query = some_features()

    def repeated(features, times):
        return Features(
            views={view: [*features.views[view]] * times for view in ("global", "local/vv")}, device=features.device
        )

    method = fitted(support, STRONG, "pixel")
    many = repeated(query, 5)
    assert len(many) > CHUNK
    torch.testing.assert_close(method.score(many).maps, method.score(query).maps.repeat(5, 1, 1))
    # The mean over six copies of the support is the mean over one.
    again = fitted(repeated(support, 6), STRONG, "pixel")
    torch.testing.assert_close(again.context, method.context, rtol=1e-3, atol=1e-4)


def test_seeds_draw_context_and_network():
    support, _ = some_features()
    one, same, other = (fitted(support, STRONG, "image", seed).tensors() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert {name for name in one if not torch.equal(one[name], other[name])} == {
        "context",
        *(f"network/{number}/{part}" for number in (0, 1) for part in ("weight", "bias")),
    }


@TASKS
def test_each_epoch_is_shown_as_it_was(task):
    support, query = some_features()
    seen = []
    options = {"task": task, "category": "bottle", "seed": 0, "on_epoch": lambda *each: seen.append(each)}
    last = CoCoOp().fit(small_backbone(), support, STRONG, **options)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    for epoch, method in seen:
        fresh = fitted(support, STRONG.with_changes({"epochs": epoch}), task)
        assert torch.equal(method.context, fresh.context)
        assert torch.equal(method.network[1].weight, fresh.network[1].weight)
    name = "image" if task == "image" else "maps"
    assert torch.equal(getattr(seen[-1][1].score(query), name), getattr(last.score(query), name))


def test_temperature_and_names_reach_prompts_and_scores():
    support, query = some_features()
    method = fitted(support, STRONG.with_changes({"epochs": 0, "temperature": "raw_parameter"}), "image")
    prompts = slow_prompts(method, query.stack("global")[0])
    expected = probability(query.stack("global")[0], prompts, math.log(20.0))
    assert method.score(query).image[0].item() == pytest.approx(expected, rel=1e-3)
    mapped = fitted(support, STRONG.with_changes({"prompt_text": "mapped_with_full_stop"}), "image").prompts
    assert small_backbone().tokenizer.decode(mapped.anomaly[1:-1].tolist()).strip() == "abnormal bottle ."


@TASKS
def test_a_resnet_and_half_precision_have_the_views_it_needs(task):
    for backbone, side in ((small_backbone("small-resnet"), 2), (small_backbone(precision="fp16"), 4)):
        support, query = (small_features(backbone, seeds, ["global", "local/vv"]) for seeds in ([1], [2, 3]))
        config = CoCoOpConfig(epochs=2, precision=backbone.precision)
        result = CoCoOp().fit(backbone, support, config, task=task, category="bottle", seed=0).score(query)
        found = result.image if task == "image" else result.maps
        assert found.shape == ((2,) if task == "image" else (2, side, side))
        assert found.dtype == torch.float32
        assert torch.isfinite(found).all()
        assert not torch.equal(found[0], found[1])


def test_views():
    backbone = small_backbone()
    assert CoCoOp().views(STRONG, "image", backbone) == {"global"}
    clip = STRONG.with_changes({"transformation": "clip"})
    assert CoCoOp().views(clip, "pixel", backbone) == {"global", "local/clip"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_normal_tokens": 0}, "n_normal_tokens must be between 1 and 32, but got 0"),
        ({"reduction": 0}, "reduction must be at least 1, but got 0"),
        ({"epochs": -1}, "epochs must be finite and not negative, but got -1"),
        ({"initial_deviation": -0.1}, "initial_deviation must be finite and not negative"),
        ({"weight_decay": float("inf")}, "weight_decay must be finite and not negative, but got inf"),
        ({"learning_rate": 0.0, "momentum": 1.0}, "learning_rate must be positive and finite.* momentum must be at"),
        ({"transformation": "linear"}, "transformation must be one of clip, maskclip, vv, but got 'linear'"),
    ],
)
def test_values_out_of_their_domain(changes, message):
    with pytest.raises(ConfigError, match=message):
        CoCoOpConfig(**changes)


def test_a_prompt_that_is_too_long():
    with pytest.raises(PromptError, match="a prompt must have at most 32 tokens, but one about 'bottle' has 36"):
        fitted(some_features()[0], CoCoOpConfig(n_normal_tokens=32), "image")


def test_a_loss_that_is_not_finite():
    support, _ = some_features()
    broken = Features(views={"global": [torch.full((24,), float("nan"))]}, device=support.device)
    with pytest.raises(FloatingPointError, match="the training loss must stay finite, but is nan: lower learning_rate"):
        fitted(broken, STRONG, "image")
