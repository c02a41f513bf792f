"""Decodes every file of a category before any work starts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from promptad.datasets.cautions import Look, cautions
from promptad.datasets.content import worker_count
from promptad.datasets.decoding import decode, read_mask
from promptad.datasets.findings import Findings
from promptad.datasets.sample import Sample, UnreadableImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    sample: Sample
    unreadable: str | None = None
    problems: tuple[str, ...] = ()
    look: Look | None = None


def verify_images(samples: Sequence[Sample]) -> Findings:
    """Decodes every image and mask of `samples`, in threads; in the order of `samples`.

    An unreadable mask counts against its image. A mask must have its image's size.
    """
    with ThreadPoolExecutor(max_workers=worker_count()) as pool:
        results = list(pool.map(_verify, samples))
    return Findings(
        unreadable=tuple(
            (sample.name, result.unreadable)
            for sample, result in zip(samples, results, strict=True)
            if result.unreadable is not None
        ),
        problems=tuple(problem for result in results for problem in result.problems),
        samples=tuple(result.sample for result in results),
        cautions=cautions([result.look for result in results if result.look is not None]),
    )


def _verify(sample: Sample) -> _Verified:
    try:
        decoded = decode(sample.path)
    except UnreadableImageError as error:
        return _Verified(sample=sample, unreadable=error.reason)
    frame = decoded.frame
    problems: list[str] = []
    masks, contents, either_way = [], [], False
    for path in sample.masks:
        try:
            mask = read_mask(path, lambda: frame)
        except UnreadableImageError as error:
            return _Verified(sample=sample, unreadable=f"mask {path.name}: {error.reason}", problems=tuple(problems))
        height, width = mask.anomalous.shape
        if mask.in_alpha:
            problems.append(
                f"masks must be in the colours, but {path} has its shape in the alpha channel: store it grey"
            )
        if (width, height) != (frame.width, frame.height):
            problems.append(
                f"masks must have their image's size, but {path} is {width}x{height} and {sample.name} is "
                f"{frame.width}x{frame.height}" + (" after its EXIF orientation" if frame.orientation > 1 else "")
            )
        masks.append(mask.anomalous)
        contents.append(mask.content)
        either_way |= mask.orientation == 1 and frame.fits_both_ways(width, height)
    share = None
    if masks and not problems:
        share = float(np.logical_or.reduce(masks).mean())
    look = Look(name=sample.name, share=share, bits=decoded.bits, either_way=either_way)
    read = replace(sample, content=decoded.content, mask_contents=tuple(contents))
    return _Verified(sample=read, problems=tuple(problems), look=look)
