"""One pass through an image tower computes the original stream and the local-aware streams beside it.

Its outputs: the global feature, the local features of several CLIP transformations, and the patch features after any
block. All functions are differentiable and keep no state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import torch
from jaxtyping import Float
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from promptad.backbones import open_clip_parts
from promptad.backbones.attention import join_heads, split_heads
from promptad.backbones.cnn import REDUCTIONS, CNNTower
from promptad.backbones.local_attention import LocalAttention
from promptad.configs.transformation_table import TRANSFORMATIONS, transformation_problems
from promptad.user_error import UserError


class UnsupportedTowerError(UserError):
    """An image tower without a local branch here, or a view that the tower does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerOutput:
    """Outputs of one forward pass of an image tower; none is normalised.

    ``local[name]`` are patch features in the space of the text features, ``blocks[l]`` the patches after block
    ``l`` (1-based; for a ResNet or CNN after stage ``l``, whose grid and width differ by stage). ``attended[l]`` is
    ``blocks[l]`` plus the attention output of block ``l + 1`` (equal to ``blocks[l]`` after the last block and in
    a ResNet): what the released code keeps as memory, since it adds in place to the tensor it has stored.
    ``stream`` holds the embedded patches followed by what each block added to them: its sum is the last output.
    """

    global_feature: Float[Tensor, "image embed"]
    local: Mapping[str, Float[Tensor, "image patch embed"]]
    blocks: Mapping[int, Float[Tensor, "image block_patch width"]]
    attended: Mapping[int, Float[Tensor, "image block_patch width"]]
    stream: Float[Tensor, "image contribution patch width"] | None = None


def block_count(visual: nn.Module) -> int:
    """Number of transformer blocks, or of stages of a ResNet or another CNN (4).

    Raises:
        UnsupportedTowerError: neither an open_clip VisionTransformer nor a ModifiedResNet, nor a CNN of timm.
    """
    if isinstance(visual, VisionTransformer):
        return len(visual.transformer.resblocks)
    if isinstance(visual, ModifiedResNet):
        return 4
    if isinstance(visual, CNNTower):
        return len(REDUCTIONS)
    raise UnsupportedTowerError(
        f"the image tower must be open_clip's VisionTransformer or ModifiedResNet, but is {type(visual).__name__}: "
        "choose another backbone, e.g. ViT-B-16-plus-240, ViT-L-14 or RN101"
    )


def encode_images(
    visual: nn.Module,
    images: Float[Tensor, "image 3 height width"],
    *,
    local: Collection[str],
    blocks: Collection[int] = (),
    attended: Collection[int] = (),
) -> TowerOutput:
    """Encode preprocessed images once, for every view in ``local``, ``blocks`` and ``attended``.

    ``local`` names transformations (``configs/transformation_table.py``). ``clip`` is the projected last block output.
    Those with an attention rule, ``maskclip`` and ``vv`` among them, follow PromptAD eq. 4-7 (CLIP Surgery): a second
    stream starts from the same embedded tokens and adds, block by block, what the rule makes of query, key and value
    of the *original* stream, through the output projection; it has no FFN. ``linear`` asks for ``stream``, from which
    ``linear_local_features`` makes the local features. In a ResNet the attention pool is the only place with tokens,
    so it alone is transformed. A CNN has no space of text features, so no local features; its global feature is the
    mean of its last stage.

    Raises:
        UnsupportedTowerError: unknown tower, a block out of range, ``linear`` on a ResNet, or local features of a CNN.
    """
    count = block_count(visual)
    if outside := sorted(block for block in {*blocks, *attended} if not 1 <= block <= count):
        raise UnsupportedTowerError(f"memory layers must be between 1 and {count} for this backbone, but got {outside}")
    if isinstance(visual, VisionTransformer):
        return _encode_with_transformer(visual, images, local, blocks, attended)
    if isinstance(visual, CNNTower):
        return _encode_with_cnn(visual, images, local, blocks, attended)
    assert isinstance(visual, ModifiedResNet)
    return _encode_with_resnet(visual, images, local, blocks, attended)


def linear_local_features(
    visual: nn.Module,
    stream: Float[Tensor, "image contribution patch width"],
    layers: Float[Tensor, "block width width"],
) -> Float[Tensor, "image patch embed"]:
    """Local features of the ``linear`` transformation (CLIP+Linear of Table 5), with ``layers`` learnable.

    The residual stream is a sum: embedded patches plus one contribution per block. Each block's contribution
    passes its own linear layer before it is added; identity layers give ``clip`` exactly. The paper does not
    print this row's formula; this form needs no second pass through the frozen tower.
    """
    if not isinstance(visual, VisionTransformer):
        raise UnsupportedTowerError("transformation linear needs a transformer backbone, but this one is a ResNet")
    contributions = torch.einsum("blpd,lde->bpe", stream[:, 1:], layers)
    return _project(visual, stream[:, 0] + contributions)


