"""The dual-branch image towers against open_clip's own forward pass and a slow loop of eq. 4-7."""

import copy
import math

import pytest
import torch
from helpers.small_models import small_model
from open_clip.transformer import LayerScale
from torch.nn.functional import layer_norm

from promptad.backbones.towers import (
    UnsupportedTowerError,
    block_count,
    encode_images,
    grid_side,
    linear_local_features,
)

EXACT = {"rtol": 1e-9, "atol": 1e-10}
"""For float64: the same function up to the order of additions."""


@pytest.fixture(scope="module")
def vit():
    visual = copy.deepcopy(small_model("small-vit").visual).double()
    # A layer scale is part of the attention's output; most towers have none, and a test with none could not see it.
    visual.transformer.resblocks[1].ls_1 = LayerScale(32, 0.3).double()
    return visual.requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def resnet():
    return copy.deepcopy(small_model("small-resnet").visual).double()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def large_images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def block_inputs(visual, images):
    """What enters each block in the tower's own forward pass, and what leaves the last one."""
    seen = []
    hooks = [
        block.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
        for block in visual.transformer.resblocks
    ]
    visual(images)
    for hook in hooks:
        hook.remove()
    return [entering for entering, _ in seen] + [seen[-1][1]]


def mix(values, heads, attend):
    """``softmax(V V^T / sqrt(d)) V`` (or V) of one image's tokens (token x width), head by head, token by token."""
    tokens, width = values.shape
    part = width // heads
    mixed = torch.zeros_like(values)
    for head in range(heads):
        columns = slice(head * part, (head + 1) * part)
        for i in range(tokens):
            if not attend:
                mixed[i, columns] = values[i, columns]
                continue
            logits = [float(values[i, columns] @ values[j, columns]) / math.sqrt(part) for j in range(tokens)]
            total = sum(math.exp(logit) for logit in logits)
            for j in range(tokens):
                mixed[i, columns] += math.exp(logits[j]) / total * values[j, columns]
    return mixed


def slow_local(visual, images, attend):
    """Local features of eq. 4-7: a stream beside the tower's, fed by V of the tower's tokens, without FFN."""
    entering = block_inputs(visual, images)
    locals_ = []
    for image in range(len(images)):
        stream = entering[0][image].clone()
        for tokens, block in zip(entering, visual.transformer.resblocks, strict=False):
            width = tokens.shape[-1]
            inner = layer_norm(tokens[image], (width,), block.ln_1.weight, block.ln_1.bias)
            attention = block.attn
            values = inner @ attention.in_proj_weight[2 * width :].T + attention.in_proj_bias[2 * width :]
            mixed = mix(values, attention.num_heads, attend)
            stream = stream + block.ls_1(mixed @ attention.out_proj.weight.T + attention.out_proj.bias)
        ended = layer_norm(stream[1:], stream.shape[-1:], visual.ln_post.weight, visual.ln_post.bias)
        locals_.append(ended @ visual.proj)
    return torch.stack(locals_)


def test_global_feature_is_the_towers_own(vit, resnet, images, large_images):
    for visual, batch in ((vit, images), (resnet, large_images)):
        output = encode_images(visual, batch, local=("vv", "clip"), blocks=(1,), attended=(1,))
        torch.testing.assert_close(output.global_feature, visual(batch), **EXACT)


@pytest.mark.parametrize(("name", "attend"), [("vv", True), ("maskclip", False)])
def test_local_stream_follows_equations_4_to_7(vit, images, name, attend):
    found = encode_images(vit, images, local=(name,)).local[name]
    torch.testing.assert_close(found, slow_local(vit, images, attend), **EXACT)


def test_streams_do_not_disturb_each_other(vit, images):
    together = encode_images(vit, images, local=("clip", "maskclip", "vv", "linear"), blocks=(2,), attended=(2,))
    assert set(together.local) == {"clip", "maskclip", "vv"}
    for name in ("clip", "maskclip", "vv"):
        alone = encode_images(vit, images, local=(name,)).local[name]
        torch.testing.assert_close(together.local[name], alone, rtol=0, atol=0)


