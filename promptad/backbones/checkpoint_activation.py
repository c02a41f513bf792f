"""The activation with which a checkpoint file was trained, from its weights or from its user."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from promptad.backbones.known_weights import (
    QUICK,
    Activation,
    activation_of_architecture,
    activation_of_tag,
    activations,
    known_tag,
    plain,
)


def said_activation(source: str) -> tuple[Activation | None, str]:
    """The activation before the path in ``quick_gelu:/path``, if there is one, and the path."""
    first, colon, rest = source.partition(":")
    for activation in get_args(Activation):
        if colon and first == activation:
            return activation, rest
    return None, source


def activation_of_file(architecture: str, path: Path, said: Activation | None) -> Activation:
    """The activation of the tag whose weights a checkpoint holds, else the user's, else the architecture's own."""
    tag = known_tag(architecture, path)
    if tag is not None:
        return activation_of_tag(architecture, tag)
    return said or activation_of_architecture(architecture)


def activation_problem(architecture: str, path: Path, said: Activation | None) -> str | None:
    """Why a checkpoint's activation is unknown or contradicts the user's, and what to write; None: no problem."""
    base = plain(architecture)
    if architecture.endswith(QUICK):
        own = activation_of_architecture(architecture)
        if said not in (None, own):
            return f"{architecture} has {own}, but {said} is said too: write {base}:{said}:{path}"
        said = own
    kinds = activations(architecture)
    if said is None and len(kinds) == 1:
        return None
    tag = known_tag(architecture, path)
    if tag is None and said is None:
        choices = " or ".join(f"{base}:{kind}:{path}" for kind in sorted(kinds))
        return (
            f"checkpoint {path} does not tell whether it was trained with GELU or QuickGELU, and weights of {base} may "
            f"have either: write {choices} (OpenAI's, MetaCLIP's and most of DFN's weights are quick_gelu)"
        )
    if tag is not None and said not in (None, trained := activation_of_tag(architecture, tag)):
        return (
            f"checkpoint {path} holds the weights {tag} of {base}, trained with {trained}, but {said} is said: write "
            f"{base}:{path}"
        )
    return None


def checkpoint_spelling(architecture: str, activation: Activation | None = None) -> str:
    """How to write a checkpoint file of an architecture, with its activation where it may be needed."""
    kinds = sorted(activations(architecture))
    if len(kinds) == 1:
        return f"{architecture}:/path/to/checkpoint"
    return " or ".join(f"{architecture}:{kind}:/path/to/checkpoint" for kind in kinds if activation in (None, kind))
