"""Folders without read permission: checked before reading, so that one error names all of them."""

import os
from pathlib import Path

from promptad.datasets.layouts.layout import is_ignored

REMEDY = "allow this user to read them (chmod -R u+rX), or run as a user who may"
MOST_NAMED = 10


def unreadable_folders(folder: Path, depth: int) -> list[str]:
    """``folder`` and those in it, ``depth`` levels down, that cannot be listed or entered, each with the reason.

    Hidden, system and missing folders are skipped.
    """
    try:
        with os.scandir(folder) as entries:
            inner = [Path(entry.path) for entry in entries if entry.is_dir() and not is_ignored(Path(entry.path))]
        # Listing a folder is one permission, entering it another.
        os.stat(f"{folder}{os.sep}{os.curdir}")  # noqa: PTH116 (a Path drops the dot)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        return [f"{folder} ({error.strerror})"]
    except ValueError:
        # No folder has a null byte in its name.
        return []
    return [] if depth == 0 else [found for each in sorted(inner) for found in unreadable_folders(each, depth - 1)]


def listed(folders: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(folders) - MOST_NAMED} more" if len(folders) > MOST_NAMED else ""
    return ", ".join(folders[:MOST_NAMED]) + more
