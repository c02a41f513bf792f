"""The folder and the default size of a node's cache; loads no torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

DEFAULT_CAP = 20 * 2**30
"""Default upper bound of the cache in bytes."""


def default_root() -> Path:
    """The default cache folder: ``$PROMPTAD_CACHE``, or the user's cache folder."""
    named = os.environ.get("PROMPTAD_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "promptad-study"


def why_not_writable(root: Path) -> str | None:
    """Why features cannot be kept below ``root``, or None if they can."""
    folder = root / "features"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{root} cannot be written ({error.strerror or error})"
