"""Ground truth of a test set, and metrics against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from promptad.datasets import Sample
from promptad.methods import Scores
from promptad.scoring import metrics
from promptad.scoring.maps import FinishedMaps
from promptad.scoring.metric_table import measured


class MaskSet:
    """Masks of a test set, one bit a pixel; ``empty`` are names of images without an anomalous pixel."""

    def __init__(self, samples: Sequence[Sample], load: Callable[[Sample], NDArray[np.bool_]]) -> None:
        masks = [load(sample) for sample in samples[:1]]
        self._shape = masks[0].shape
        self._packed = [np.packbits(mask) for mask in masks] + [np.packbits(load(sample)) for sample in samples[1:]]
        self.empty = frozenset(
            sample.name for sample, packed in zip(samples, self._packed, strict=True) if not packed.any()
        )

    def part(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Masks of images ``start`` to ``stop``: image x size x size."""
        count = int(np.prod(self._shape))
        flat = [np.unpackbits(packed, count=count) for packed in self._packed[start:stop]]
        return np.stack(flat).view(np.bool_).reshape(-1, *self._shape)


class MaskedMaps:
    """A test set's masks and finished maps side by side, in parts: the input of pixel metrics."""

    def __init__(self, masks: MaskSet, maps: FinishedMaps) -> None:
        self._masks, self._maps = masks, maps

    def __iter__(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float32]]]:
        """Masks and maps of consecutive images."""
        start = 0
        for maps in self._maps:
            yield self._masks.part(start, start + len(maps)), maps
            start += len(maps)

    def maxima(self) -> NDArray[np.float32]:
        """The largest value of each map."""
        return np.concatenate([maps.max(axis=(1, 2)) for maps in self._maps])


class Truth:
    """Labels and masks of a category's test images; ``masks`` None for the image task."""

    def __init__(self, samples: Sequence[Sample], masks: MaskSet | None) -> None:
        self._anomalous = np.array([sample.anomalous for sample in samples])
        self._masks = masks

    def masked(self, result: Scores, *, size: int, smoothing: float) -> MaskedMaps | None:
        """The pixel task's maps beside their masks; None for the image task."""
        if result.maps is None:
            return None
        assert self._masks is not None
        return MaskedMaps(self._masks, FinishedMaps(result.maps, size=size, smoothing=smoothing))

    def scores(self, result: Scores, maps: MaskedMaps | None) -> dict[str, float]:
        """Every metric of the cell's task: the table's, by name."""
        if maps is not None:
            return measured("pixel", maps)
        return measured("image", self._anomalous, _image_scores(result))

    def auroc(self, result: Scores, maps: MaskedMaps | None) -> float:
        """The one metric that an epoch is selected by."""
        if maps is not None:
            return metrics.pixel_auroc_of(maps)
        return metrics.auroc(self._anomalous, _image_scores(result))


def _image_scores(result: Scores) -> NDArray[np.float64]:
    assert result.image is not None
    scores: NDArray[np.float64] = result.image.double().numpy()
    return scores
