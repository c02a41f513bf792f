"""CoOp's two prompts through open_clip's own text transformer, one at a time: the oracle of methods that learn them."""

from collections.abc import Sequence

import torch

from promptad.backbones.backbone import Backbone


def encode_slowly(backbone: Backbone, text: str, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Feature of ``text`` behind a context (token x width), not normalised.

    ``contexts`` is one context for each of the first blocks: what stands behind the start of text at its input.
    """
    model, first = backbone.model, contexts[0]
    ids = backbone.tokenizer([text])[0]
    embedded = model.token_embedding(ids)
    tokens = torch.cat([embedded[:1], first.to(embedded.dtype), embedded[1:]])[: model.context_length]
    tokens = (tokens + model.positional_embedding)[None]
    for number, block in enumerate(model.transformer.resblocks):
        if 0 < number < len(contexts):
            tokens = torch.cat([tokens[:, :1], contexts[number][None], tokens[:, 1 + len(first) :]], dim=1)
        tokens = block(tokens, attn_mask=model.attn_mask)
    end = len(first) + int((ids == backbone.tokenizer.eot_token_id).nonzero()[0])
    feature: torch.Tensor = model.ln_final(tokens)[0, end] @ model.text_projection
    return feature
