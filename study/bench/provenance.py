"""Where and with which software a row was made: recorded beside the scores, no part of a cell's identity."""

from __future__ import annotations

import functools
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PACKAGES = ("promptad-study", "torch", "open_clip_torch", "numpy", "scipy", "pillow", "ray")


def provenance(*, device: str, card: str | None, threads: int) -> dict[str, object]:
    """JSON-compatible facts about this process and its code; ``card`` is the accelerator's model, None of a CPU."""
    commit, dirty = _revision()
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "device": device,
        **({} if card is None else {"card": card}),
        "threads": threads,
        "versions": dict(_versions()),
        "commit": commit,
        "dirty": dirty,
    }


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


@functools.cache
def _revision() -> tuple[str | None, bool | None]:
    """Commit of the code and whether it was changed since; None for an installed package."""
    folder = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        ran = subprocess.run(command, capture_output=True, check=True, timeout=10)
        return os.fsdecode(ran.stdout).strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != folder:
            return None, None
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
