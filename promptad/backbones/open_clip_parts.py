"""The private parts of open_clip's vision transformer that this project runs, all named here and nowhere else.

open_clip may rename them in any release; then ``check_parts`` reports the missing one before weights are loaded.
"""

from __future__ import annotations

import open_clip
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from torch import Tensor

from promptad.user_error import UserError

PARTS = ("_embeds", "_pool")
"""Methods of ``VisionTransformer``: images to embedded tokens before the first block, and tokens to the pooled one."""


class OpenClipPartsError(UserError):
    """An open_clip without a part that this project runs."""


def check_parts(tower: type = VisionTransformer) -> None:
    """Make sure that `tower` has every private part that is used here.

    Raises:
        OpenClipPartsError: one is gone.
    """
    if gone := [name for name in PARTS if not callable(getattr(tower, name, None))]:
        raise OpenClipPartsError(
            f"open_clip {open_clip.__version__} lacks {', '.join(f'{tower.__name__}.{name}' for name in gone)}, which "
            'the image towers run: install a version that has it, pip install "open_clip_torch>=2.32,<4"'
        )


def embedded(
    visual: VisionTransformer, images: Float[Tensor, "image 3 height width"]
) -> Float[Tensor, "image token width"]:
    """Input of the first block: class and patch tokens with positions, after the first layer norm."""
    tokens: Tensor = visual._embeds(images)
    return tokens


def pooled(visual: VisionTransformer, tokens: Float[Tensor, "image token width"]) -> Float[Tensor, "image width"]:
    """The image's pooled token, after the last layer norm and before the projection."""
    feature: Tensor = visual._pool(tokens)[0]
    return feature
