"""AnoPLe's steps against a slow loss, one view at a time, and its training of several categories."""

import math

import numpy as np
import pytest
import torch
from helpers.memory_methods import some_features
from helpers.slow_text import encode_slowly
from helpers.small_models import small_backbone
from torch.nn.functional import interpolate, linear, normalize

from promptad.anople import training as module
from promptad.anople.picture_views import StepDraws, pictures_of, views_in_step
from promptad.anople.training import AnoPLeTraining
from promptad.backbones.towers import encode_prompted_images
from promptad.configs.anople_config import AnoPLeConfig
from promptad.features.extraction import Features
from promptad.images.preparation import Preprocessing
from promptad.randomness import numpy_generator

STRONG = AnoPLeConfig(
    epochs=3,
    learning_rate=0.02,
    initial_deviation=0.5,
    views_per_step=5,
    decoder_width=8,
    decoder_rate=0.01,
    latent_noise=0.5,
)
SCALE = 20.0


def some(number=1):
    support = some_features()[0]
    return Features(views={name: view[:number] for name, view in support.views.items()}, device=support.device)


def training(config=STRONG, support=None, seed=0, category="bottle"):
    return AnoPLeTraining(small_backbone(), config, support or {"bottle": some()}, category=category, seed=seed)


def slow_loss(learner, config, support, seed=0, step=0):
    """The mean over views of all losses, by loops; text prompts one by one."""
    backbone, prompts, decoder = small_backbone(), learner.prompts, learner.decoder
    text, visual = list(prompts.text), list(prompts.visual)
    if prompts.to_text:
        text = [
            torch.cat([own, linear(others, f.weight, f.bias)])
            for own, others, f in zip(prompts.text, prompts.visual, prompts.to_text, strict=True)
        ]
    if prompts.to_image:
        visual = [
            torch.cat([own, linear(others, f.weight, f.bias)])
            for own, others, f in zip(prompts.visual, prompts.text, prompts.to_image, strict=True)
        ]
    words = ("bottle" if config.normal_words == "object" else "normal bottle", "abnormal bottle")
    normal, anomaly = (normalize(encode_slowly(backbone, each, text), dim=-1) for each in words)

    def odds(vector):
        return SCALE * (normalize(vector, dim=0) @ (anomaly - normal))

    def encoded(image, number):
        tokens = list(visual)
        if config.view_signal == "tower":
            tokens[0] = torch.cat([prompts.rows[number][None], tokens[0]])
        output = encode_prompted_images(backbone.model.visual, image[None], tokens, local=("vv",))
        grid = normalize(output.local["vv"][0], dim=-1).T.reshape(-1, 4, 4)
        if config.view_signal == "decoder":
            grid = grid + prompts.rows[number][:, None, None]
        return normalize(output.global_feature[0], dim=0), grid

    def map_loss(grid, mask):
        vectors = grid if decoder is None else decoder(grid[None])[0]
        small = torch.stack(
            [torch.stack([torch.sigmoid(odds(vectors[:, row, column])) for column in range(4)]) for row in range(4)]
        )
        large = interpolate(small[None, None], size=(32, 32), mode="bilinear", align_corners=False)[0, 0]
        dice = 1 - (2 * (large * mask).sum() + 1) / (large.sum() + mask.sum() + 1)
        focal = -torch.where(mask > 0, (1 - large) ** 2 * large.log(), large**2 * (1 - large).log()).mean()
        return dice + focal, vectors, small

    total, views = 0.0, 0
    for image, pictures in enumerate(pictures_of(support, config)):
        purpose = ("bottle", f"AnoPLe's step {step}", f"image {image}")
        draws = StepDraws(*(numpy_generator(seed, *purpose, what) for what in ("views", "pixels", "features")))
        drawn = views_in_step(pictures, config, Preprocessing(size=32), (24, 4), draws)
        for place, number in enumerate(drawn.numbers):
            z, grid = encoded(drawn.normal[place], number)
            images, maps = [torch.log1p(torch.exp(odds(z)))], [map_loss(grid, torch.zeros(32, 32))[0]]
            if drawn.noise is not None:
                size = grid.detach().pow(2).mean().sqrt()
                mask = torch.from_numpy(np.kron(drawn.disturbed[place].numpy(), np.ones((8, 8)))).float()
                maps.append(map_loss(grid + config.latent_noise * size * drawn.noise[place], mask)[0])
            if drawn.anomalous is not None:
                z, grid = encoded(drawn.anomalous[place], number)
                images.append(torch.log1p(torch.exp(-odds(z))))
                loss, vectors, small = map_loss(grid, drawn.masks[place])
                maps.append(loss)
                if config.local_alignment:
                    local = sum(small[i, j] * vectors[:, i, j] for i in range(4) for j in range(4))
                    total = total + 1 - torch.nn.functional.cosine_similarity(z, local, dim=0)
            total = total + sum(images) / len(images)
            if config.pixel_loss:
                total = total + sum(maps) / len(maps)
            views += 1
    return total / views


