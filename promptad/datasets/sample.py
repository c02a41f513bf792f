"""Parts of a data set: labelled images, grouped into categories."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from promptad.user_error import UserError


class DatasetError(UserError):
    """A data set that cannot be used; the message lists every problem and the expected form."""


class UnreadableImageError(DatasetError):
    """A file that cannot be decoded as an image. `reason` does not contain the path, so that it can be recorded."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"every image must decode completely, but {path} does not ({reason}): replace or remove the file"
        )
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[Self], tuple[Path, str]]:
        """Its arguments, so that it can be pickled."""
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One labelled image; nothing is decoded before it is requested.

    `name` is the posix path below the category's folder ("test/crack/003.png"), unique in its category and recorded in
    result rows. `kind` is the defect's folder name, "good" for normal images. A pixel is anomalous where any of `masks`
    is above zero; normal images, and anomalous ones of a category without masks, have none. `content` and
    `mask_contents` are digests of the bytes of `path` and of each of `masks` when the category was opened: who decodes
    the file compares them. None and (): not read yet, and any bytes are accepted.
    """

    name: str
    path: Path
    anomalous: bool
    kind: str
    masks: tuple[Path, ...] = ()
    content: str | None = None
    mask_contents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source of a category: the layout's name, the data set's root, and whether its test images were ignored."""

    layout: str
    root: Path
    normal_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One kind of object: normal images to draw supports from (`train`), labelled `test` images, both sorted by name.

    `has_masks` is False when no anomalous test image has a mask: image scores only. `left_out` lists (name, reason) of
    the images dropped by `skip_bad`. `cautions` are sentences about masks and files that are odd and were used all the
    same, as far as files were looked into; they are no part of what the category is. `origin` is None for a category
    that was put together by hand.
    """

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_masks: bool
    left_out: tuple[tuple[str, str], ...] = ()
    origin: Origin | None = None
    cautions: tuple[str, ...] = field(default=(), compare=False)
