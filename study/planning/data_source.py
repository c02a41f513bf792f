"""The source of a study's images: a layout and a root, or the embedded synthetic set."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from promptad.datasets import (
    LAYOUTS,
    Category,
    category_names,
    data_digest,
    open_category,
    with_contents,
)
from promptad.features.cache_folder import default_root
from promptad.user_error import UserError


class SourceError(UserError):
    """A data source that is neither LAYOUT:ROOT nor synthetic."""


SYNTHETIC = "synthetic"

SYNTHETIC_TITLE = "synthetic inspection set"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCategory:
    """A category whose files were listed and checked, and the digest of its data."""

    data: Category
    digest: str


Opened: TypeAlias = Mapping[str, OpenedCategory]
"""Categories by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set on this machine: ``layout`` is one of ``promptad.datasets.LAYOUTS``."""

    name: str
    layout: str
    root: str

    @property
    def title(self) -> str:
        """How reports name the data."""
        return SYNTHETIC_TITLE if self.name == SYNTHETIC else LAYOUTS[self.layout].called

    def open(self, category: str, *, skip_bad: bool, check_images: bool = True, normal_only: bool = False) -> Category:
        """One category; raises ``DatasetError`` with every problem found."""
        return open_category(
            self.layout, self.root, category, skip_bad=skip_bad, check_images=check_images, normal_only=normal_only
        )

    def checked(self, category: str, *, skip_bad: bool, normal_only: bool = False) -> OpenedCategory:
        """One category, after every image was decoded once to check it.

        Data with a digest that decoded before are not decoded again. With ``normal_only`` there are no test images.
        """
        if not skip_bad:
            # A link without content, or a file without read permission: decoding reports all of them.
            with contextlib.suppress(OSError):
                known = with_contents(self.open(category, skip_bad=False, check_images=False, normal_only=normal_only))
                digest = data_digest(known)
                with contextlib.suppress(ValueError, TypeError):
                    cautions = json.loads(_marker(digest).read_text(encoding="utf-8"))
                    return OpenedCategory(data=replace(known, cautions=tuple(cautions)), digest=digest)
            checked = self.open(category, skip_bad=False, normal_only=normal_only)
            # The digest of the bytes that were decoded, which may have changed since.
            digest = data_digest(checked)
            # Where the cache cannot be written, the images are decoded again next time.
            with contextlib.suppress(OSError):
                _marker(digest).parent.mkdir(parents=True, exist_ok=True)
                _marker(digest).write_text(json.dumps(checked.cautions), encoding="utf-8")
            return OpenedCategory(data=checked, digest=digest)
        checked = self.open(category, skip_bad=True, normal_only=normal_only)
        return OpenedCategory(data=checked, digest=data_digest(checked))


def _marker(digest: str) -> Path:
    """The file that records that data with this digest decoded, with the cautions about them."""
    return default_root() / "checked" / f"{digest}.json"


def parse_source(text: str) -> DataSource:
    """``LAYOUT:ROOT``, or ``synthetic`` (rendered to the cache folder if it is not there yet).

    Raises:
        SourceError: another form, an unknown layout, or a cache folder that cannot be written.
    """
    if text == SYNTHETIC:
        from promptad.tiny.render.benchmark import write_benchmark

        root = default_root().absolute() / "synthetic"
        try:
            write_benchmark(root)
        except OSError as error:
            raise SourceError(
                f"the synthetic set cannot be written to {root}: {error}; set PROMPTAD_CACHE to a folder that can"
            ) from error
        return DataSource(name=SYNTHETIC, layout="mvtec", root=str(root))
    layout, separator, root_text = text.partition(":")
    if not separator or layout not in LAYOUTS or not root_text:
        raise SourceError(
            f"--data must be {SYNTHETIC} or LAYOUT:ROOT with a LAYOUT of {', '.join(LAYOUTS)}, but got {text!r}: "
            "for example mvtec:/data/mvtec"
        )
    return DataSource(name=layout, layout=layout, root=str(Path(root_text).expanduser().resolve()))


def chosen_categories(source: DataSource, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The source's categories, or the wanted ones in the given order."""
    return wanted or category_names(source.layout, source.root)
