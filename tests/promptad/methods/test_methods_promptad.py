"""PromptAD as a method: its views, its fusion of branches, snapshots and restoring."""

import dataclasses
import math

import pytest
import torch
from helpers.small_models import small_backbone, small_features
from torch.nn.functional import normalize

from promptad.backbones.towers import linear_local_features
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.methods import method_named
from promptad.methods import visual_memory as memory_module
from promptad.methods.promptad import CHUNK, FittedPromptAD, PromptAD, memory_views
from promptad.prompts.prompt_learning import LearnableTokens, PromptTraining, prompts_for
from promptad.scoring.anomaly_scores import prompt_score, resize_maps, visual_map

CONFIG = PromptADConfig(epochs=3, learning_rate=0.05, initial_deviation=0.5)
EVERY_VIEW = ["global", "stream", *(f"local/{name}" for name in ("clip", "maskclip", "vv"))]
EVERY_VIEW += [f"{kind}/{layer}" for kind in ("block", "attended") for layer in (1, 2, 3)]


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def support(backbone):
    return small_features(backbone, [1, 2], EVERY_VIEW)


@pytest.fixture(scope="module")
def query(backbone):
    return small_features(backbone, range(10, 13), EVERY_VIEW)


def fit(backbone, support, config, task, **options):
    return PromptAD().fit(backbone, support, config, task=task, category="bottle", seed=0, **options)


def restricted(features, views):
    return Features(views={view: features.views[view] for view in views}, device=features.device)


def text_scores(fitted, z, scale=20.0):
    normal, anomaly = fitted.prototypes
    return prompt_score(z, normal, anomaly, scale)


