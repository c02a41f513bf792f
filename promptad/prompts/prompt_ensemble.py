"""Prototypes of fixed prompts, with which zero-shot methods compare images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from promptad.backbones.backbone import Backbone
from promptad.prompts.prompt_tree import build_tree, encode_tree
from promptad.prompts.sequences import Prompt, PromptSet, fixed_prompts
from promptad.texts.suffixes import object_name
from promptad.texts.templates import ensemble_texts

CHUNK = 128
"""Prompts encoded at once; bounds memory, which grows with the square of a tree's nodes."""

_PROTOTYPES: WeakKeyDictionary[nn.Module, dict[PromptSet, Tensor]] = WeakKeyDictionary()


def ensemble_prompts(
    tokenizer: SimpleTokenizer,
    category: str,
    *,
    templates: int,
    prompt_text: Literal["bare", "mapped_with_full_stop"],
) -> PromptSet:
    """CPE's texts about one category: its states in the first ``templates`` templates.

    Raises:
        PromptError: one of them is longer than the text tower's context.
    """
    name = object_name(category, prompt_text == "mapped_with_full_stop")
    normal, anomaly = ensemble_texts(name, templates)
    return fixed_prompts(tokenizer, name, normal=normal, anomaly=anomaly)


@torch.inference_mode()
def ensemble_prototypes(backbone: Backbone, prompts: PromptSet) -> Float[Tensor, "2 embed"]:
    """Normal and anomaly prototype: each the l2-normalised mean of l2-normalised prompt features, as in CLIP.

    They are kept as long as the backbone lives: a category's cells differ in seed, shots and task, not in them.
    """
    known = _PROTOTYPES.setdefault(backbone.model, {})
    if prompts not in known:
        sides = (text_features(backbone, prompts.normal), text_features(backbone, prompts.anomaly))
        known[prompts] = torch.stack([normalize(normalize(side, dim=-1).mean(dim=0), dim=-1) for side in sides])
    return known[prompts]


def forget_prototypes(backbone: Backbone) -> None:
    """Forget the prototypes of a backbone, so that the next fit encodes its texts, as a time measurement needs."""
    _PROTOTYPES.pop(backbone.model, None)


@torch.inference_mode()
def text_features(backbone: Backbone, prompts: Sequence[Prompt]) -> Float[Tensor, "prompt embed"]:
    """Features of prompts without learned tokens, not normalised."""
    nothing = backbone.text.token_embedding.weight.new_zeros((0, 0, backbone.text.token_embedding.weight.shape[1]))
    features = []
    for start in range(0, len(prompts), CHUNK):
        tree = build_tree(
            prompts[start : start + CHUNK],
            prefix_shape=(0, 0),
            suffix_shape=(0, 0),
            device=backbone.device,
            dtype=backbone.dtype,
        )
        features.append(encode_tree(backbone.text, tree, nothing, nothing))
    return torch.cat(features)
