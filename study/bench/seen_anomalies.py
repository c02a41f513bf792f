"""Which anomalies of a category the model can see: some geometries crop an image, and a defect with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from promptad.datasets import Sample
from promptad.images.preparation import Preprocessing, anomaly_in_view
from promptad.user_error import UserError


class UnseenError(UserError):
    """A pixel cell without any anomalous pixel: all are cropped away, lost by sampling, or in no mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A test set's anomalous images, how many of them have a mask, and those of which no anomalous pixel is in view.

    ``unseen`` is computed from the masks as stored; without masks it is unknown and stays empty.
    """

    anomalous: int
    with_mask: int
    unseen: tuple[str, ...]

    def recorded(self, vanished: Sequence[str] | None) -> dict[str, object]:
        """The view as rows hold it; ``vanished``: images with anomalous pixels in view, but none at the maps' size."""
        known = {"anomalous": self.anomalous, "with_mask": self.with_mask, "unseen": list(self.unseen)}
        return known if vanished is None else known | {"vanished": list(vanished)}


def view_of(samples: Sequence[Sample], preprocessing: Preprocessing) -> View:
    """Which anomalies of a test set are in view under a geometry."""
    masked = [sample for sample in samples if sample.anomalous and sample.masks]
    return View(
        anomalous=sum(sample.anomalous for sample in samples),
        with_mask=len(masked),
        unseen=tuple(sample.name for sample in masked if not anomaly_in_view(sample, preprocessing)),
    )


def vanished(samples: Sequence[Sample], view: View, empty: Collection[str]) -> list[str]:
    """The anomalous images with an anomalous pixel in view whose mask is ``empty`` at the maps' size."""
    return [
        sample.name
        for sample in samples
        if sample.anomalous and sample.name in empty and sample.name not in view.unseen
    ]


def check_view(
    category: str,
    samples: Sequence[Sample],
    view: View,
    lost: Sequence[str],
    *,
    preprocessing: Preprocessing,
    size: int,
) -> None:
    """Raise ``UnseenError``, with the causes, if no anomalous pixel is left in view.

    ``lost`` are the images that ``vanished`` names, at maps of ``size`` pixels a side.
    """
    if len(view.unseen) + len(lost) < view.with_mask:
        return
    whole = dataclasses.replace(preprocessing, resize="squash")
    cropped = [sample for sample in samples if sample.name in view.unseen and anomaly_in_view(sample, whole)]
    reasons = []
    if cropped:
        reasons.append(
            f"resize={preprocessing.resize} crops the defects of {len(cropped)} away: see whole images with --set "
            "resize=squash"
        )
    if lost:
        reasons.append(f"those of {len(lost)} fall between the pixels of maps of {size} x {size}: raise map_size")
    if empty := len(view.unseen) - len(cropped):
        reasons.append(f"the masks of {empty} are all zero: check the masks")
    raise UnseenError(
        f"pixel metrics of {category} need an anomalous pixel in view, but none of {view.with_mask} anomalous images "
        f"has one: {'; '.join(reasons)}"
    )
