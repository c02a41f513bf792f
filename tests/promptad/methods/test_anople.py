"""AnoPLe, rebuilt: where it is MaPLe, what it scores, and what its config means."""

import dataclasses

import pytest
import torch
from helpers.arms import arm, planned
from helpers.memory_methods import fitted, some_features
from helpers.small_models import small_backbone, small_features
from torch.nn.functional import normalize

from promptad.backbones.towers import encode_images, encode_prompted_images
from promptad.configs.anople_config import AnoPLeConfig
from promptad.configs.method_config import ConfigError, UnmetNeedError
from promptad.configs.method_configs import MaPLeConfig
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.methods.anople import AnoPLe
from promptad.methods.promptad import PromptAD
from study.planning.plan import PlanError

STRONG = AnoPLeConfig(epochs=2, learning_rate=0.02, initial_deviation=0.5, decoder_width=8, memory_layers=(1, 2))
TASKS = pytest.mark.parametrize("task", ["image", "pixel"])

AS_MAPLE = {
    "n_visual_tokens": 0,
    "coupling": "text_to_image",
    "normal_words": "normal_object",
    "memory": False,
    "views": "whole",
    "view_signal": "none",
    "pixel_anomalies": False,
    "latent_anomalies": False,
    "decoder": "none",
    "pixel_loss": False,
    "local_alignment": False,
}
"""From text to image without visual tokens of their own, and normal images alone."""


def part_of(features, number):
    return Features(views={name: view[:number] for name, view in features.views.items()}, device=features.device)


SUPPORT, QUERY = (part_of(each, number) for each, number in zip(some_features(), (2, 4), strict=True))


def test_one_coupling_and_no_anomaly_is_maple():
    config = STRONG.with_changes({**AS_MAPLE, "memory_layers": None, "epochs": 4})
    maple = MaPLeConfig(epochs=4, learning_rate=0.02, initial_deviation=0.5)
    expected, found = fitted(SUPPORT, maple, "image"), fitted(SUPPORT, config, "image")
    torch.testing.assert_close(found.prompts.text, expected.prompts, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.prototypes, expected.prototypes, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.score(QUERY).image, expected.score(QUERY).image, rtol=1e-4, atol=1e-6)
    # Their first step differs: AnoPLe's one training is of images, MaPLe's for maps is of patches.
    untrained = {"epochs": 0}
    expected = fitted(SUPPORT, maple.with_changes(untrained), "pixel").score(QUERY)
    found = fitted(SUPPORT, config.with_changes(untrained), "pixel").score(QUERY)
    torch.testing.assert_close(found.maps, expected.maps, rtol=1e-4, atol=1e-6)


def test_one_training_serves_both_tasks():
    image, pixel = (fitted(SUPPORT, STRONG, task).tensors() for task in ("image", "pixel"))
    assert set(image) == set(pixel)
    assert all(torch.equal(image[name], pixel[name]) for name in image)


def test_the_memory_is_promptads():
    visual = fitted(SUPPORT, PromptADConfig(pad=False, memory_layers=(1, 2)), "pixel").score(QUERY).maps
    found = fitted(SUPPORT, STRONG, "pixel").score(QUERY)
    assert torch.equal(found.branches["visual"], visual)
    textual = found.branches["textual"]
    torch.testing.assert_close(found.maps, 1 / (1 / textual + 1 / visual))
    bare = fitted(SUPPORT, STRONG.with_changes({"memory": False}), "pixel").score(QUERY)
    assert torch.equal(bare.maps, textual)
    assert set(bare.branches) == {"textual"}
    alone = fitted(SUPPORT, STRONG.with_changes({"memory": False}), "image").score(QUERY).image
    fused = fitted(SUPPORT, STRONG, "image").score(QUERY).image
    torch.testing.assert_close(fused, 1 / (1 / alone + 1 / visual.flatten(1).amax(dim=1)))


@TASKS
@pytest.mark.parametrize("signal", ["tower", "decoder"])
def test_the_whole_image_alone_is_scored_with_its_own_row(task, signal):
    method = fitted(SUPPORT, STRONG.with_changes({"view_signal": signal}), task)
    prompts = method.prompts

    def scored(rows):
        result = dataclasses.replace(method, prompts=dataclasses.replace(prompts, rows=rows)).score(QUERY)
        return result.image if task == "image" else result.maps

    expected = scored(prompts.rows)
    others = prompts.rows.clone()
    others[1:] += 1
    assert torch.equal(scored(others), expected)
    own = prompts.rows.clone()
    own[0] += 1
    # The decoder is not asked for the score of an image.
    assert torch.equal(scored(own), expected) == (signal == "decoder" and task == "image")


