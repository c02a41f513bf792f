"""Digests of images' and masks' bytes: a file that changed is never used in place of the planned one."""

import os
from hashlib import blake2b, file_digest
from pathlib import Path

from promptad.datasets.sample import DatasetError


class ChangedDataError(DatasetError):
    """Data that differ from the planned data; the message names the files."""


REMEDY = "put the files back, or run the same command again, which plans with the data as they are then"


def worker_count() -> int:
    """Threads for reading files: at most 8, decoding being processor-bound and each thread holding an image."""
    return min(8, os.cpu_count() or 1)


def content_digest(content: bytes) -> str:
    """32 hexadecimal digits (BLAKE2b, 128 bits) of a file's bytes."""
    return blake2b(content, digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """``content_digest`` of a file, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def read_content(path: Path, planned: str | None) -> tuple[bytes, str]:
    """A file's bytes and their digest. ``planned`` is the digest that they must have, None: any.

    Raises:
        ChangedDataError: other bytes than planned, or no file where one was planned.
        OSError: a file that cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if planned is None:
            raise
        raise ChangedDataError(f"data must stay as they were planned, but {path} is gone: {REMEDY}") from None
    digest = content_digest(content)
    if planned is not None and digest != planned:
        raise ChangedDataError(f"data must stay as they were planned, but {path} has other bytes: {REMEDY}")
    return content, digest
