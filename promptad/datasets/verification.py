"""Looking into every file of a category before any work starts."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from promptad.datasets.decoding import decode, decode_mask
from promptad.datasets.sample import Sample, UnreadableImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """(sample name, reason) of what cannot be decoded, and complete sentences about masks of a wrong size."""

    unreadable: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]


def verify_images(samples: Sequence[Sample]) -> Findings:
    """Decodes every image and mask of `samples`, in threads; in the order of `samples`.

    An unreadable mask counts against its image. A mask must have its image's size.
    """
    with ThreadPoolExecutor(max_workers=worker_count()) as pool:
        results = list(pool.map(_verify, samples))
    return Findings(
        unreadable=tuple(pair for unreadable, _ in results for pair in unreadable),
        problems=tuple(problem for _, problems in results for problem in problems),
    )


def worker_count() -> int:
    """Threads for reading files: at most 8, decoding being processor-bound and each thread holding an image."""
    return min(8, os.cpu_count() or 1)


def _verify(sample: Sample) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        frame = decode(sample.path).frame
    except UnreadableImageError as error:
        return [(sample.name, error.reason)], []
    problems: list[str] = []
    for path in sample.masks:
        try:
            mask_height, mask_width = decode_mask(path, lambda: frame).shape
        except UnreadableImageError as error:
            return [(sample.name, f"mask {path.name}: {error.reason}")], problems
        if (mask_width, mask_height) != (frame.width, frame.height):
            problems.append(
                f"masks must have their image's size, but {path} is {mask_width}x{mask_height} and {sample.name} is "
                f"{frame.width}x{frame.height}" + (" after its EXIF orientation" if frame.orientation > 1 else "")
            )
    return [], problems
