"""The one check that features, scores and maps are finite, image by image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from promptad.user_error import UserError

MOST_NAMED = 5
"""Upper bound on the images that a message names."""


class NotFiniteError(UserError):
    """A feature, score or map of an image that is NaN or infinite; the message names the images."""


def require_finite(values: Tensor, what: str, images: Sequence[str], *, precision: str) -> None:
    """Check the values of some images (image first), called ``what`` in the message.

    ``images`` are their names, in order; without names they are counted from 1.

    Raises:
        NotFiniteError: any value is NaN or infinite.
    """
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return
    wrong = (~finite).reshape(len(values), -1).any(dim=1).nonzero().flatten().tolist()
    names = [images[number] if images else f"image {number + 1}" for number in wrong]
    listed = ", ".join(names[:MOST_NAMED]) + f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)
    raise NotFiniteError(
        f"{what} must be finite, but NaN or infinite values are in that of {listed}: {_remedy(precision)}"
    )


def _remedy(precision: str) -> str:
    if precision == "fp16":
        return "precision fp16 overflows: use fp32 (precision=fp32)"
    return "the weights hold values that are no numbers (use an undamaged checkpoint), or the fit diverged"
