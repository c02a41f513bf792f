"""What users write on the command line, as typed values."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.catalogue import GROUPS
from ablations.loading import UnknownAblationError, named_ablations
from promptad.config import PromptADConfig
from promptad.protocol import protocol_config
from study.request import StudyRequest
from study.sources import parse_source

SPLIT_VALUES = "a value with a space in it arrives in pieces where 'ray submit' carries it: values must have none"
"""Appended where an argument that nobody asked for may be such a piece."""


class UsageError(ValueError):
    """A command line, or a file named on it, that does not have the form it must have."""


def study_request(options: argparse.Namespace) -> StudyRequest:
    """What the options of ``plan`` and ``run`` ask for.

    Raises:
        UsageError, AblationError, ConfigError, SourceError: an option that does not have the form it must have.
    """
    backbones = options.backbone or ["tiny"]
    try:
        ablations = named_ablations(options.names)
    except UnknownAblationError as error:
        raise UsageError(f"{error} ({SPLIT_VALUES})") from None
    return StudyRequest(
        ablations=ablations,
        whole_catalogue=not GROUPS.keys().isdisjoint(options.names),
        backbone=backbones[0],
        arm_backbones=tuple(backbones[1:]),
        source=parse_source(options.data),
        base=base_config(options.protocol, options.overrides),
        seeds=options.seeds,
        categories=None if options.categories is None else tuple(options.categories.split(",")),
        shots=None if options.shots is None else whole_numbers("--shots", options.shots),
        support=texts_by_category("--support", options.support),
        suffixes=texts_by_category("--suffixes", options.suffixes),
        skip_bad=options.skip_bad,
    )


def base_config(protocol: str, overrides: Sequence[str]) -> PromptADConfig:
    """A protocol's config with ``FIELD=VALUE`` overrides.

    Raises:
        UsageError: an override of another form.
        ConfigError: an unknown field or a value out of its domain.
    """
    changes: dict[str, Any] = {}
    for override in overrides:
        name, separator, text = override.partition("=")
        if not separator:
            raise UsageError(f"--set must be FIELD=VALUE, but got {override!r}")
        changes[name] = _value(name, text)
    return protocol_config(protocol).with_changes(changes)


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Numbers written as ``1,2,4``; ``option`` is named in the error."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} must be whole numbers with commas, like 1,2,4, but got {text!r}") from None


def seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError
    return value


def texts_by_category(option: str, path: str | None) -> dict[str, tuple[str, ...]] | None:
    """A JSON file that maps categories to lists of texts; None where no file is named."""
    if path is None:
        return None
    try:
        values = json.loads(Path(path).read_text())
    except OSError as error:
        raise UsageError(f"{option} file {path} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{option} file {path} must be JSON, but is not: {error}") from error
    if not isinstance(values, dict) or not all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in values.values()
    ):
        raise UsageError(f'{option} file {path} must map categories to lists of texts: {{"screw": ["...", "..."]}}')
    return {category: tuple(texts) for category, texts in values.items()}


def _value(name: str, text: str) -> Any:
    """A config value from plain text: a number, true, false, none, or whole numbers with commas."""
    if name == "memory_layers" and text != "none":
        return whole_numbers("--set memory_layers", text)
    if name == "own_suffixes":
        raise UsageError("own_suffixes hold spaces, which clusters lose on a command line: use --suffixes FILE")
    words = {"true": True, "false": False, "none": None}
    if text in words:
        return words[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