WAYS = [
    {},
    {"views": "whole", "view_signal": "none"},
    {"view_signal": "decoder", "coupling": "text_to_image"},
    {"pixel_anomalies": False, "local_alignment": False, "coupling": "image_to_text"},
    {"latent_anomalies": False, "decoder": "patches", "normal_words": "normal_object"},
    {"local_alignment": False, "decoder": "none", "coupling": "none"},
    {"pixel_loss": False, "latent_anomalies": False},
    {"views_per_step": 2, "n_visual_tokens": 0, "coupling": "text_to_image", "prompt_depth": 1},
    {"n_text_tokens": 0, "coupling": "image_to_text"},
]


@pytest.mark.parametrize("changes", WAYS, ids=lambda changes: " ".join(changes) or "all")
def test_a_step_goes_down_the_slow_loss(changes):
    config, support = STRONG.with_changes(changes), some(2)
    learner = training(config, {"bottle": support})
    leaves = [*learner.prompts.parameters(), *([] if learner.decoder is None else learner.decoder.parameters())]
    before = [leaf.detach().clone() for leaf in leaves]
    expected = slow_loss(learner, config, support)
    gradients = torch.autograd.grad(expected, leaves, allow_unused=True)
    assert learner.step() == pytest.approx(expected.item(), rel=1e-4)
    prompts = len(learner.prompts.parameters())
    for number, (leaf, first, gradient) in enumerate(zip(leaves, before, gradients, strict=True)):
        if gradient is None:
            # A view that was not drawn, or what no loss reads.
            gradient = torch.zeros_like(first)
        if number < prompts:
            moved = first - config.learning_rate * (gradient + config.weight_decay * first)
            torch.testing.assert_close(leaf.detach(), moved, rtol=1e-3, atol=2e-5)
        else:
            # Adam's first step has its rate as length, wherever there is a gradient.
            clear = gradient.abs() > 1e-5
            step = -config.decoder_rate * gradient.sign()
            torch.testing.assert_close((leaf.detach() - first)[clear], step[clear], rtol=0.01, atol=1e-6)


def test_the_second_step_draws_other_anomalies():
    learner, support = training(), some()
    learner.step()
    expected = slow_loss(learner, STRONG, support, step=1)
    assert learner.step() == pytest.approx(expected.item(), rel=1e-4)
    assert slow_loss(learner, STRONG, support, step=1) != slow_loss(learner, STRONG, support, step=2)


def test_parts_change_a_step_by_rounding_alone(monkeypatch):
    one, other = training(support={"bottle": some(2)}), training(support={"bottle": some(2)})
    loss = one.step()
    monkeypatch.setattr(module, "VIEWS_AT_ONCE", 5)
    assert other.step() == pytest.approx(loss, rel=1e-5)
    for first, second in zip(one.prompts.parameters(), other.prompts.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_one_training_of_two_categories_has_the_mean_of_their_losses():
    pools = {"bottle": some(1), "screw": some(2)}
    both = training(support=pools, category=None)
    alone = [training(support={name: features}, category=None) for name, features in pools.items()]
    losses = [learner.step() for learner in alone]
    # A category with two images has no more weight than one with one.
    assert both.step() == pytest.approx(sum(losses) / 2, rel=1e-5)
    start = training(category=None).prompts.text
    steps = [learner.prompts.text - start for learner in alone]
    torch.testing.assert_close(both.prompts.text - start, sum(steps) / 2, rtol=1e-3, atol=1e-6)
    assert not torch.equal(*both.prototypes().values())
    assert not torch.equal(start, training().prompts.text)


def test_training_learns_to_find_what_is_pasted():
    config = STRONG.with_changes({"initial_deviation": 0.02, "latent_noise": 0.1})
    learner = training(config, {"bottle": some(2)})
    losses = [learner.step() for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_loss_that_is_not_finite_changes_nothing():
    learner = training()
    with torch.no_grad():
        learner.prompts.text[0, 0, 0] = math.nan
    assert learner.decoder is not None
    leaves = [*learner.prompts.parameters(), *learner.decoder.parameters()]
    before = [leaf.detach().clone() for leaf in leaves]
    with pytest.raises(FloatingPointError, match="the training loss must stay finite"):
        learner.step()
    for leaf, first in zip(leaves, before, strict=True):
        assert torch.equal(leaf.detach().nan_to_num(9.0), first.nan_to_num(9.0))


def test_pictures_are_decoded_once():
    support, decoded = some(2), []

    class Counting(list):
        def __iter__(self):
            decoded.append("all")
            return super().__iter__()

    counted = Features(
        views={name: Counting(view) if name.startswith("pictures") else view for name, view in support.views.items()},
        device=support.device,
    )
    learner = training(STRONG, {"bottle": counted})
    learner.step()
    learner.step()
    assert decoded == ["all", "all"]
