"""Which code this is: one digest over the files of the four packages, the same wherever the same files lie.

Standard library only: ``run.py`` asks before anything heavy is imported.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGES = ("promptad", "ablations", "study", "reports")
"""What every node of a cluster gets, and what the digest covers."""


class SkewError(ValueError):
    """Code that differs from the code it was submitted from."""


def package_root() -> Path:
    """The folder of the packages in use: a checkout, or site-packages."""
    return Path(__file__).resolve().parent.parent


def code_digest(root: Path | None = None) -> str:
    """Hex digest (16 digits) of the packages below ``root``; None: those in use.

    File names and contents count; compiled files and hidden ones do not.

    Raises:
        FileNotFoundError: a package is missing.
    """
    root = package_root() if root is None else root
    digest = hashlib.blake2b(digest_size=8)
    for package in PACKAGES:
        if not (root / package / "__init__.py").is_file():
            raise FileNotFoundError(f"{root} must hold the package {package}, but does not")
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root)
            if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
                content = path.read_bytes()
                digest.update(f"{name.as_posix()}\0{len(content)}\0".encode() + content)
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
    checkout, used = checkout_of(script), package_root()
    if checkout is not None:
        if checkout != used and code_digest(checkout) != code_digest():
            raise SkewError(
                f"the packages in use, {used}, must be those of this checkout, {checkout}, but differ: "
                f"pip install {checkout}, or set PYTHONPATH={checkout}"
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
            f"--code asks for {expected}, but the packages in use, {package_root()}, are {found}: {HOW_TO_SYNC}"
        )


HOW_TO_SYNC = (
    "'ray up --no-restart cluster.yaml' brings this checkout to the head without touching a running study "
    "(docs/cluster.md)"
)
