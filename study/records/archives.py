"""Zip archives whose damage is said in one way: segments of rows, and segments of arrays."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from reports.reading.shapes import DocumentError


@contextmanager
def sound_archive() -> Iterator[None]:
    """Raise ``DocumentError`` for a damaged archive that is read in the block; errors of a disk stay as they are."""
    try:
        yield
    except DocumentError:
        raise
    except OSError as error:
        # A damaged table of an archive leads to places that no file has.
        if error.errno != errno.EINVAL:
            raise
        raise DocumentError(f"not a segment: {error}") from error
    # What the parts of a damaged archive make zipfile and zlib raise is not written down anywhere.
    except Exception as error:
        raise DocumentError(f"not a segment: {error}") from error
