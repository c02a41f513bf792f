"""Features and attention for figures: against the tower's own attention, and what a training ends with."""

import numpy as np
import pytest
import torch
from helpers.small_models import small_backbone, small_features

from promptad.backbones.towers import UnsupportedTowerError
from promptad.configs.promptad_config import PromptADConfig
from promptad.inside import VISUAL_FEATURES, attention_by_block, embedded_features, prompt_parts
from promptad.methods import method_named
from promptad.prompts.company import learned_prompts
from promptad.prompts.prompt_learning import prompts_for

CONFIG = PromptADConfig(epochs=2, vad=False, learning_rate=0.05, initial_deviation=0.5, n_normal_prompts_image=3)
ASKED = {"category": "bottle", "seed": 1}


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


def embedded(backbone, config, task):
    views = method_named("promptad").views(config, task, backbone)
    support, query = small_features(backbone, [1], views), small_features(backbone, range(10, 18), views)
    fitted = method_named("promptad").fit(backbone, support, config, task=task, **ASKED)
    training = learned_prompts(backbone, support, config, task=task, **ASKED)
    return embedded_features(backbone, training, query, [0, 2, 3], config, task), query, fitted


def test_an_embedding_holds_the_learned_prompts_and_the_normal_images(backbone):
    found, query, fitted = embedded(backbone, CONFIG, "image")
    # bottle has 5 generic and 3 own suffixes, so M = 8; N = 3, L = 4.
    assert {name: len(values) for name, values in found.items()} == {
        "normal_prompts": 3,
        "manual_prompts": 3 * 8,
        "learnable_prompts": 3 * 4,
        "visual": 3,
    }
    for values in found.values():
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found["visual"], query.stack("global")[[0, 2, 3]].numpy(), rtol=1e-5)
    # The prototype is the mean before normalising, so its direction is near that of the normalised mean, no more.
    mean = found["normal_prompts"].mean(axis=0)
    assert mean @ fitted.prototypes[0].numpy() / np.linalg.norm(mean) > 0.99


@pytest.mark.parametrize("transformation", ["vv", "linear"])
def test_patches_are_thinned_out_evenly(backbone, transformation, monkeypatch):
    monkeypatch.setattr("promptad.inside.VISUAL_FEATURES", 5)
    found, query, _ = embedded(backbone, CONFIG.with_changes({"transformation": transformation}), "pixel")
    assert len(found["visual"]) == 5 < VISUAL_FEATURES
    if transformation == "vv":
        patches = query.stack("local/vv")[[0, 2, 3]].flatten(0, 1).numpy()
        # 3 images of 16 patches: numbers 0 to 47.
        np.testing.assert_allclose(found["visual"], patches[[0, 12, 24, 35, 47]], rtol=1e-4, atol=1e-6)


def test_attention_is_that_of_the_tower(backbone):
    image = torch.randn((3, 32, 32), generator=torch.Generator().manual_seed(0))
    seen = []
    blocks = backbone.model.visual.transformer.resblocks
    hooks = [block.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for block in blocks]
    found = attention_by_block(backbone.model.visual, image)
    for hook in hooks:
        hook.remove()
    assert found["qk"].shape == found["vv"].shape == (3, 17, 17)
    for name in found:
        torch.testing.assert_close(found[name].sum(dim=-1), torch.ones(3, 17))
    for number, block in enumerate(blocks):
        tokens = block.ln_1(seen[number])
        _, expected = block.attn(tokens, tokens, tokens, need_weights=True)
        torch.testing.assert_close(found["qk"][number], expected[0], rtol=1e-4, atol=1e-6)
    # V-V attention of block 1, written out: the weights of V's third of the projection, head by head.
    first = blocks[0]
    width, heads = first.attn.embed_dim, first.attn.num_heads
    tokens = first.ln_1(seen[0])[0]
    value = tokens @ first.attn.in_proj_weight[2 * width :].T + first.attn.in_proj_bias[2 * width :]
    parts = value.reshape(17, heads, width // heads)
    by_hand = [(parts[:, h] @ parts[:, h].T / (width // heads) ** 0.5).softmax(dim=-1) for h in range(heads)]
    torch.testing.assert_close(found["vv"][0], torch.stack(by_hand).mean(dim=0), rtol=1e-4, atol=1e-6)


def test_a_resnet_has_no_blocks_of_attention():
    with pytest.raises(UnsupportedTowerError, match="attention by block needs a transformer backbone"):
        attention_by_block(small_backbone("small-resnet").model.visual, torch.zeros(3, 64, 64))


@pytest.mark.parametrize("pairing", ["all", "modulo"])
def test_prompts_of_one_prefix_or_suffix_are_known(backbone, pairing):
    config = CONFIG.with_changes({"pairing": pairing, "n_anomaly_suffixes": 2})
    prompts = prompts_for(backbone.tokenizer, config, "image", "bottle")
    parts = {kind: found.tolist() for kind, found in prompt_parts(prompts).items()}
    assert parts["normal_prompts"] == [[0, -1], [1, -1], [2, -1]]
    # Eight manual suffixes, suffix by suffix, then the learnable ones, numbered on.
    assert parts["manual_prompts"] == [[prefix, suffix] for suffix in range(8) for prefix in range(3)]
    pairs = {
        "all": [[prefix, suffix] for prefix in range(3) for suffix in (8, 9)],
        "modulo": [[i % 3, 8 + i % 2] for i in range(6)],
    }
    assert parts["learnable_prompts"] == pairs[pairing]


def test_texts_of_an_ensemble_have_no_prefix(backbone):
    config = PromptADConfig(prompts="ensemble", vad=False)
    parts = prompt_parts(prompts_for(backbone.tokenizer, config, "image", "bottle"))
    assert (parts["normal_prompts"] == -1).all()
    assert (parts["manual_prompts"][:, 0] == -1).all()
    assert parts["learnable_prompts"].shape == (0, 2)
