"""Named method configs that searches promoted: a config, and its source."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from promptad.configs.method_config import ConfigError
from promptad.configs.promptad_config import PromptADConfig
from promptad.user_error import UserError
from reports.reading.shapes import (
    Document,
    DocumentError,
    anything,
    by_name,
    check,
    flag,
    json_object,
    record,
    text,
    whole,
)
from study.planning.given_files import GivenFileError, given_text
from study.records.folder import StudyFolder

_FORM = record(
    {
        "schema": whole,
        "name": text,
        "config": by_name(anything),
        "provenance": record({**dict.fromkeys(("search", "label", "tuned_on"), text), "trial": whole, "on_test": flag}),
    }
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class MethodError(UserError):
    """A method config that is not there, or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodConfig:
    """A config under a name. ``provenance``: the search, its objective with the data that it looked at, the trial."""

    name: str
    config: PromptADConfig
    provenance: Document


def write_method(method: MethodConfig, where: str, folder: StudyFolder) -> str:
    """Store a method config in ``methods/`` of the study, or at a path that ends with .json; returns the place."""
    content = {
        "schema": 1,
        "name": method.name,
        "config": method.config.as_dict(),
        "provenance": dict(method.provenance),
    }
    written = json.dumps(content, indent=1, allow_nan=False) + "\n"
    if where.endswith(".json"):
        try:
            Path(where).parent.mkdir(parents=True, exist_ok=True)
            Path(where).write_text(written, encoding="utf-8")
        except OSError as error:
            raise MethodError(
                f"method file {where} cannot be written: {error}; choose another place and run the same again"
            ) from error
        return where
    folder.write(f"methods/{where}.json", written.encode())
    return f"{folder.location}/methods/{where}.json"


def check_name(where: str) -> str:
    """The method config's name, from a name or a path that ends with .json.

    Raises:
        MethodError: a name that is no file name.
    """
    name = Path(where).stem if where.endswith(".json") else where
    if not NAME.fullmatch(name):
        raise MethodError(f"a method's name must be letters, digits, '_', '.', '+' or '-', but got {where!r}")
    return name


def read_method(where: str, study: str) -> MethodConfig:
    """A method config by its name in the study folder, or by a path that ends with .json.

    Raises:
        MethodError: it does not exist, or is damaged; lists those of the study.
    """
    if where.endswith(".json"):
        try:
            content: str | bytes | None = given_text("method", where)
        except GivenFileError as error:
            raise MethodError(str(error)) from error
    else:
        folder = StudyFolder(study)
        content = folder.read(f"methods/{check_name(where)}.json")
        if content is None:
            known = ", ".join(folder.names("methods", ".json")) or "none (search --promote NAME writes one)"
            raise MethodError(f"study {study} has no method {where}; it has {known}; a path must end with .json")
    try:
        raw = json_object(content or b"")
        check(raw, _FORM, "not a method")
        if raw["schema"] != 1:
            raise MethodError(f"method {where} must have schema 1, but has {raw['schema']}")
        return MethodConfig(
            name=raw["name"],
            config=PromptADConfig.from_dict(raw["config"]),
            provenance={**raw["provenance"], "name": raw["name"]},
        )
    except ConfigError as error:
        raise MethodError(f"method {where}: {error}") from error
    except DocumentError as error:
        raise MethodError(f"method {where} is damaged ({error}): promote it again") from error
