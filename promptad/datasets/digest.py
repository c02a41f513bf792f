"""The identity of a category's data."""

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, file_digest
from pathlib import Path

from promptad.datasets.sample import Category
from promptad.datasets.verification import worker_count


def data_digest(category: Category) -> str:
    """32 hexadecimal digits (BLAKE2b, 128 bits) over names, splits, labels, kinds and all bytes of images and masks.

    Equal for equal data wherever the root is, in whatever order the files are listed, and whatever mask files are
    called. Images left out are not part of it. Re-encoding an image changes it, even if no pixel changes.
    """
    samples = [("train", sample) for sample in category.train] + [("test", sample) for sample in category.test]
    paths = sorted({path for _, sample in samples for path in (sample.path, *sample.masks)})
    with ThreadPoolExecutor(max_workers=worker_count()) as pool:
        content = dict(zip(paths, pool.map(_file_digest, paths), strict=True))
    records = sorted(
        (
            split,
            sample.name,
            sample.anomalous,
            sample.kind,
            content[sample.path],
            sorted(content[m] for m in sample.masks),
        )
        for split, sample in samples
    )
    return blake2b(json.dumps(records).encode(), digest_size=16).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