def encode_prompted_images(
    visual: nn.Module,
    images: Float[Tensor, "image 3 height width"],
    prompts: Sequence[Float[Tensor, "*image prompt width"]],
    *,
    local: Collection[str],
) -> TowerOutput:
    """``encode_images`` of a tower with learnable tokens inside (visual prompts), differentiable in them.

    Each entry of ``prompts`` is for one block, of any number of tokens: for all images, or some for each of them.
    ``prompts[0]`` stands behind the embedded patches, before the first layer norm and without position, and
    ``prompts[j]`` in its place at the input of block j + 1; after the last of them the tokens go on as the tower
    makes them (MaPLe, section 3.2.2). Patches see the prompts, in the local branches as values of V too.

    Raises:
        UnsupportedTowerError: a ResNet, the transformation ``linear``, or more prompts than blocks.
    """
    if not isinstance(visual, VisionTransformer):
        raise UnsupportedTowerError("visual prompts need a transformer backbone, but this one is a ResNet")
    require_class_token(visual)
    if "linear" in local:
        raise UnsupportedTowerError("transformation linear has no prompted form: choose clip, maskclip or vv")
    if not 1 <= len(prompts) <= block_count(visual):
        raise UnsupportedTowerError(
            f"visual prompts must be for 1 to {block_count(visual)} blocks of this backbone, but are for {len(prompts)}"
        )
    embedded = open_clip_parts.embedded(visual, images)
    count = embedded.shape[1]
    rules = _rules(local)
    branches: dict[str, Tensor] = dict.fromkeys(rules, embedded[:, 1:])
    spread = [own.expand(len(images), *own.shape[-2:]) for own in (visual.ln_pre(prompts[0]), *prompts[1:])]
    tokens = torch.cat([embedded, spread[0]], dim=1)
    for number, block in enumerate(visual.transformer.resblocks):
        if 0 < number < len(spread):
            tokens = torch.cat([tokens[:, :count], spread[number]], dim=1)
        _, tokens, additions = _dual_block(block, tokens, rules)
        for name, addition in additions.items():
            branches[name] = branches[name] + addition[:, 1:count]
    if "clip" in local:
        branches["clip"] = tokens[:, 1:count]
    pooled = open_clip_parts.pooled(visual, tokens)
    return TowerOutput(
        global_feature=pooled if visual.proj is None else pooled @ visual.proj,
        local={name: _project(visual, branch) for name, branch in branches.items()},
        blocks={},
        attended={},
    )


def grid_side(patches: int) -> int:
    """Side of a square patch grid; raises an error if ``patches`` is not a square number."""
    side = isqrt(patches)
    if side * side != patches:
        raise UnsupportedTowerError(f"the patch grid must be square, but {patches} patches are not")
    return side


def require_class_token(visual: VisionTransformer) -> None:
    """Raise ``UnsupportedTowerError`` unless the tower's global feature is that of its class token."""
    if visual.attn_pool is not None or visual.pool_type != "tok":
        raise UnsupportedTowerError(
            "the image tower must pool by its class token, but this one pools "
            f"{'by attention' if visual.attn_pool is not None else visual.pool_type}"
        )


def _encode_with_transformer(
    visual: VisionTransformer,
    images: Tensor,
    local: Collection[str],
    blocks: Collection[int],
    attended: Collection[int],
) -> TowerOutput:
    require_class_token(visual)
    original = open_clip_parts.embedded(visual, images)
    rules = _rules(local)
    branches: dict[str, Tensor] = dict.fromkeys(rules, original)
    kept: dict[int, Tensor] = {}
    kept_attended: dict[int, Tensor] = {}
    stream = [original[:, 1:]] if "linear" in local else None
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        before = original
        between, original, additions = _dual_block(block, original, rules)
        for name, addition in additions.items():
            branches[name] = branches[name] + addition
        if number in blocks:
            kept[number] = original[:, 1:]
        if number - 1 in attended:
            kept_attended[number - 1] = between[:, 1:]
        if stream is not None:
            stream.append(original[:, 1:] - before[:, 1:])
    if (last := len(visual.transformer.resblocks)) in attended:
        kept_attended[last] = original[:, 1:]
    pooled = open_clip_parts.pooled(visual, original)
    features: dict[str, Tensor] = {name: _project(visual, branch[:, 1:]) for name, branch in branches.items()}
    if "clip" in local:
        features["clip"] = _project(visual, original[:, 1:])
    return TowerOutput(
        global_feature=pooled if visual.proj is None else pooled @ visual.proj,
        local=features,
        blocks=kept,
        attended=kept_attended,
        stream=None if stream is None else torch.stack(stream, dim=1),
    )