def test_clip_local_features_are_the_projected_patch_tokens(vit, images):
    _, last = vit.transformer.forward_intermediates(vit._embeds(images), indices=1)
    expected = vit.ln_post(last[0][:, 1:]) @ vit.proj
    torch.testing.assert_close(encode_images(vit, images, local=("clip",)).local["clip"], expected, **EXACT)


def test_blocks_are_the_patches_after_each_block(vit, images):
    _, intermediates = vit.transformer.forward_intermediates(vit._embeds(images))
    blocks = encode_images(vit, images, local=(), blocks=(1, 2, 3)).blocks
    assert set(blocks) == {1, 2, 3}
    for number, expected in enumerate(intermediates, start=1):
        torch.testing.assert_close(blocks[number], expected[:, 1:], **EXACT)


def test_attended_adds_the_next_blocks_attention(vit, images):
    output = encode_images(vit, images, local=(), attended=(1, 2, 3))
    assert output.blocks == {}
    entering = block_inputs(vit, images)
    for number in (1, 2):
        block, tokens = vit.transformer.resblocks[number], entering[number]
        inner = block.ln_1(tokens)
        expected = tokens + block.ls_1(block.attn(inner, inner, inner, need_weights=False)[0])
        torch.testing.assert_close(output.attended[number], expected[:, 1:], **EXACT)
    torch.testing.assert_close(output.attended[3], entering[3][:, 1:], **EXACT)


def test_stream_is_the_embedding_and_what_each_block_added(vit, images):
    output = encode_images(vit, images, local=("linear",), blocks=(1, 3))
    assert output.stream.shape == (2, 4, 16, 32)
    assert output.local == {}
    torch.testing.assert_close(output.stream.sum(dim=1), output.blocks[3], **EXACT)
    torch.testing.assert_close(output.stream[:, :2].sum(dim=1), output.blocks[1], **EXACT)
    assert encode_images(vit, images, local=("clip",)).stream is None


def test_linear_with_identity_layers_is_clip(vit, images):
    output = encode_images(vit, images, local=("linear", "clip"))
    identity = torch.eye(32, dtype=torch.float64).repeat(3, 1, 1)
    torch.testing.assert_close(linear_local_features(vit, output.stream, identity), output.local["clip"], **EXACT)


def test_linear_passes_each_contribution_through_its_own_layer(vit, images):
    stream = encode_images(vit, images, local=("linear",)).stream
    layers = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    summed = stream[:, 0] + sum(stream[:, block + 1] @ layers[block] for block in range(3))
    expected = vit.ln_post(summed) @ vit.proj
    torch.testing.assert_close(linear_local_features(vit, stream, layers), expected, **EXACT)


def test_resnet_blocks_are_its_stages_and_attended_the_same(resnet, large_images):
    stages = resnet.forward_intermediates(large_images, indices=[1, 2, 3, 4])["image_intermediates"]
    output = encode_images(resnet, large_images, local=(), blocks=(1, 2, 3, 4), attended=(2, 4))
    assert [output.blocks[number].shape[1] for number in (1, 2, 3, 4)] == [256, 64, 16, 4]
    assert set(output.attended) == {2, 4}
    for number, stage in enumerate(stages, start=1):
        torch.testing.assert_close(output.blocks[number], stage.flatten(2).transpose(1, 2), **EXACT)
    for number in (2, 4):
        torch.testing.assert_close(output.attended[number], output.blocks[number], rtol=0, atol=0)


@pytest.mark.parametrize(("name", "attend"), [("vv", True), ("maskclip", False)])
def test_resnet_transforms_its_attention_pool(resnet, large_images, name, attend):
    entering = []
    hook = resnet.attnpool.register_forward_hook(lambda _module, inputs, _output: entering.append(inputs[0]))
    resnet(large_images)
    hook.remove()
    pool = resnet.attnpool
    expected = []
    for activations in entering[0]:
        patches = activations.flatten(1).T
        tokens = torch.cat([patches.mean(dim=0, keepdim=True), patches]) + pool.positional_embedding
        values = tokens @ pool.v_proj.weight.T + pool.v_proj.bias
        mixed = mix(values, pool.num_heads, attend)[1:]
        expected.append(mixed @ pool.c_proj.weight.T + pool.c_proj.bias)
    found = encode_images(resnet, large_images, local=(name,)).local[name]
    torch.testing.assert_close(found, torch.stack(expected), **EXACT)