@TASKS
def test_scores_from_the_towers_own_outputs(task):
    config = STRONG.with_changes({"memory": False, "view_signal": "none", "epochs": 1})
    method = fitted(SUPPORT, config, task)
    images, tokens = QUERY.stack("pixels"), method.prompts.image_prompts()
    output = encode_prompted_images(small_backbone().model.visual, images, tokens, local=("vv",))
    prototypes = method.prototypes
    if task == "image":
        z = normalize(output.global_feature, dim=-1)
        expected = torch.sigmoid(20 * (z @ (prototypes[1] - prototypes[0])))
        torch.testing.assert_close(method.score(QUERY).image, expected, rtol=1e-4, atol=1e-6)
        return
    patches = normalize(output.local["vv"], dim=-1).transpose(1, 2).unflatten(-1, (4, 4))
    vectors = normalize(method.decoder(patches), dim=1)
    gap = torch.einsum("vexy,e->vxy", vectors, prototypes[1] - prototypes[0])
    torch.testing.assert_close(method.score(QUERY).maps, torch.sigmoid(20 * gap), rtol=1e-4, atol=1e-6)


def test_prompts_of_the_text_tower_alone_leave_images_as_they_are():
    config = STRONG.with_changes({"n_visual_tokens": 0, "coupling": "none", "view_signal": "none", "memory": False})
    method = fitted(SUPPORT, config, "image")
    z = encode_images(small_backbone().model.visual, QUERY.stack("pixels"), local=()).global_feature
    gap = normalize(z, dim=-1) @ (method.prototypes[1] - method.prototypes[0])
    torch.testing.assert_close(method.score(QUERY).image, torch.sigmoid(20 * gap), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{"n_text_tokens": 0, "coupling": "image_to_text"}, {"n_visual_tokens": 0, "coupling": "text_to_image"}],
)
def test_tokens_of_one_tower_alone_are_mapped_to_the_other(changes):
    one = fitted(SUPPORT, STRONG.with_changes(changes), "image")
    assert one.prompts.text_prompts().shape[1] == one.prompts.image_prompts().shape[1] == 2


def test_visual_prompts_alone_have_the_texts_of_plain_clip():
    config = STRONG.with_changes({"n_text_tokens": 0, "coupling": "none"})
    method, backbone = fitted(SUPPORT, config, "image"), small_backbone()
    words = backbone.tokenizer(["bottle", "abnormal bottle"])
    torch.testing.assert_close(
        method.prototypes, normalize(backbone.model.encode_text(words), dim=-1), rtol=1e-4, atol=1e-6
    )


@TASKS
def test_each_epoch_is_shown_as_it_was(task):
    seen = []
    options = {"task": task, "category": "bottle", "seed": 0, "on_epoch": lambda *each: seen.append(each)}
    last = AnoPLe().fit(small_backbone(), SUPPORT, STRONG, **options)
    assert [epoch for epoch, _ in seen] == [1, 2]
    for epoch, method in seen:
        fresh = fitted(SUPPORT, STRONG.with_changes({"epochs": epoch}), task)
        assert all(torch.equal(value, method.tensors()[name]) for name, value in fresh.tensors().items())
    assert all(torch.equal(value, last.tensors()[name]) for name, value in seen[-1][1].tensors().items())


