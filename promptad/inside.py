"""Data for figures of a model's inside: features of prompts and images in one space, and attention by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from promptad.backbones import open_clip_parts
from promptad.backbones.attention import split_heads
from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import UnsupportedTowerError, linear_local_features
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.prompts.prompt_learning import PromptTraining
from promptad.prompts.sequences import Learned, Prompt, PromptSet

VISUAL_FEATURES = 100
"""Upper bound on the visual features of an embedding, as in Figure 6."""


def embedded_features(
    backbone: Backbone,
    training: PromptTraining,
    query: Features,
    normal_images: Sequence[int],
    config: PromptADConfig,
    task: Task,
) -> dict[str, NDArray[np.float32]]:
    """l2-normalised features of learned prompts and of normal images, number x embed, by kind.

    ``training`` is the training of the prompts after its last step. ``visual`` are global features of the query's
    ``normal_images`` (numbers), or their patches for the pixel task, evenly thinned out to 100.
    """
    with torch.no_grad():
        prompts = dict(zip(("normal", "manual", "learnable"), training.text_features(), strict=True))
    if task == "image":
        visual = _picked(query, "global", normal_images)
    elif training.layers is None:
        visual = _picked(query, f"local/{config.transformation}", normal_images).flatten(0, 1)
    else:
        stream = _picked(query, "stream", normal_images).to(backbone.device)
        visual = linear_local_features(backbone.model.visual, stream, training.layers.detach()).flatten(0, 1)
    chosen = np.linspace(0, len(visual) - 1, min(VISUAL_FEATURES, len(visual))).round().astype(int)
    found = {f"{kind}_prompts": features for kind, features in prompts.items()} | {"visual": visual[chosen]}
    return {name: normalize(features.float(), dim=-1).cpu().numpy() for name, features in found.items()}


def prompt_parts(prompts: PromptSet) -> dict[str, NDArray[np.int64]]:
    """Prefix and suffix of each prompt, number x 2 by kind: prompts that share one resemble each other.

    Prefixes and suffixes are numbers; -1 means none: a normal prompt has no suffix, a text of an ensemble no prefix.
    """
    suffixes: dict[Prompt, int] = {}

    def of(prompt: Prompt, *, anomalous: bool) -> tuple[int, int]:
        prefix = [symbol for symbol in prompt if isinstance(symbol, Learned) and symbol.role == "prefix"]
        rest = tuple(symbol for symbol in prompt if symbol not in prefix)
        return prefix[0].index if prefix else -1, suffixes.setdefault(rest, len(suffixes)) if anomalous else -1

    kinds = {"normal": prompts.normal, "manual": prompts.manual, "learnable": prompts.learnable}
    return {
        f"{kind}_prompts": np.array(
            [of(prompt, anomalous=kind != "normal") for prompt in listed], dtype=np.int64
        ).reshape(-1, 2)
        for kind, listed in kinds.items()
    }


@torch.inference_mode()
def attention_by_block(
    visual: nn.Module, image: Float[Tensor, "3 height width"]
) -> dict[str, Float[Tensor, "block token token"]]:
    """Attention of one image in every block, the mean over heads: ``qk`` of the tower, ``vv`` of eq. 7.

    The class token is token 0; each row sums to 1.

    Raises:
        UnsupportedTowerError: the tower is no vision transformer.
    """
    if not isinstance(visual, VisionTransformer):
        raise UnsupportedTowerError(
            "attention by block needs a transformer backbone, but this one is a "
            f"{type(visual).__name__}: choose e.g. ViT-B-16-plus-240"
        )
    tokens = open_clip_parts.embedded(visual, image[None])
    found: dict[str, list[Tensor]] = {"qk": [], "vv": []}
    for block in visual.transformer.resblocks:
        attention = block.attn
        projected = linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = (split_heads(part, attention.num_heads)[0] for part in projected.chunk(3, dim=-1))
        for name, one, other in (("qk", query, key), ("vv", value, value)):
            weights = (one @ other.transpose(-2, -1) / one.shape[-1] ** 0.5).softmax(dim=-1)
            found[name].append(weights.float().mean(dim=0).cpu())
        tokens = block(tokens)
    return {name: torch.stack(blocks) for name, blocks in found.items()}


def _picked(features: Features, view: str, numbers: Sequence[int]) -> Tensor:
    return torch.stack([features.views[view][number] for number in numbers])
