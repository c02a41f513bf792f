"""The identity of the code: one digest over the files of the four packages, independent of where they lie.

Imports only the standard library and the base of errors: ``run.py`` calls it before any heavy import.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from promptad.user_error import UserError

PACKAGES = ("promptad", "ablations", "study", "reports")
"""The packages that every node of a cluster receives, and that the digest covers."""


class SkewError(UserError):
    """Code that differs from the code it was submitted from."""


def folders_in_use() -> dict[str, Path]:
    """Where this process imports each package from: a checkout, site-packages, or what Ray unpacked.

    Raises:
        ModuleNotFoundError: a package cannot be imported.
    """
    found = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"No module named '{package}'")
        found[package] = Path(spec.submodule_search_locations[0]).resolve()
    return found


def code_digest(root: Path | None = None) -> str:
    """Hex digest (16 digits) of the packages below ``root``; None: of those in use.

    File names and contents count; compiled files and hidden ones do not.
    """
    folders = folders_in_use() if root is None else {package: root / package for package in PACKAGES}
    digest = hashlib.blake2b(digest_size=8)
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
                content = path.read_bytes()
                digest.update(f"{package}/{name.as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def checkout_of(script: Path) -> Path | None:
    """The checkout that ``script`` (``study/run.py``) lies in, or None where it was copied alone."""
    root = script.parent.parent
    return root if script == root / "study" / "run.py" and (root / "pyproject.toml").is_file() else None


def check_script(script: Path) -> None:
    """Compare the packages in use with the checkout that ``script`` lies in, or with the script itself.

    Raises:
        SkewError: they differ.
    """
    checkout, used = checkout_of(script), folders_in_use()["study"].parent
    if checkout is not None:
        if checkout != used and code_digest(checkout) != code_digest():
            raise SkewError(
                f"the packages in use, {used}, must be those of this checkout, {checkout}, but differ: "
                f'pip install "{checkout}[study]", or set PYTHONPATH={checkout}'
            )
    elif script != used / "study" / "run.py" and script.read_bytes() != (used / "study" / "run.py").read_bytes():
        raise SkewError(f"{script} must be the run.py of the packages in use, {used}, but differs: {HOW_TO_SYNC}")


def check_code(expected: str) -> None:
    """Compare the packages in use with the digest that the user gave.

    Raises:
        SkewError: they differ.
    """
    if (found := code_digest()) != expected:
        raise SkewError(
            f"--code asks for {expected}, but the packages in use, {folders_in_use()['study'].parent}, are {found}: "
            f"{HOW_TO_SYNC}"
        )


HOW_TO_SYNC = (
    "'ray up --no-restart cluster.yaml' brings this checkout to the head without touching a running study "
    "(docs/cluster.md)"
)
