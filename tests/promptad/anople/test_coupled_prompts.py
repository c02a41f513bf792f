"""Prompts of both towers and what is mapped between them."""

import pytest
import torch
from helpers.small_models import small_backbone

from promptad.anople.coupled_prompts import CoupledPrompts
from promptad.configs.anople_config import AnoPLeConfig
from promptad.configs.method_config import ConfigError
from promptad.prompts.linear_layers import Linear

ALL = AnoPLeConfig(n_text_tokens=2, n_visual_tokens=3, prompt_depth=2)


def drawn(config=ALL, seed=0, category="bottle"):
    return CoupledPrompts.draw(small_backbone(), config, category=category, seed=seed)


def test_own_tokens_stand_before_mapped_ones():
    text, visual = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0], [5.0]]])
    doubled = Linear(weight=torch.tensor([[1.0, 1.0]]), bias=torch.tensor([10.0]))
    spread = Linear(weight=torch.tensor([[1.0], [-1.0]]), bias=torch.tensor([0.0, 0.5]))
    prompts = CoupledPrompts(text=text, visual=visual, to_image=(doubled,), to_text=(spread,), rows=torch.zeros(0, 1))
    assert prompts.text_prompts().tolist() == [[[1.0, 2.0], [3.0, -2.5], [5.0, -4.5]]]
    assert prompts.image_prompts().tolist() == [[[3.0], [5.0], [13.0]]]


@pytest.mark.parametrize(
    ("coupling", "in_text", "in_image"),
    [("both", 5, 5), ("text_to_image", 2, 5), ("image_to_text", 5, 3), ("none", 2, 3)],
)
def test_what_is_mapped_where(coupling, in_text, in_image):
    config = ALL.with_changes({"coupling": coupling})
    prompts = drawn(config)
    text, image = small_backbone().text.token_embedding.weight.shape[1], 32
    assert prompts.text_prompts().shape == (2, in_text, text)
    assert prompts.image_prompts().shape == (2, in_image, image)
    assert config.text_context_length == in_text
    # Tokens of one tower are the same whatever is mapped.
    assert torch.equal(prompts.text, drawn().text)
    assert torch.equal(prompts.visual, drawn().visual)


def test_draws_are_block_by_block_and_view_by_view():
    one, same, other, elsewhere = drawn(), drawn(), drawn(seed=1), drawn(category="screw")
    for name, value in one.tensors().items():
        assert torch.equal(value, same.tensors()[name])
        assert not torch.equal(value, other.tensors()[name])
        assert not torch.equal(value, elsewhere.tensors()[name])
    shallow = drawn(ALL.with_changes({"prompt_depth": 1, "views": "whole"}))
    assert torch.equal(shallow.text, one.text[:1])
    assert torch.equal(shallow.visual, one.visual[:1])
    assert torch.equal(shallow.to_text[0].weight, one.to_text[0].weight)
    assert torch.equal(shallow.rows, one.rows[:1])
    assert len(one.rows) == 5
    many = drawn(AnoPLeConfig(n_visual_tokens=32, initial_deviation=0.5, prompt_depth=2))
    assert many.visual.std().item() == pytest.approx(0.5, rel=0.1)


def test_rows_have_the_width_of_what_they_enter():
    widths = {signal: drawn(ALL.with_changes({"view_signal": signal})).rows.shape for signal in ("tower", "decoder")}
    assert widths == {"tower": (5, 32), "decoder": (5, small_backbone().model.visual.output_dim)}
    assert len(drawn(ALL.with_changes({"view_signal": "none"})).rows) == 0


@pytest.mark.parametrize("coupling", ["both", "none"])
def test_prompts_are_restored_from_their_tensors(coupling):
    prompts = drawn(ALL.with_changes({"coupling": coupling, "view_signal": "none"}))
    again = CoupledPrompts.restored(prompts.tensors())
    assert torch.equal(again.text_prompts(), prompts.text_prompts())
    assert torch.equal(again.image_prompts(), prompts.image_prompts())
    assert again.rows.shape == prompts.rows.shape


def test_copies_to_learn_and_copies_to_keep():
    prompts = drawn()
    leaf = prompts.leaf(torch.device("cpu"), torch.float32)
    parameters = leaf.parameters()
    assert all(part.is_leaf and part.requires_grad for part in parameters)
    assert sum(part.numel() for part in parameters) == sum(part.numel() for part in prompts.tensors().values())
    kept = leaf.frozen()
    with torch.no_grad():
        for part in parameters:
            part.add_(1)
    for name, value in kept.tensors().items():
        assert torch.equal(value, prompts.tensors()[name])
        assert not value.requires_grad
        assert torch.equal(leaf.tensors()[name], value + 1)
    # What has no element cannot be learned.
    bare = drawn(AnoPLeConfig(n_visual_tokens=0, coupling="none", view_signal="none"))
    assert [part.shape for part in bare.parameters()] == [bare.text.shape]


def test_more_blocks_with_prompts_than_the_shallower_tower_has():
    with pytest.raises(ConfigError, match="prompt_depth must be between 1 and 2 for small-vit:random, but got 3"):
        drawn(AnoPLeConfig(prompt_depth=3))
