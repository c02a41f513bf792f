"""The identity of a category's data."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import blake2b

from promptad.datasets.content import digest_of_file, worker_count
from promptad.datasets.sample import Category, Sample


def data_digest(category: Category) -> str:
    """32 hexadecimal digits (BLAKE2b, 128 bits) over names, splits, labels, kinds and all bytes of images and masks.

    Equal for equal data wherever the root is, in whatever order the files are listed, and whatever mask files are
    called. Images left out are not part of it. Re-encoding an image changes it, even if no pixel changes. Files are
    read only where the category was opened without their contents.
    """
    known = with_contents(category)
    samples = [("train", sample) for sample in known.train] + [("test", sample) for sample in known.test]
    records = sorted(
        (split, sample.name, sample.anomalous, sample.kind, sample.content, sorted(sample.mask_contents))
        for split, sample in samples
    )
    return blake2b(json.dumps(records).encode(), digest_size=16).hexdigest()


def normal_digest(category: Category) -> str:
    """``data_digest`` of its normal images alone: all that a model of several categories reads of most of them."""
    return data_digest(replace(category, test=(), has_masks=False))


def with_contents(category: Category) -> Category:
    """The category with the digest of every file's bytes; those that it knows are kept. Raises OSError."""
    unknown = [sample for sample in (*category.train, *category.test) if sample.content is None]
    if not unknown:
        return category
    paths = sorted({path for sample in unknown for path in (sample.path, *sample.masks)})
    with ThreadPoolExecutor(max_workers=worker_count()) as pool:
        contents = dict(zip(paths, pool.map(digest_of_file, paths), strict=True))

    def known(sample: Sample) -> Sample:
        if sample.content is not None:
            return sample
        return replace(
            sample, content=contents[sample.path], mask_contents=tuple(contents[mask] for mask in sample.masks)
        )

    return replace(category, train=tuple(map(known, category.train)), test=tuple(map(known, category.test)))
