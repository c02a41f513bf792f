"""How a data set's folders are read: the protocol every layout fits, and the reading of one folder of images."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from promptad.datasets.sample import Sample

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""File name endings read as images, in any letter case; other files are ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a layout found in one category's folder, before any file is opened.

    `missing_masks` holds (name, where the mask was expected) of the anomalous test images without one; `problems` are
    complete sentences about anything that contradicts the layout.
    """

    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    missing_masks: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()


class Layout(Protocol):
    """A way to lay out a data set on disk. A new one is a file with a class that fits, and an entry in `LAYOUTS`."""

    @property
    def form(self) -> str:
        """The expected folders in one line, for error messages and documentation."""

    def category_names(self, root: Path) -> tuple[str, ...]:
        """The categories found below `root`, sorted; empty if there are none."""

    def scan(self, root: Path, category: str) -> Scan:
        """The samples of a category that `category_names` lists. Opens no image."""


def images_in(folder: Path) -> tuple[Path, ...]:
    """The image files directly in `folder`, sorted by name; () if there is no such folder. Hidden files are ignored."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if _is_image(path)))


def folders_in(folder: Path) -> tuple[Path, ...]:
    """The folders directly in `folder`, sorted by name; () if there is no such folder. Hidden folders are ignored."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))


def nested_images(folders: Iterable[Path]) -> tuple[str, ...]:
    """A problem for every sub-folder of `folders` with images: layouts read one level, and must not drop files."""
    return tuple(
        f"images must lie directly in {folder}, but {inner.name}/ in it holds some too: move them up or away"
        for folder in folders
        for inner in folders_in(folder)
        if images_in(inner)
    )


def unmatched_masks(folder: Path, missing: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """A problem if `folder` holds masks; to be asked when no anomalous image found its own.

    Without this a wrong naming of the masks would pass for a category that has none.
    """
    stray = next((path for path in sorted(folder.rglob("*")) if _is_image(path)), None) if folder.is_dir() else None
    if stray is None or not missing:
        return ()
    name, expected = missing[0]
    return (f"masks must be named for their images, but none in {folder} is (found {stray}; {name} needs {expected})",)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
