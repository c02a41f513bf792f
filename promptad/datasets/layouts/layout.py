"""How a data set's folders are read: the protocol every layout fits, and the reading of one folder of images."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from promptad.datasets.sample import Sample

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""File name endings read as images, in any letter case."""

OTHER_IMAGE_SUFFIXES = frozenset(
    (
        *(".apng", ".arw", ".avif", ".cr2", ".cr3", ".dcm", ".dib", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif"),
        *(".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".mpo", ".nef", ".npy", ".npz", ".orf", ".pbm", ".pgm", ".pnm"),
        *(".ppm", ".psd", ".raf", ".raw", ".rw2", ".svg", ".tga"),
    )
)
"""Endings of files that are images, or may be, and are not read: an error where images belong."""

SYSTEM_NAMES = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "__macosx", "lost+found", "$recycle.bin"),
        *("system volume information", "@tmp", "#recycle"),
    )
)
"""Names of operating systems' own files, in small letters: ignored, as hidden files are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The content of one category's folder as a layout lists it, before any file is opened.

    `missing_masks` holds (name, where the mask was expected) of the anomalous test images without one; `problems` are
    complete sentences about anything that contradicts the layout.
    """

    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    missing_masks: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()


class Layout(Protocol):
    """A way to lay out a data set on disk. A new one is a class that fits, and an entry in `LAYOUTS`."""

    @property
    def form(self) -> str:
        """The expected folders in one line, for error messages and documentation."""

    def category_names(self, root: Path) -> tuple[str, ...]:
        """The categories found below `root`, sorted; empty if there are none."""

    def scan(self, root: Path, category: str) -> Scan:
        """The samples of a category that `category_names` lists. Opens no image."""


def images_in(folder: Path) -> tuple[Path, ...]:
    """The image files directly in `folder`, sorted by name; () if there is no such folder.

    Hidden and system files are ignored. A link without content is listed: it is an image that cannot be decoded.
    """
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if _is_image(path)))


def folders_in(folder: Path) -> tuple[Path, ...]:
    """The folders directly in `folder`, sorted by name; () if there is no such folder.

    Hidden and system folders are ignored.
    """
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.is_dir() and not is_ignored(path)))


def nested_images(folders: Iterable[Path]) -> tuple[str, ...]:
    """A problem for every sub-folder of `folders` with images: layouts read one level, and must not drop files."""
    return tuple(
        f"images must lie directly in {folder}, but {inner.name}/ in it holds some too: move them up or away"
        for folder in folders
        for inner in folders_in(folder)
        if images_in(inner)
    )


def unmatched_masks(folder: Path, missing: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """A problem if `folder` holds masks; to be called when no anomalous image has its own.

    Without this a wrong naming of the masks would pass for a category that has none.
    """
    stray = next((path for path in sorted(folder.rglob("*")) if _is_image(path)), None) if folder.is_dir() else None
    if stray is None or not missing:
        return ()
    name, expected = missing[0]
    return (f"masks must be named for their images, but none in {folder} is (found {stray}; {name} needs {expected})",)


def unread_images(folders: Iterable[Path]) -> tuple[str, ...]:
    """A problem for every folder with images in a format that is not read: layouts must not drop files."""
    problems = []
    for folder in folders:
        found = [path.name for path in _entries(folder) if path.suffix.lower() in OTHER_IMAGE_SUFFIXES]
        if found:
            read = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
            problems.append(
                f"images must be one of {read}, but {folder} holds {_named(found)}: convert them, or move them away"
            )
    return tuple(problems)


def stray_images(folder: Path) -> tuple[str, ...]:
    """A problem if images lie directly in ``folder``, which has a folder for each kind of image."""
    found = [path.name for path in images_in(folder)]
    if not found:
        return ()
    return (f"images must lie in a folder of {folder}, but {_named(found)} lie directly in it: move them",)


def is_there(path: Path) -> bool:
    """Whether ``path`` is a file, or a link to a missing one: decoding reports the missing one."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except PermissionError:
        raise
    except OSError:
        # A name that no file can have, for example one that is too long.
        return False


def has_folder(folder: Path, name: str) -> bool:
    """Whether ``folder`` has a folder ``name``; False where this user may not look."""
    try:
        return (folder / name).is_dir()
    except OSError:
        return False


def printable(text: str) -> str:
    """``text`` with escapes for lone surrogates (bytes of file names that are not UTF-8), so that it can be printed."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not is_ignored(path) and is_there(path))


def is_ignored(path: Path) -> bool:
    """Whether a name is hidden, or in ``SYSTEM_NAMES``."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_NAMES


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_ignored(path) and is_there(path)
