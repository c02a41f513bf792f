"""From AnoPLe's prompts to features, vectors and maps: what training and scoring have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn.functional import normalize

from promptad.anople.coupled_prompts import CoupledPrompts
from promptad.anople.decoder import Decoder
from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import encode_prompted_images, grid_side
from promptad.configs.anople_config import AnoPLeConfig
from promptad.prompts.class_prompts import ClassPrompts
from promptad.prompts.prompt_learning import inverse_temperature
from promptad.prompts.prompt_tree import PromptTree, encode_tree
from promptad.scoring.anomaly_scores import prompt_score


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedViews:
    """Outputs of the prompted image tower, l2-normalised, in single precision; ``grid`` None if not asked for."""

    global_features: Float[Tensor, "view embed"]
    grid: Float[Tensor, "view embed row column"] | None


def class_tree(backbone: Backbone, config: AnoPLeConfig, category: str) -> PromptTree:
    """Both classes behind one shared context, the normal one first.

    Raises:
        PromptError: one of them is longer than the text tower's context.
    """
    words = class_words(backbone.tokenizer, config, category)
    return words.tree(1, config.text_context_length, device=backbone.device, dtype=backbone.dtype)


def class_words(tokenizer: SimpleTokenizer, config: AnoPLeConfig, category: str) -> ClassPrompts:
    """The words of both classes: ``{object}`` (or ``normal {object}``) and ``abnormal {object}``.

    Raises:
        PromptError: with the context they are longer than the text tower's.
    """
    return ClassPrompts.of(
        tokenizer,
        category,
        n_tokens=config.text_context_length,
        prompt_text=config.prompt_text,
        bare_normal=config.normal_words == "object",
    )


def class_prototypes(backbone: Backbone, tree: PromptTree, prompts: CoupledPrompts) -> Float[Tensor, "2 embed"]:
    """Text features of the normal and the anomaly prompt, l2-normalised."""
    context = prompts.text_prompts()
    nothing = context.new_zeros((0, 0, context.shape[-1]))
    deeper = [own[None] for own in context[1:]]
    return normalize(encode_tree(backbone.text, tree, context[:1], nothing, deeper=deeper), dim=-1)


def encode_views(
    backbone: Backbone,
    config: AnoPLeConfig,
    prompts: CoupledPrompts,
    images: Float[Tensor, "view 3 side side"],
    numbers: Sequence[int],
    *,
    local: bool,
) -> EncodedViews:
    """The prompted tower's features of views; ``numbers`` says which view of its image each one is.

    With ``view_signal`` ``tower`` a view's row is one more token of the first block; what the next block's prompts
    replace includes it.
    """
    tokens = list(prompts.image_prompts())
    if config.view_signal == "tower":
        rows = prompts.rows[list(numbers)][:, None]
        tokens[0] = torch.cat([rows, tokens[0].expand(len(rows), *tokens[0].shape)], dim=1)
    names = (config.transformation,) if local else ()
    output = encode_prompted_images(backbone.model.visual, images, tokens, local=names)
    grid = None
    if local:
        patches = normalize(output.local[config.transformation].float(), dim=-1)
        side = grid_side(patches.shape[1])
        grid = patches.transpose(1, 2).unflatten(-1, (side, side))
        if config.view_signal == "decoder":
            grid = grid + prompts.rows[list(numbers)].float()[:, :, None, None]
    return EncodedViews(global_features=normalize(output.global_feature.float(), dim=-1), grid=grid)


def decoded(
    decoder: Decoder | None, grid: Float[Tensor, "view embed row column"]
) -> Float[Tensor, "view embed row column"]:
    """The decoder's vectors, or the local features themselves where there is none."""
    return grid if decoder is None else decoder(grid)


def anomaly_map(
    backbone: Backbone,
    config: AnoPLeConfig,
    vectors: Float[Tensor, "view embed row column"],
    prototypes: Float[Tensor, "2 embed"],
) -> Float[Tensor, "view row column"]:
    """A_ij: the probability of the anomaly prompt for the vector of each patch."""
    normal, anomaly = prototypes.float()
    z = normalize(vectors, dim=1).permute(0, 2, 3, 1)
    return prompt_score(z, normal, anomaly, inverse_temperature(backbone, config))
