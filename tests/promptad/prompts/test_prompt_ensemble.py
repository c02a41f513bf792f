"""CPE: the texts as WinCLIP prints them, and prototypes against open_clip's own text encoder."""

import pytest
import torch
from helpers.small_models import small_backbone, small_features
from torch.nn.functional import normalize

from promptad.configs.promptad_config import PromptADConfig
from promptad.methods import method_named
from promptad.prompts import prompt_ensemble
from promptad.prompts.prompt_ensemble import CHUNK, ensemble_prototypes
from promptad.prompts.prompt_learning import prompts_for
from promptad.texts.templates import ANOMALY_STATES, NORMAL_STATES, TEMPLATES, WINCLIP_TEMPLATES, ensemble_texts

CPE = PromptADConfig(prompts="ensemble", vad=False)


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


def test_the_ensemble_has_winclips_size_and_the_large_one_nearly_a_thousand_texts():
    assert (len(NORMAL_STATES), len(ANOMALY_STATES), len(WINCLIP_TEMPLATES)) == (7, 4, 22)
    normal, anomaly = ensemble_texts("metal nut", 22)
    assert (len(normal), len(anomaly)) == (154, 88)
    assert len(set(normal + anomaly)) == 242
    assert sum(len(texts) for texts in ensemble_texts("metal nut", len(TEMPLATES))) == 924
    assert len(set(TEMPLATES)) == 84
    assert all(template.count("{}") == 1 for template in TEMPLATES)


def test_states_stand_in_templates():
    normal, anomaly = ensemble_texts("metal nut", 2)
    assert normal[1] == "a cropped photo of the flawless metal nut."
    assert normal[7 + 6] == "a cropped photo of a metal nut without damage."
    assert anomaly == (
        "a cropped photo of the damaged metal nut.",
        "a cropped photo of the metal nut with flaw.",
        "a cropped photo of the metal nut with defect.",
        "a cropped photo of the metal nut with damage.",
        "a cropped photo of a damaged metal nut.",
        "a cropped photo of a metal nut with flaw.",
        "a cropped photo of a metal nut with defect.",
        "a cropped photo of a metal nut with damage.",
    )


def test_prototypes_are_means_of_normalised_text_features(backbone):
    # 20 templates make 140 normal texts: more than one chunk.
    assert CHUNK < 140
    found = ensemble_prototypes(
        backbone, prompts_for(backbone.tokenizer, CPE.with_changes({"ensemble_templates": 20}), "image", "metal_nut")
    )
    for prototype, texts in zip(found, ensemble_texts("metal nut", 20), strict=True):
        with torch.inference_mode():
            features = normalize(backbone.model.encode_text(backbone.tokenizer(list(texts))), dim=-1)
        torch.testing.assert_close(prototype, normalize(features.mean(dim=0), dim=-1), rtol=1e-4, atol=1e-5)


def test_a_backbone_encodes_the_same_texts_once(monkeypatch):
    encoded, real = [], prompt_ensemble.text_features

    def recording(backbone, prompts):
        encoded.append(len(prompts))
        return real(backbone, prompts)

    monkeypatch.setattr(prompt_ensemble, "text_features", recording)
    one, other = (small_backbone.__wrapped__(seed=seed) for seed in (1, 2))
    bottle, cable = (prompts_for(one.tokenizer, CPE, "image", category) for category in ("bottle", "cable"))
    first = ensemble_prototypes(one, bottle)
    assert torch.equal(ensemble_prototypes(one, bottle), first)
    assert encoded == [154, 88]
    # Another category, and other weights, are not the same.
    assert not torch.equal(ensemble_prototypes(one, cable), first)
    assert not torch.equal(ensemble_prototypes(other, bottle), first)
    assert encoded == [154, 88] * 3


@pytest.mark.parametrize("transformation", ["clip", "maskclip", "vv"])
def test_cpe_scores_pixels_without_seeing_a_support_image(backbone, transformation):
    config = CPE.with_changes({"transformation": transformation, "ensemble_templates": 1})
    method = method_named("promptad")
    views = method.views(config, "pixel", backbone)
    assert views == {f"local/{transformation}"}
    query = small_features(backbone, [10, 11], views)
    fits = [
        method.fit(backbone, small_features(backbone, [s], views), config, task="pixel", category="bottle", seed=s)
        for s in (1, 2)
    ]
    first, second = (fitted.score(query).maps for fitted in fits)
    assert torch.equal(first, second)
    normal, anomaly = fits[0].prototypes
    logits = 20.0 * query.stack(f"local/{transformation}") @ (anomaly - normal)
    torch.testing.assert_close(first.flatten(1), logits.sigmoid())


def test_without_prompts_the_visual_scores_are_final_and_survive_saving(backbone):
    config = PromptADConfig(pad=False)
    method = method_named("promptad")
    for task in ("image", "pixel"):
        views = method.views(config, task, backbone)
        assert views == {"block/1", "block/2"}
        query = small_features(backbone, [10, 11, 12], views)
        fitted = method.fit(backbone, small_features(backbone, [1], views), config, task=task, category="x", seed=0)
        assert set(fitted.tensors()) == {"memory/block/1", "memory/block/2"}
        distances = torch.stack(
            [0.5 * (1 - (query.stack(v) @ memory.T).amax(dim=-1)) for v, memory in fitted.memories.items()]
        ).mean(dim=0)
        restored = method.restore(backbone, fitted.tensors(), config, task=task)
        for scores in (fitted.score(query), restored.score(query)):
            if task == "image":
                torch.testing.assert_close(scores.image, distances.amax(dim=1))
            else:
                torch.testing.assert_close(scores.maps.flatten(1), distances)
                assert set(scores.branches) == {"visual"}
