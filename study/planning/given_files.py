"""Text files named on the command line: an error names the file and the line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from promptad.user_error import UserError

LARGEST = 64 * 2**20
"""Largest size of such a file in bytes: a list of texts has a few thousand."""


class GivenFileError(UserError):
    """A file named on the command line that cannot be read, or has wrong content."""


def given_text(what: str, path: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; ``what`` is its name in messages.

    Raises:
        GivenFileError: it cannot be read, is too large, or is in another encoding.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise GivenFileError(f"{what} file {path} cannot be read: {error}") from error
    if len(content) > LARGEST:
        raise GivenFileError(
            f"{what} file {path} must have at most {LARGEST // 2**20} MiB, but has more: is it the one?"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise GivenFileError(
            f"{what} file {path} must be in UTF-8, but line {line} is not ({error.reason}): save it as UTF-8 (where it "
            "was made by > in PowerShell, with Out-File -Encoding utf8)"
        ) from error


def given_json(what: str, path: str) -> object:
    """The content of a JSON file.

    Raises:
        GivenFileError: as ``given_text``; or it is no JSON, nested too deeply, or has a key twice.
    """
    text = given_text(what, path)
    repeated: dict[str, None] = {}

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        times = Counter(name for name, _ in pairs)
        repeated.update(dict.fromkeys(name for name, number in times.items() if number > 1))
        return dict(pairs)

    try:
        values = json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise GivenFileError(f"{what} file {path} must be JSON, but line 1 on is nested too deeply") from error
    except ValueError as error:
        raise GivenFileError(f"{what} file {path} must be JSON, but is not: {error}") from error
    if repeated:
        raise GivenFileError(f"{what} file {path} must name each key once, but repeats {', '.join(repeated)}")
    return values