def test_resnet_clip_reads_the_pool_at_every_token(resnet, large_images):
    # The pool's output at token t is what the pool would return if t stood in the place of its mean token.
    stage = resnet.forward_intermediates(large_images, indices=[4])["image_intermediates"][0]
    pool = resnet.attnpool
    patches = stage.flatten(2).transpose(1, 2)
    tokens = torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1) + pool.positional_embedding
    attention = torch.nn.MultiheadAttention(256, pool.num_heads, batch_first=True, dtype=torch.float64)
    attention.in_proj_weight.data = torch.cat([pool.q_proj.weight, pool.k_proj.weight, pool.v_proj.weight])
    attention.in_proj_bias.data = torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias])
    attention.out_proj = pool.c_proj
    expected = attention(tokens, tokens, tokens, need_weights=False)[0][:, 1:]
    found = encode_images(resnet, large_images, local=("clip",)).local["clip"]
    torch.testing.assert_close(found, expected.detach(), **EXACT)


def test_block_count(vit, resnet):
    assert (block_count(vit), block_count(resnet)) == (3, 4)


def test_unknown_tower_is_refused(images):
    with pytest.raises(UnsupportedTowerError, match=r"VisionTransformer or ModifiedResNet, but is Linear: choose"):
        encode_images(torch.nn.Linear(2, 2), images, local=())


@pytest.mark.parametrize("views", [{"blocks": (0, 2)}, {"attended": (0, 1)}])
def test_block_zero_is_refused(vit, images, views):
    with pytest.raises(UnsupportedTowerError, match=r"between 1 and 3 for this backbone, but got \[0\]"):
        encode_images(vit, images, local=(), **views)


def test_blocks_past_the_last_are_refused(vit, resnet, images, large_images):
    with pytest.raises(UnsupportedTowerError, match=r"between 1 and 3 for this backbone, but got \[4, 9\]"):
        encode_images(vit, images, local=(), blocks=(4, 1), attended=(9,))
    with pytest.raises(UnsupportedTowerError, match=r"between 1 and 4 for this backbone, but got \[5\]"):
        encode_images(resnet, large_images, local=(), blocks=(5,))


def test_linear_is_refused_on_a_resnet(resnet, large_images):
    with pytest.raises(UnsupportedTowerError, match=r"linear needs a transformer backbone .* choose clip, maskclip or"):
        encode_images(resnet, large_images, local=("linear",))
    with pytest.raises(UnsupportedTowerError, match=r"linear needs a transformer backbone, but this one is a ResNet"):
        linear_local_features(resnet, torch.zeros(1, 2, 4, 8), torch.zeros(1, 8, 8))


def test_tower_without_class_token_pooling_is_refused(vit, images):
    averaging = copy.deepcopy(vit)
    averaging.pool_type = "avg"
    with pytest.raises(UnsupportedTowerError, match="must pool by its class token, but this one pools avg"):
        encode_images(averaging, images, local=())
    attending = copy.deepcopy(vit)
    attending.attn_pool = torch.nn.Identity()
    with pytest.raises(UnsupportedTowerError, match="must pool by its class token, but this one pools by attention"):
        encode_images(attending, images, local=())


def test_other_blocks_are_refused(vit, images):
    odd = copy.deepcopy(vit)
    odd.transformer.resblocks[2] = torch.nn.Identity()
    with pytest.raises(UnsupportedTowerError, match="plain residual attention blocks, but got Identity"):
        encode_images(odd, images, local=())


def test_grid_side():
    assert (grid_side(1), grid_side(16), grid_side(225)) == (1, 4, 15)
    with pytest.raises(UnsupportedTowerError, match="must be square, but 15 patches are not"):
        grid_side(15)