def _dual_block(
    block: nn.Module, tokens: Float[Tensor, "image token width"], rules: Mapping[str, LocalAttention]
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The original stream after attention and after the block, and what the block adds to each local branch."""
    if not isinstance(block, ResidualAttentionBlock):
        raise UnsupportedTowerError(f"blocks must be plain residual attention blocks, but got {type(block).__name__}")
    attention = block.attn
    projected = nn.functional.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = (split_heads(part, attention.num_heads) for part in projected.chunk(3, dim=-1))

    def add(heads: Tensor) -> Tensor:
        added: Tensor = block.ls_1(attention.out_proj(join_heads(heads)))
        return added

    attended = tokens + add(nn.functional.scaled_dot_product_attention(query, key, value))
    output = attended + block.ls_2(block.mlp(block.ln_2(attended)))
    return attended, output, {name: add(rule(query, key, value)) for name, rule in rules.items()}


def _encode_with_resnet(
    visual: ModifiedResNet,
    images: Tensor,
    local: Collection[str],
    blocks: Collection[int],
    attended: Collection[int],
) -> TowerOutput:
    if "linear" in local:
        raise UnsupportedTowerError(
            "transformation linear needs a transformer backbone (one linear layer per block), but this one is a "
            "ResNet: choose clip, maskclip or vv"
        )
    activations = visual.stem(images)
    kept: dict[int, Tensor] = {}
    for number, stage in enumerate((visual.layer1, visual.layer2, visual.layer3, visual.layer4), start=1):
        activations = stage(activations)
        if number in blocks or number in attended:
            kept[number] = activations.flatten(2).transpose(1, 2)
    pool: AttentionPool2d = visual.attnpool
    patches = activations.flatten(2).transpose(1, 2)
    tokens = torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1) + pool.positional_embedding
    query, key, value = (split_heads(part(tokens), pool.num_heads) for part in (pool.q_proj, pool.k_proj, pool.v_proj))
    original = pool.c_proj(join_heads(nn.functional.scaled_dot_product_attention(query, key, value)))
    features: dict[str, Tensor] = {
        name: pool.c_proj(join_heads(rule(query, key, value)))[:, 1:] for name, rule in _rules(local).items()
    }
    if "clip" in local:
        features["clip"] = original[:, 1:]
    return TowerOutput(
        global_feature=original[:, 0],
        local=features,
        blocks={number: kept[number] for number in blocks},
        attended={number: kept[number] for number in attended},
    )


def _encode_with_cnn(
    visual: CNNTower,
    images: Tensor,
    local: Collection[str],
    blocks: Collection[int],
    attended: Collection[int],
) -> TowerOutput:
    if local:
        raise UnsupportedTowerError(
            f"local features ({', '.join(local)}) need a backbone with a text tower, but this one is a CNN"
        )
    stages = visual(images)
    patches = {number: stages[number - 1].flatten(2).transpose(1, 2) for number in {*blocks, *attended}}
    return TowerOutput(
        global_feature=stages[-1].mean(dim=(2, 3)),
        local={},
        blocks={number: patches[number] for number in blocks},
        attended={number: patches[number] for number in attended},
    )


def _rules(local: Collection[str]) -> dict[str, LocalAttention]:
    """The attention rules of the transformations that have one; ``clip`` and ``linear`` have none."""
    if unknown := [problem for name in local for problem in transformation_problems(name)]:
        raise UnsupportedTowerError("; ".join(unknown))
    if lacking := [name for name in local if TRANSFORMATIONS[name].rule is None and name not in ("clip", "linear")]:
        raise UnsupportedTowerError(f"transformation {', '.join(lacking)} must have an attention rule, but has none")
    return {name: TRANSFORMATIONS[name].attention() for name in local if TRANSFORMATIONS[name].rule is not None}


def _project(visual: VisionTransformer, patches: Float[Tensor, "image patch width"]) -> Tensor:
    normalised: Tensor = visual.ln_post(patches)
    return normalised if visual.proj is None else normalised @ visual.proj
