"""Files that stand for images whose content is elsewhere: links and pointers of git-annex and Git LFS."""

from __future__ import annotations

from pathlib import Path

_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer without its content; fetch it with git lfs pull",
    b"/annex/objects/": "a git-annex pointer without its content; fetch it with git annex get",
}


def without_content(path: Path) -> str | None:
    """Why ``path`` is no image, if it is a link or pointer to content that is not here."""
    try:
        if path.is_symlink() and not path.exists():
            annex = ".git/annex/objects" in str(path.readlink())
            return "a link to a file that is not there" + ("; fetch it with git annex get" if annex else "")
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return None
    return next((reason for start, reason in _POINTERS.items() if head.startswith(start)), None)
