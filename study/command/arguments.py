"""The options of the command line as typed values."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations.catalogue import GROUPS
from ablations.loading import UnknownAblationError, named_ablations, named_space
from ablations.shots import Shots
from ablations.spec import Ablation
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import protocol_config
from promptad.user_error import UserError
from study.planning.data_source import parse_source
from study.planning.given_files import given_json
from study.planning.promoted import read_method
from study.planning.request import StudyRequest

if TYPE_CHECKING:
    from study.search.search_document import SearchRequest

SPLIT_VALUES = "a value with a space in it arrives in pieces where 'ray submit' carries it: values must have none"
"""Hint appended to "unrecognized arguments": a value with a space may have been split by the shell."""


NUMBERS = {
    "seeds": (1, 10_000),
    "trials": (1, 1_000_000),
    "fresh": (0, 10_000),
    "seed": (0, 2**32 - 1),
    "cpus_per_trial": (1, 10_000),
    "nodes": (1, 100_000),
}
"""Options with the smallest and the largest number allowed."""
LARGEST_SETTING = 1_000_000
"""Upper bound of any number of a config: a larger one is a mistake."""
LONGEST = 10.0 * 365 * 24 * 3600
"""Upper bound of any waiting time, in seconds: clocks and threads refuse more."""


class UsageError(UserError):
    """A command line, or a file named on it, of a wrong form."""


def study_request(options: argparse.Namespace) -> StudyRequest:
    """The study request of the options of ``plan`` and ``run``.

    Raises:
        UsageError, AblationError, ConfigError, SourceError: an option of a wrong form.
    """
    try:
        ablations = named_ablations(options.names)
    except UnknownAblationError as error:
        raise UsageError(f"{error} ({SPLIT_VALUES})") from None
    return data_request(options, ablations=ablations, whole_catalogue=not GROUPS.keys().isdisjoint(options.names))


def data_request(
    options: argparse.Namespace, *, ablations: tuple[Ablation, ...] = (), whole_catalogue: bool = False
) -> StudyRequest:
    """A study request with the data, backbones and base config of the options, for these ablations or for a search.

    Raises:
        UsageError, ConfigError, SourceError, MethodError: an option of a wrong form.
    """
    check_numbers(options)
    # Quick checks are first: a typing error should not cost the time to load torch or to read the data.
    categories = None if options.categories is None else categories_list(options.categories)
    shots = None if options.shots is None else shots_list(options.shots)
    support = texts_by_category("--support", options.support)
    suffixes = texts_by_category("--suffixes", options.suffixes)
    method = None if options.method is None else read_method(options.method, options.study)
    base = base_config(options.protocol, options.overrides, None if method is None else method.config)
    source = parse_source(options.data)
    # Loads torch, which looking at a study must not.
    from study.planning.arm_backbones import absolute_backbone

    backbones = [absolute_backbone(text) for text in options.backbone or ["tiny"]]
    return StudyRequest(
        ablations=ablations,
        whole_catalogue=whole_catalogue,
        method=None if method is None else method.provenance,
        backbone=backbones[0],
        arm_backbones=tuple(backbones[1:]),
        source=source,
        base=base,
        seeds=options.seeds,
        categories=categories,
        shots=shots,
        support=support,
        suffixes=suffixes,
        skip_bad=options.skip_bad,
        support_file=None if options.support is None else str(Path(options.support).absolute()),
        suffixes_file=None if options.suffixes is None else str(Path(options.suffixes).absolute()),
    )


def check_numbers(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` with every number that must be a mistake: a study of years, or without any cell.

    Only options of the verb are checked.
    """
    problems = []
    for name, (least, most) in NUMBERS.items():
        value, option = getattr(options, name, least), f"--{name.replace('_', '-')}"
        if value < least:
            problems.append(f"{option} must be at least {least}, but got {value}")
        elif value > most:
            problems.append(f"{option} must be at most {most}, but got {value}")
    if problems:
        raise UsageError("; ".join(problems))


def base_config(protocol: str, overrides: Sequence[str], config: PromptADConfig | None = None) -> PromptADConfig:
    """The config of a protocol, or of ``--method``, with ``FIELD=VALUE`` overrides.

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
        if isinstance(changes[name], int | float) and not abs(changes[name]) <= LARGEST_SETTING:
            raise UsageError(f"--set {name} must be a number of at most {LARGEST_SETTING}, but got {text}")
    return (config or protocol_config(protocol)).with_changes(changes)


def search_request(options: argparse.Namespace) -> SearchRequest:
    """The search request of the options of ``search``.

    Raises:
        UsageError, SpaceError, ObjectiveError: and those of ``data_request``.
    """
    # Loads torch, which looking at a study must not.
    from study.search.objectives import named_objective
    from study.search.search_document import SearchRequest

    check_numbers(options)
    tasks = tuple(options.tasks.split(","))
    if not set(tasks) <= {"image", "pixel"} or len(set(tasks)) < len(tasks):
        raise UsageError(f"--tasks must be image, pixel or image,pixel, but got {options.tasks!r}")
    return SearchRequest(
        space=named_space(options.space),
        objective=named_objective(options.objective).name,
        sampler=options.sampler,
        trials=options.trials,
        study=data_request(options),
        seed=options.seed,
        prune=(options.prune or None) if named_objective(options.objective).single else None,
        folds=options.folds,
        fold=options.fold,
        tasks=tasks,
    )


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Numbers written as ``1,2,4``; ``option`` is named in the error."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} must be whole numbers with commas, like 1,2,4, but got {text!r}") from None


def categories_list(text: str) -> tuple[str, ...]:
    """Categories written as ``a,b``, each once."""
    names = tuple(dict.fromkeys(text.split(",")))
    if "" in names:
        raise UsageError(f"--categories must be names with commas, like screw,cable, but got {text!r}")
    return names


def shots_list(text: str) -> tuple[Shots, ...]:
    """Shots written as ``1,2,full``: whole numbers, and full for all normal images of each category."""
    words = text.split(",")
    numbers = [word for word in words if word != "full"]
    try:
        found: dict[str, Shots] = {word: int(word) for word in numbers}
    except ValueError:
        raise UsageError(f"--shots must be whole numbers or full, like 1,4,full, but got {text!r}") from None
    shots = tuple(found.get(word, "full") for word in words)
    if len(set(shots)) < len(shots):
        raise UsageError(f"--shots must be different numbers, but got {text!r}: name each once")
    return shots


def figure_formats(text: str) -> tuple[str, ...]:
    """Formats of figures written as ``svg,pdf``."""
    from reports.made import FORMATS

    words = tuple(sorted(set(text.split(","))))
    if strange := [word for word in words if word not in FORMATS]:
        raise UsageError(f"--figures must be of {', '.join(FORMATS)}, with commas, but got {', '.join(strange)!r}")
    return words


def seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    value = float(text)
    if not 0 < value <= LONGEST:
        raise ValueError
    return value


def texts_by_category(option: str, path: str | None) -> dict[str, tuple[str, ...]] | None:
    """A JSON file that maps categories to lists of texts; None where no file is named."""
    if path is None:
        return None
    values = given_json(option, path)
    if not isinstance(values, dict) or not all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in values.values()
    ):
        raise UsageError(f'{option} file {path} must map categories to lists of texts: {{"screw": ["...", "..."]}}')
    found: dict[str, list[str]] = values
    repeated = [
        f"{category} has {text!r} {count} times"
        for category, texts in found.items()
        for text, count in Counter(texts).items()
        if count > 1
    ]
    if repeated:
        raise UsageError(f"{option} file {path} must name each text of a category once, but {'; '.join(repeated)}")
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
