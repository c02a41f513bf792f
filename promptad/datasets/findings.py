"""What a look at every file of a category finds."""

from dataclasses import dataclass

from promptad.datasets.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """(sample name, reason) of what cannot be decoded, and complete sentences about masks that cannot be used.

    ``cautions`` are sentences about what is odd and is used all the same. ``samples`` are those that were looked at, in
    their order, with the digests of the bytes that were decoded.
    """

    unreadable: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    samples: tuple[Sample, ...]
    cautions: tuple[str, ...] = ()