def test_seeds_draw_all_anew():
    one, same, other = (fitted(SUPPORT, STRONG, "image", seed).tensors() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    learned = [name for name in one if not name.startswith("memory")]
    assert not any(torch.equal(one[name], other[name]) for name in learned)


def test_the_backbone_stays_as_it_was():
    backbone = small_backbone()
    weights = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    fitted(SUPPORT, STRONG, "pixel").score(QUERY)
    assert all(torch.equal(weights[name], value) for name, value in backbone.model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in backbone.model.parameters())


@TASKS
def test_half_precision(task):
    backbone = small_backbone(precision="fp16")
    config = AnoPLeConfig(epochs=2, precision="fp16", memory_layers=(1,))
    views = AnoPLe().views(config, task, backbone)
    support, query = (small_features(backbone, seeds, views) for seeds in ([1], [2, 3]))
    method = AnoPLe().fit(backbone, support, config, task=task, category="bottle", seed=0)
    found = method.score(query)
    value = found.image if task == "image" else found.maps
    assert value.dtype == torch.float32
    assert torch.isfinite(value).all()


def test_views_are_those_of_the_parts_that_are_used():
    backbone = small_backbone()
    assert AnoPLe().views(STRONG, "image", backbone) == {
        *("pixels", "pictures/1", "pictures/2", "block/1", "block/2"),
    }
    whole = STRONG.with_changes({"views": "whole", "memory": False, "memory_layers": None})
    assert AnoPLe().views(whole, "pixel", backbone) == {"pixels", "pictures/1"}
    assert AnoPLe().views(whole.with_changes({"epochs": 0}), "pixel", backbone) == {"pixels"}
    tap = STRONG.with_changes({"memory_tap": "after_next_attention", "epochs": 0})
    assert AnoPLe().views(tap, "pixel", backbone) == {"pixels", "attended/1", "attended/2"}


def test_what_promptad_calls_the_same_is_the_same():
    support = part_of(some_features()[0], 1)
    one = PromptAD().fit(
        small_backbone(), support, PromptADConfig(pad=False, memory_layers=(2,)), task="pixel", category="a", seed=0
    )
    other = fitted(support, STRONG.with_changes({"memory_layers": (2,)}), "pixel")
    assert torch.equal(one.memories["block/2"], other.memories["block/2"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_text_tokens": 33}, "n_text_tokens must be between 0 and 32, but got 33"),
        ({"n_visual_tokens": -1}, "n_visual_tokens must be between 0 and 32, but got -1"),
        ({"prompt_depth": 0}, "prompt_depth must be at least 1, but got 0"),
        ({"views_per_step": 6}, "views_per_step must be between 1 and 5, but got 6"),
        ({"pixel_kinds": ()}, r"pixel_kinds must be different and at least one, but got \(\)"),
        ({"pixel_kinds": ("cut_paste", "cut_paste")}, "pixel_kinds must be different"),
        ({"pixel_kinds": ("blob",)}, "pixel_kinds must be "),
        ({"latent_noise": -0.1}, "latent_noise must be finite and not negative, but got -0.1"),
        ({"focal_power": float("inf")}, "focal_power must be finite and not negative, but got inf"),
        ({"decoder_rate": 0.0}, "decoder_rate must be positive and finite, but got 0.0"),
        ({"decoder_width": 0}, "decoder_width must be at least 1, but got 0"),
        ({"memory_layers": (0,)}, "memory_layers must be different blocks"),
        ({"transformation": "linear"}, "transformation must be one of clip, maskclip, vv, but got 'linear'"),
    ],
)
def test_values_out_of_their_domain(changes, message):
    with pytest.raises(ConfigError, match=message):
        AnoPLeConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_text_tokens": 0}, "coupling both needs text tokens to map: set n_text_tokens"),
        ({"n_visual_tokens": 0}, "coupling both needs visual tokens to map: set n_visual_tokens"),
        ({"n_text_tokens": 0, "n_visual_tokens": 0, "coupling": "none"}, "prompts need tokens"),
        ({"pixel_anomalies": False}, "local_alignment needs pseudo-anomalies with a global feature"),
        ({"pixel_loss": False}, "latent_anomalies need a loss of maps: set pixel_loss"),
        ({"pixel_loss": False, "latent_anomalies": False, "local_alignment": False}, "a decoder needs a loss"),
        (
            {"pixel_loss": False, "latent_anomalies": False, "local_alignment": False, "view_signal": "decoder"},
            "rows that the decoder reads need a loss",
        ),
    ],
)
def test_parts_that_need_each_other(changes, message):
    with pytest.raises(UnmetNeedError, match=message):
        AnoPLeConfig(**changes)


def test_what_cannot_matter_is_reset():
    config = AnoPLeConfig(map_size=400, map_smoothing=2.0, transformation="clip")
    # One training is of maps too, so that their branch matters to the scores of images.
    assert config.canonical("image") == AnoPLeConfig(transformation="clip")
    assert config.canonical("pixel") == config
    bare = AnoPLeConfig(**AS_MAPLE, transformation="clip")
    assert bare.canonical("image") == AnoPLeConfig(**AS_MAPLE)
    assert bare.canonical("pixel") == bare
    without = {"memory": False, "latent_anomalies": False, "decoder": "none"}
    tuned = {"memory_layers": (1,), "latent_noise": 3.0, "decoder_width": 3, "decoder_rate": 1.0}
    assert AnoPLeConfig(**without, **tuned).canonical("pixel") == AnoPLeConfig(**without)
    still = AnoPLeConfig(epochs=0, views="whole", pixel_anomalies=False, local_alignment=False, decoder="patches")
    assert still.canonical("pixel") == AnoPLeConfig(epochs=0)
    assert AnoPLeConfig(epochs=0, transformation="clip").canonical("image") == AnoPLeConfig(epochs=0)


def test_the_plan_knows_how_deep_towers_are(inspection_root):
    with pytest.raises(PlanError, match="prompt_depth must be between 1 and 3 for tiny, but arm by anople has 4"):
        planned(inspection_root, arm("anople", changes={"prompt_depth": 4}))
    cells = planned(inspection_root, arm("anople")).cells.values()
    assert {cell.config.prompt_depth for cell in cells} == {3}
    assert all(cell.config.memory_layers for cell in cells)
    with pytest.raises(PlanError, match="AnoPLe, rebuilt needs a transformer backbone, but RN101:random is a Res"):
        planned(inspection_root, arm("anople"), arm("padim"), backbone="RN101:random")
