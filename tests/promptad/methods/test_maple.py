"""MaPLe against open_clip's own towers with tokens put in by hooks, and where its prompts say nothing new."""

import dataclasses
import math

import pytest
import torch
from helpers.arms import arm, planned
from helpers.memory_methods import fitted, some_features
from helpers.slow_text import encode_slowly
from helpers.small_models import small_backbone, small_features
from torch.nn.functional import cosine_similarity, linear, softmax

from promptad.backbones.towers import UnsupportedTowerError, encode_images, encode_prompted_images
from promptad.configs.method_config import ConfigError
from promptad.configs.method_configs import MaPLeConfig
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.methods.maple import TRAINED_AT_ONCE, MaPLe, coupled
from promptad.methods.promptad import PromptAD
from promptad.prompts.linear_layers import Linear
from study.planning.plan import PlanError

STRONG = MaPLeConfig(epochs=3, learning_rate=0.02, initial_deviation=0.5)
TASKS = pytest.mark.parametrize("task", ["image", "pixel"])
PATCHES = slice(1, 17)


def encode_with_hooks(visual, images, prompts):
    """The global feature and the V-V branch's patches; hooks put tokens into open_clip's own forward pass."""
    entering = []

    def put_in(number):
        def hook(_module, inputs):
            tokens = inputs[0]
            if number < len(prompts):
                own = visual.ln_pre(prompts[0]) if number == 0 else prompts[number]
                tokens = torch.cat([tokens[:, :17], torch.stack([own] * len(tokens))], dim=1)
            entering.append(tokens)
            return (tokens, *inputs[1:])

        return hook

    blocks = visual.transformer.resblocks
    hooks = [block.register_forward_pre_hook(put_in(number)) for number, block in enumerate(blocks)]
    try:
        pooled = visual(images)
    finally:
        for hook in hooks:
            hook.remove()
    local = entering[0][:, PATCHES]
    for block, tokens in zip(blocks, entering, strict=True):
        width, heads = tokens.shape[-1], block.attn.num_heads
        values = linear(block.ln_1(tokens), block.attn.in_proj_weight[-width:], block.attn.in_proj_bias[-width:])
        parts = []
        for own in values.split(width // heads, dim=-1):
            weights = softmax(own @ own.transpose(1, 2) / math.sqrt(width // heads), dim=-1)
            parts.append(weights @ own)
        local = local + block.attn.out_proj(torch.cat(parts, dim=-1))[:, PATCHES]
    return pooled, visual.ln_post(local) @ visual.proj


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def images_of(features):
    return features.stack("pixels")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_prompted_tower_against_hooks(depth):
    visual, images, prompts = small_backbone().model.visual, images_of(some_features()[0]), drawn(depth, 2, 32)
    found = encode_prompted_images(visual, images, prompts, local=("vv", "clip"))
    pooled, local = encode_with_hooks(visual, images, prompts)
    torch.testing.assert_close(found.global_feature, pooled, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.local["vv"], local, rtol=1e-4, atol=1e-5)
    assert found.local["clip"].shape == local.shape
    assert not torch.allclose(pooled, visual(images), rtol=1e-2)


def test_prompts_that_repeat_every_token_change_nothing():
    # Each key then counts twice for every query, so that attention is what it was, in every block.
    visual, images = small_backbone().model.visual, images_of(some_features()[0])
    patches = visual.conv1(images[:1]).flatten(2).transpose(1, 2)[0]
    tokens = torch.cat([visual.class_embedding[None], patches]) + visual.positional_embedding
    names = ("vv", "maskclip", "clip")
    found = encode_prompted_images(visual, images[:1], tokens[None], local=names)
    expected = encode_images(visual, images[:1], local=names)
    torch.testing.assert_close(found.global_feature, expected.global_feature, rtol=1e-4, atol=1e-5)
    for name in names:
        torch.testing.assert_close(found.local[name], expected.local[name], rtol=1e-4, atol=1e-5)


def test_couplings_by_hand():
    # (1, 2) W^T + b with W = ((1, 0), (0, 1), (1, 1)) and b = (0, 0, 5), and twice that in the second block.
    first = Linear(weight=torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), bias=torch.tensor([0.0, 0.0, 5.0]))
    second = Linear(weight=2 * first.weight, bias=2 * first.bias)
    prompts = torch.tensor([[[1.0, 2.0]], [[0.0, -1.0]]])
    assert coupled((first, second), prompts).tolist() == [[[1.0, 2.0, 8.0]], [[0.0, -2.0, 8.0]]]


@pytest.mark.parametrize("depth", [1, 2])
def test_prototypes_are_prompts_encoded_one_by_one(depth):
    method = fitted(some_features()[0], STRONG.with_changes({"prompt_depth": depth}), "image")
    assert len(method.prompts) == len(method.couplings) == depth
    for found, word in zip(method.prototypes, ("normal", "abnormal"), strict=True):
        expected = encode_slowly(small_backbone(), f"{word} bottle", list(method.prompts))
        torch.testing.assert_close(found, expected / expected.norm(), rtol=1e-4, atol=1e-5)


def test_prompts_of_the_first_block_alone_are_our_coop_form_to_the_text_tower():
    support, _ = some_features()
    coop = PromptADConfig(initial_deviation=0.5, epochs=0, n_normal_tokens=2, sc=False, eam=False, vad=False)
    options = {"task": "image", "category": "bottle", "seed": 3}
    expected = PromptAD().fit(small_backbone(), support, coop, **options)
    shallow = STRONG.with_changes({"prompt_depth": 1, "epochs": 0})
    found = MaPLe().fit(small_backbone(), support, shallow, **options)
    torch.testing.assert_close(found.prototypes, expected.prototypes, rtol=1e-5, atol=1e-6)


@TASKS
def test_scores_against_hooks(task):
    support, query = some_features()
    method = fitted(support, STRONG, task)
    result = method.score(query)
    prompts = coupled(method.couplings, method.prompts)
    pooled, local = encode_with_hooks(small_backbone().model.visual, images_of(query), prompts)
    z = pooled[:, None] if task == "image" else local
    gap = cosine_similarity(z, method.prototypes[1], dim=-1) - cosine_similarity(z, method.prototypes[0], dim=-1)
    expected = torch.sigmoid(20 * gap)
    found = result.image[:, None] if task == "image" else result.maps.flatten(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert set(result.branches) == (set() if task == "image" else {"textual"})


@TASKS
def test_steps_against_a_slow_loss(task):
    backbone, (support, _) = small_backbone(), some_features()
    start, end = fitted(support, STRONG.with_changes({"epochs": 0}), task), fitted(support, STRONG, task)

    def parameters(method):
        return [method.prompts, *(part for layer in method.couplings for part in layer.parameters())]

    learned = [leaf.clone().requires_grad_() for leaf in parameters(start)]
    velocities = [torch.zeros_like(leaf) for leaf in learned]
    for _ in range(STRONG.epochs):
        prompts, w1, b1, w2, b2 = learned
        visual_prompts = [linear(prompts[0], w1, b1), linear(prompts[1], w2, b2)]
        pooled, local = encode_with_hooks(backbone.model.visual, images_of(support), visual_prompts)
        z = pooled if task == "image" else local.flatten(0, 1)
        normal, anomaly = (encode_slowly(backbone, f"{word} bottle", list(prompts)) for word in ("normal", "abnormal"))
        gap = cosine_similarity(z, anomaly, dim=-1) - cosine_similarity(z, normal, dim=-1)
        gradients = torch.autograd.grad(torch.log1p(torch.exp(20 * gap)).mean(), learned)
        for leaf, velocity, gradient in zip(learned, velocities, gradients, strict=True):
            velocity.mul_(0.9).add_(gradient + 0.0005 * leaf.detach())
            leaf.data.sub_(0.02 * velocity)
    for leaf, before, after in zip(learned, parameters(start), parameters(end), strict=True):
        # The gradient reaches everything that is learned, in each block.
        for moved, first in zip(after, before, strict=True):
            assert not torch.allclose(moved, first, atol=1e-6)
        torch.testing.assert_close(after, leaf.detach(), rtol=1e-3, atol=1e-4)


def test_more_images_than_are_trained_at_once():
    support, _ = some_features()
    many = Features(views={"pixels": [*support.views["pixels"]] * 3}, device=support.device)
    assert len(many) > 2 * TRAINED_AT_ONCE
    one, again = fitted(support, STRONG, "pixel"), fitted(many, STRONG, "pixel")
    torch.testing.assert_close(again.prompts, one.prompts, rtol=1e-3, atol=1e-4)


def test_seeds_draw_prompts_and_couplings_block_by_block():
    support, _ = some_features()
    options = {"epochs": 0, "prompt_depth": 2}
    one, same, other = (fitted(support, STRONG.with_changes(options), "image", seed).tensors() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    shallow = fitted(support, STRONG.with_changes({"epochs": 0, "prompt_depth": 1}), "image").tensors()
    assert torch.equal(shallow["prompts"], one["prompts"][:1])
    assert torch.equal(shallow["couplings/0/weight"], one["couplings/0/weight"])
    assert not torch.equal(one["couplings/0/weight"], one["couplings/1/weight"])
    small = fitted(support, MaPLeConfig(n_context_tokens=27, epochs=0), "image").prompts
    assert small.std().item() == pytest.approx(0.02, rel=0.1)


@TASKS
def test_each_epoch_is_shown_as_it_was(task):
    support, query = some_features()
    seen = []
    options = {"task": task, "category": "bottle", "seed": 0, "on_epoch": lambda *each: seen.append(each)}
    last = MaPLe().fit(small_backbone(), support, STRONG, **options)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    for epoch, method in seen:
        fresh = fitted(support, STRONG.with_changes({"epochs": epoch}), task)
        assert all(torch.equal(value, method.tensors()[name]) for name, value in fresh.tensors().items())
    name = "image" if task == "image" else "maps"
    assert torch.equal(getattr(seen[-1][1].score(query), name), getattr(last.score(query), name))


@TASKS
def test_half_precision(task):
    backbone = small_backbone(precision="fp16")
    support, query = (small_features(backbone, seeds, ["pixels"]) for seeds in ([1], [2, 3]))
    config = MaPLeConfig(epochs=2, precision="fp16")
    method = MaPLe().fit(backbone, support, config, task=task, category="bottle", seed=0)
    whole = fitted(some_features()[0], MaPLeConfig(epochs=0), task)
    torch.testing.assert_close(method.prompts.float(), whole.prompts, atol=0.03, rtol=0)
    found = method.score(query).image if task == "image" else method.score(query).maps
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()


def test_the_backbone_stays_as_it_was():
    backbone = small_backbone()
    weights = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    fitted(some_features()[0], STRONG, "pixel").score(some_features()[1])
    assert all(torch.equal(weights[name], value) for name, value in backbone.model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in backbone.model.parameters())


def test_the_transformation_and_the_temperature_reach_the_scores():
    support, query = some_features()
    method = fitted(support, STRONG.with_changes({"epochs": 0}), "pixel")
    prompts = coupled(method.couplings, method.prompts)
    output = encode_prompted_images(small_backbone().model.visual, images_of(query), prompts, local=("clip",))
    gap = (torch.nn.functional.normalize(output.local["clip"], dim=-1) @ method.prototypes.T).diff(dim=-1)[..., 0]
    changed = method.config.with_changes({"transformation": "clip", "temperature": "raw_parameter"})
    found = dataclasses.replace(method, config=changed).score(query).maps
    torch.testing.assert_close(found.flatten(1), torch.sigmoid(math.log(20.0) * gap), rtol=1e-4, atol=1e-5)


def test_support_images_are_decoded_once_and_no_other_view_is_asked_for():
    support, _ = some_features()
    assert MaPLe().views(STRONG, "pixel", small_backbone()) == {"pixels"}
    decoded = []

    class Counting(list):
        def __getitem__(self, index):
            decoded.append(index)
            return super().__getitem__(index)

    counted = Features(views={"pixels": Counting(support.views["pixels"])}, device=support.device)
    fitted(counted, STRONG, "image")
    assert len(decoded) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_context_tokens": 33}, "n_context_tokens must be between 1 and 32, but got 33"),
        ({"prompt_depth": 0}, "prompt_depth must be at least 1, but got 0"),
        ({"transformation": "linear"}, "transformation must be one of clip, maskclip, vv, but got 'linear'"),
    ],
)
def test_values_out_of_their_domain(changes, message):
    with pytest.raises(ConfigError, match=message):
        MaPLeConfig(**changes)


def test_more_blocks_with_prompts_than_the_shallower_tower_has():
    with pytest.raises(ConfigError, match="prompt_depth must be between 1 and 2 for small-vit:random, but got 3"):
        fitted(some_features()[0], STRONG.with_changes({"prompt_depth": 3}), "image")


def test_the_plan_knows_how_deep_towers_are(inspection_root):
    message = "prompt_depth must be between 1 and 3 for tiny, but arm by maple has 4"
    with pytest.raises(PlanError, match=message):
        planned(inspection_root, arm("maple", changes={"prompt_depth": 4}))
    cells = planned(inspection_root, arm("maple")).cells.values()
    # 3 blocks of text, 9 of 12: 2.25, rounded up.
    assert {cell.config.prompt_depth for cell in cells} == {3}
    with pytest.raises(PlanError, match="arm by maple: MaPLe needs a transformer backbone, but RN101:random is a Res"):
        planned(inspection_root, arm("maple"), arm("padim"), backbone="RN101:random")
    with pytest.raises(PlanError, match="a prompt must have at most 32 tokens"):
        planned(inspection_root, arm("maple", changes={"n_context_tokens": 32}))


def test_towers_that_cannot_have_prompts():
    images = torch.zeros(1, 3, 64, 64)
    with pytest.raises(UnsupportedTowerError, match="visual prompts need a transformer backbone, but this one is a R"):
        encode_prompted_images(small_backbone("small-resnet").model.visual, images, drawn(1, 2, 32), local=())
    visual, images = small_backbone().model.visual, images_of(some_features()[0])
    with pytest.raises(UnsupportedTowerError, match=r"visual prompts must be for 1 to 3 blocks .* but are for 4"):
        encode_prompted_images(visual, images, drawn(4, 2, 32), local=())
    with pytest.raises(UnsupportedTowerError, match="transformation linear has no prompted form"):
        encode_prompted_images(visual, images, drawn(1, 2, 32), local=("linear",))