def assert_same_scores(first, second):
    for name in ("image", "maps"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    assert first.branches.keys() == second.branches.keys()
    assert all(torch.equal(first.branches[name], second.branches[name]) for name in first.branches)


def test_the_table_of_methods_has_it():
    assert isinstance(method_named("promptad"), PromptAD)


@pytest.mark.parametrize(
    ("changes", "task", "expected"),
    [
        ({}, "image", {"global", "block/1", "block/2"}),
        ({}, "pixel", {"local/vv", "block/1", "block/2"}),
        ({"vad": False}, "image", {"global"}),
        ({"transformation": "clip", "vad": False}, "pixel", {"local/clip"}),
        ({"transformation": "linear", "vad": False}, "pixel", {"stream"}),
        ({"transformation": "linear", "vad": False}, "image", {"global"}),
        ({"training": "joint", "memory_layers": (3,)}, "image", {"global", "local/vv", "block/3"}),
        ({"training": "joint", "transformation": "linear", "vad": False}, "pixel", {"global", "stream"}),
        (
            {"memory_tap": "after_next_attention", "memory_layers": (1, 3)},
            "image",
            {"global", "attended/1", "attended/3"},
        ),
    ],
)
def test_views_are_those_that_fit_and_score_need(backbone, support, query, changes, task, expected):
    config = CONFIG.with_changes(changes | {"epochs": 1})
    views = PromptAD().views(config, task, backbone)
    assert views == expected
    scores = fit(backbone, restricted(support, views), config, task).score(restricted(query, views))
    assert (scores.image is None) == (task == "pixel")
    assert (scores.maps is None) == (task == "image")


def test_memory_is_every_patch_of_every_support_image(backbone, support):
    fitted = fit(backbone, support, CONFIG, "image")
    assert set(fitted.memories) == set(memory_views(CONFIG, backbone)) == {"block/1", "block/2"}
    for view, memory in fitted.memories.items():
        assert torch.equal(memory, torch.cat(list(support.views[view])))


def test_image_score_without_the_visual_branch_is_the_text_score(backbone, support, query):
    fitted = fit(backbone, support, CONFIG.with_changes({"vad": False}), "image")
    assert fitted.memories == {}
    scores = fitted.score(query)
    torch.testing.assert_close(scores.image, text_scores(fitted, query.stack("global")))
    assert (scores.maps, dict(scores.branches)) == (None, {})


def test_raw_temperature_reaches_the_scores(backbone, support, query):
    fitted = fit(backbone, support, CONFIG.with_changes({"vad": False, "temperature": "raw_parameter"}), "image")
    expected = text_scores(fitted, query.stack("global"), math.log(20.0))
    torch.testing.assert_close(fitted.score(query).image, expected)


@pytest.mark.parametrize("maximum", ["patch_grid", "map_size"])
def test_image_score_fuses_the_text_score_with_the_visual_maximum(backbone, support, query, maximum):
    fitted = fit(backbone, support, CONFIG.with_changes({"visual_maximum": maximum, "map_size": 50}), "image")
    text = text_scores(fitted, query.stack("global"))
    visual = visual_map([query.stack(f"block/{n}") for n in (1, 2)], [fitted.memories[f"block/{n}"] for n in (1, 2)])
    if maximum == "map_size":
        visual = resize_maps(visual, 50)
    found = fitted.score(query).image
    for image in range(3):
        expected = 1 / (1 / text[image].item() + 1 / visual[image].max().item())
        assert found[image].item() == pytest.approx(expected, rel=1e-5)


def test_maps_fuse_both_branches_patch_by_patch(backbone, support, query):
    fitted = fit(backbone, support, CONFIG, "pixel")
    scores = fitted.score(query)
    textual = text_scores(fitted, query.stack("local/vv")).view(3, 4, 4)
    visual = visual_map([query.stack(f"block/{n}") for n in (1, 2)], [fitted.memories[f"block/{n}"] for n in (1, 2)])
    assert scores.branches.keys() == {"textual", "visual"}
    torch.testing.assert_close(scores.branches["textual"], textual)
    torch.testing.assert_close(scores.branches["visual"], visual)
    torch.testing.assert_close(scores.maps, 1 / (1 / textual + 1 / visual), rtol=1e-5, atol=1e-6)
    assert scores.image is None


def test_maps_without_the_visual_branch_are_the_textual_ones(backbone, support, query):
    scores = fit(backbone, support, CONFIG.with_changes({"vad": False}), "pixel").score(query)
    assert scores.branches.keys() == {"textual"}
    assert torch.equal(scores.maps, scores.branches["textual"])


def test_a_support_image_has_no_visual_anomaly(backbone, support):
    scores = fit(backbone, support, CONFIG, "pixel").score(support)
    torch.testing.assert_close(scores.branches["visual"], torch.zeros(2, 4, 4), rtol=0, atol=1e-6)
    assert fit(backbone, support, CONFIG, "image").score(support).image.max() < 1e-5


def test_branches_of_other_grids_meet_on_the_finest():
    resnet = small_backbone("small-resnet")
    views = ["global", "local/vv", "block/2", "block/3"]
    support, query = small_features(resnet, [1], views), small_features(resnet, [5, 6], views)
    scores = fit(resnet, support, CONFIG, "pixel").score(query)
    # Stages 2 and 3 have 8 x 8 and 4 x 4 patches, the attention pool 2 x 2.
    assert scores.branches["visual"].shape == (2, 8, 8)
    assert scores.branches["textual"].shape == (2, 2, 2)
    textual = resize_maps(scores.branches["textual"], 8)
    torch.testing.assert_close(scores.maps, 1 / (1 / textual + 1 / scores.branches["visual"]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", ["image", "pixel"])
def test_chunks_change_no_score(backbone, support, task):
    many = small_features(backbone, range(CHUNK + 3), EVERY_VIEW)
    fitted = fit(backbone, support, CONFIG, task)
    whole = fitted.score(many)
    assert len(whole.image if task == "image" else whole.maps) == CHUNK + 3
    for place in (0, CHUNK - 1, CHUNK, CHUNK + 2):
        single = Features(views={view: [values[place]] for view, values in many.views.items()}, device=many.device)
        alone = fitted.score(single)
        if task == "image":
            torch.testing.assert_close(whole.image[place], alone.image[0], rtol=1e-5, atol=1e-6)
        else:
            torch.testing.assert_close(whole.maps[place], alone.maps[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", ["image", "pixel"])
def test_on_epoch_gets_every_epoch_as_it_was(backbone, support, query, task):
    config = CONFIG.with_changes({"transformation": "linear"})
    seen = []
    final = fit(backbone, support, config, task, on_epoch=lambda epoch, fitted: seen.append((epoch, fitted)))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    # Scored after the training ended: a snapshot must not follow the tokens that went on.
    for epoch, snapshot in seen:
        alone = fit(backbone, support, config.with_changes({"epochs": epoch}), task)
        assert_same_scores(snapshot.score(query), alone.score(query))
    assert_same_scores(seen[-1][1].score(query), final.score(query))
    first, last = seen[0][1].score(query), final.score(query)
    assert not torch.equal(*((each.image if task == "image" else each.maps) for each in (first, last)))


def test_no_epochs_is_the_untrained_prompt(backbone, support):
    seen = []
    fitted = fit(backbone, support, CONFIG.with_changes({"epochs": 0}), "image", on_epoch=lambda *_: seen.append(1))
    assert seen == []
    training = PromptTraining(
        backbone,
        support,
        CONFIG,
        task="image",
        prompts=prompts_for(backbone.tokenizer, CONFIG, "image", "bottle"),
        tokens=LearnableTokens.draw(CONFIG, "image", width=32, category="bottle", seed=0),
    )
    assert torch.equal(fitted.prototypes, training.prototypes())


def test_seed_and_category_matter(backbone, support):
    base = fit(backbone, support, CONFIG, "image").prototypes
    for options in ({"category": "bottle", "seed": 1}, {"category": "cable", "seed": 0}):
        other = PromptAD().fit(backbone, support, CONFIG, task="image", **options)
        assert not torch.equal(other.prototypes, base)


@pytest.mark.parametrize("task", ["image", "pixel"])
@pytest.mark.parametrize("changes", [{}, {"vad": False}, {"transformation": "linear"}, {"memory_layers": (3, 1)}])
def test_restored_from_its_tensors_it_scores_the_same(backbone, support, query, task, changes):
    config = CONFIG.with_changes(changes)
    fitted = fit(backbone, support, config, task)
    tensors = {name: tensor.clone() for name, tensor in fitted.tensors().items()}
    # A file returns names in its own order.
    shuffled = dict(sorted(tensors.items(), reverse=True))
    restored = PromptAD().restore(backbone, shuffled, config, task=task)
    assert_same_scores(restored.score(query), fitted.score(query))
    assert ("layers" in tensors) == (task == "pixel" and config.transformation == "linear")
    assert not any(tensor.requires_grad for tensor in tensors.values())


def test_joint_training_shares_its_prompts_between_tasks(backbone, support, query):
    config = CONFIG.with_changes({"training": "joint", "n_normal_prompts_image": 2, "vad": False})
    image, pixel = (fit(backbone, support, config, task) for task in ("image", "pixel"))
    assert torch.equal(image.prototypes, pixel.prototypes)
    assert image.score(query).maps is None
    assert pixel.score(query).maps is not None
    alone = fit(backbone, support, config.with_changes({"training": "per_task"}), "image")
    assert not torch.equal(image.prototypes, alone.prototypes)


def test_linear_scores_with_its_trained_layers(backbone, support, query):
    config = CONFIG.with_changes({"transformation": "linear", "vad": False})
    fitted = fit(backbone, support, config, "pixel")
    assert not torch.equal(fitted.layers, torch.eye(32).repeat(3, 1, 1))
    local = normalize(linear_local_features(backbone.model.visual, query.stack("stream"), fitted.layers), dim=-1)
    torch.testing.assert_close(fitted.score(query).maps, text_scores(fitted, local).view(3, 4, 4))


@pytest.mark.parametrize("transformation", ["vv", "linear"])
@pytest.mark.parametrize("task", ["image", "pixel"])
def test_half_precision_runs_and_is_near(backbone, support, query, task, transformation):
    config = CONFIG.with_changes({"transformation": transformation, "learning_rate": 0.002})
    half = small_backbone(precision="fp16")
    views = PromptAD().views(config, task, half)
    seen, asked = small_features(half, [1, 2], views), small_features(half, range(10, 13), views)
    fitted = fit(half, seen, config.with_changes({"precision": "fp16"}), task)
    assert {tensor.dtype for tensor in fitted.tensors().values()} == {torch.float16}
    found, expected = fitted.score(asked), fit(backbone, support, config, task).score(query)
    for one, other in ((found.image, expected.image), (found.maps, expected.maps)):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == torch.float32
            torch.testing.assert_close(one, other, rtol=0, atol=0.02)


def test_fitted_is_immutable(backbone, support):
    fitted = fit(backbone, support, CONFIG, "image")
    assert isinstance(fitted, FittedPromptAD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.prototypes = None


def test_scores_are_probability_like(backbone, support, query):
    for task in ("image", "pixel"):
        scores = fit(backbone, support, CONFIG, task).score(query)
        values = scores.image if task == "image" else scores.maps
        assert values.min() >= 0
        assert values.max() <= 0.5  # half the harmonic mean of two numbers in [0, 1]
        assert values.dtype == torch.float32


def test_the_visual_map_is_computed_once_for_all_fits_on_the_same_images(monkeypatch):
    """Arms, seeds that draw the same images and epochs share it; other images, layers or queries do not."""
    backbone, calls = small_backbone(), []
    real = memory_module.visual_map

    def counting(queries, memories):
        calls.append(len(queries[0]))
        return real(queries, memories)

    monkeypatch.setattr(memory_module, "visual_map", counting)
    views = ["global", "local/vv", "block/1", "block/2"]
    support, other, query = (small_features(backbone, images, views) for images in ([1], [2], [5, 6, 7]))

    def scored(images, queries=query, **changes):
        config = CONFIG.with_changes({"memory_layers": (1, 2), "epochs": 2, **changes})
        return PromptAD().fit(backbone, images, config, task="pixel", category="bottle", seed=0).score(queries)

    first = scored(support)
    assert calls == [3]
    again = scored(support, align_weight=0.7, eam=False)
    assert calls == [3]
    assert torch.equal(first.branches["visual"], again.branches["visual"])
    assert not torch.equal(first.maps, again.maps)
    assert not torch.equal(scored(other).branches["visual"], first.branches["visual"])
    scored(support, memory_layers=(2,))
    scored(support, queries=small_features(backbone, [5, 6, 7, 8], views))
    assert calls == [3, 3, 3, 4]
    # Of features that do not say what they are, nothing is remembered.
    unknown = dataclasses.replace(support, identities=())
    assert torch.equal(scored(unknown).maps, first.maps)
    scored(unknown)
    assert calls == [3, 3, 3, 4, 3, 3]
