"""Arrays that are kept for figures: an archive for each cell, and many of these in one segment.

A segment of archives is a zip of ``.npz`` files, which any zip tool and NumPy read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from reports.reading.shapes import DocumentError
from study.records.archives import sound_archive

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENDING = ".npz"


def archive(values: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays by name as a compressed NumPy archive."""
    # NumPy takes a tenth of a second to load, for which a command that reads rows need not wait.
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(values))
    return buffer.getvalue()


def from_archive(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an archive.

    Raises:
        DocumentError: it is damaged.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    # What the parts of a damaged archive make zipfile and NumPy raise is not written down anywhere.
    except Exception as error:
        raise DocumentError(f"not arrays: {error}") from error


def encoded(archives: Mapping[str, bytes]) -> bytes:
    """A segment of archives by digest of their cells."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as segment:
        for digest, each in archives.items():
            segment.writestr(zipfile.ZipInfo(f"{digest}{ENDING}"), each)
    return content.getvalue()


def merged(files: Sequence[IO[bytes]]) -> bytes:
    """One segment of several, in their order: of archives of one cell the last counts."""
    kept: dict[str, bytes] = {}
    for file in files:
        with _zip(file) as segment:
            kept |= {name.removesuffix(ENDING): segment.read(name) for name in segment.namelist()}
    return encoded(kept)


def index(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """The digests of the cells whose archives a segment holds, each with a mark: other archives have other marks."""
    with _zip(file) as segment:
        for each in segment.infolist():
            yield each.filename.removesuffix(ENDING), f"{each.CRC:08x}-{each.file_size}"


def read(file: IO[bytes], digest: str) -> bytes:
    """The archive of a cell that a segment holds."""
    with _zip(file) as segment:
        return segment.read(f"{digest}{ENDING}")


@contextmanager
def _zip(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    with sound_archive(), zipfile.ZipFile(file) as opened:
        yield opened
