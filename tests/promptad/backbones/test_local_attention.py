"""Attention rules by hand, and a transformation that is added from outside, from its entry to the scores."""

import pytest
import torch
from helpers.small_models import small_backbone

from promptad.backbones import local_attention
from promptad.backbones.towers import UnsupportedTowerError, encode_images, encode_prompted_images
from promptad.configs.method_config import ConfigError
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.transformation_table import TRANSFORMATIONS, Transformation, unlearned


def heads(seed, tokens=3, part=2):
    return torch.randn(1, 2, tokens, part, generator=torch.Generator().manual_seed(seed))


def slow_attention(query, key, value):
    out = torch.zeros_like(value)
    for image in range(query.shape[0]):
        for head in range(query.shape[1]):
            for token in range(query.shape[2]):
                logits = [float(query[image, head, token] @ other) / key.shape[-1] ** 0.5 for other in key[image, head]]
                weights = torch.tensor(logits).softmax(0)
                out[image, head, token] = sum(w * v for w, v in zip(weights, value[image, head], strict=True))
    return out


def key_to_key(query, key, value):  # noqa: ARG001
    return torch.nn.functional.scaled_dot_product_attention(key, key, value)


def test_the_rules_take_what_they_name():
    query, key, value = heads(0), heads(1), heads(2)
    assert local_attention.value_alone(query, key, value) is value
    found = local_attention.value_to_value(query, key, value)
    torch.testing.assert_close(found, slow_attention(value, value, value))
    assert not torch.allclose(found, slow_attention(query, key, value))


def test_every_entry_has_a_rule_or_is_made_without_one():
    for name, entry in TRANSFORMATIONS.items():
        assert (entry.rule is None) == (name in ("clip", "linear"))
        assert entry.rule is None or callable(entry.attention())
    assert unlearned() == ("clip", "maskclip", "vv")
    with pytest.raises(ValueError, match="transformation CLIP must have an attention rule"):
        TRANSFORMATIONS["clip"].attention()


@pytest.fixture
def added(monkeypatch):
    entry = Transformation(title="KK-CLIP", rule=f"{__name__}:key_to_key")
    monkeypatch.setattr(Transformation, "attention", lambda self: key_to_key if self is entry else kept(self))
    monkeypatch.setitem(TRANSFORMATIONS, "kk", entry)
    return entry


kept = Transformation.attention


@pytest.mark.parametrize("architecture", ["small-vit", "small-resnet"])
@pytest.mark.usefixtures("added")
def test_one_that_is_added_is_run_by_every_tower(architecture):
    backbone = small_backbone(architecture)
    size = backbone.model.visual.image_size
    side = size if isinstance(size, int) else size[0]
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        local = encode_images(backbone.model.visual, images, local=("kk", "vv", "clip")).local
    assert set(local) == {"kk", "vv", "clip"}
    assert not torch.allclose(local["kk"], local["vv"])
    assert not torch.allclose(local["kk"], local["clip"])


@pytest.mark.usefixtures("added")
def test_one_that_is_added_is_run_beside_visual_prompts():
    visual = small_backbone().model.visual
    images = torch.randn(1, 3, *visual.image_size, generator=torch.Generator().manual_seed(0))
    prompts = torch.zeros(1, 1, visual.ln_pre.weight.shape[0])
    with torch.no_grad():
        local = encode_prompted_images(visual, images, prompts, local=("kk", "vv")).local
    assert not torch.allclose(local["kk"], local["vv"])


@pytest.mark.usefixtures("added")
def test_a_config_names_it_and_nothing_else():
    assert PromptADConfig(transformation="kk").transformation == "kk"
    with pytest.raises(ConfigError, match="transformation must be one of clip, maskclip, vv, linear, kk, but got 'qq'"):
        PromptADConfig(transformation="qq")


def test_what_is_unknown_or_lacks_its_rule_is_refused_by_the_tower(monkeypatch):
    visual = small_backbone().model.visual
    images = torch.zeros(1, 3, *visual.image_size)
    with pytest.raises(UnsupportedTowerError, match=r"transformation must be one of clip, .* but got 'qq'"):
        encode_images(visual, images, local=("qq",))
    monkeypatch.setitem(TRANSFORMATIONS, "bare", Transformation(title="bare", rule=None))
    with pytest.raises(UnsupportedTowerError, match="transformation bare must have an attention rule, but has none"):
        encode_images(visual, images, local=("bare",))
