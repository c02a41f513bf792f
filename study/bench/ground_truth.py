"""Ground truth of a test set, and metrics against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from promptad.datasets import Sample
from promptad.methods import Scores
from promptad.scoring import metrics
from promptad.scoring.device_metrics import DeviceTruth, finished_on
from promptad.scoring.maps import HELD_PIXELS, IMAGES_AT_ONCE, FinishedMaps
from promptad.scoring.metric_table import PIXEL_MEASURES, measured


class MaskSet:
    """Masks of a test set, one bit a pixel; ``empty`` are names of images without an anomalous pixel."""

    def __init__(self, samples: Sequence[Sample], load: Callable[[Sample], NDArray[np.bool_]]) -> None:
        masks = [load(sample) for sample in samples[:1]]
        self._shape = masks[0].shape
        self._packed = [np.packbits(mask) for mask in masks] + [np.packbits(load(sample)) for sample in samples[1:]]
        self._on_device: DeviceTruth | None = None
        self.empty = frozenset(
            sample.name for sample, packed in zip(samples, self._packed, strict=True) if not packed.any()
        )

    def part(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Masks of images ``start`` to ``stop``: image x size x size."""
        count = int(np.prod(self._shape))
        flat = [np.unpackbits(packed, count=count) for packed in self._packed[start:stop]]
        return np.stack(flat).view(np.bool_).reshape(-1, *self._shape)

    def on(self, device: str) -> DeviceTruth:
        """The masks on a device, where they stay."""
        if self._on_device is None:
            parts = (self.part(start, start + IMAGES_AT_ONCE) for start in range(0, len(self._packed), IMAGES_AT_ONCE))
            self._on_device = DeviceTruth(parts, device)
        return self._on_device

    @property
    def pixels(self) -> int:
        """Pixels of all masks."""
        return len(self._packed) * int(np.prod(self._shape))


class MaskedMaps:
    """A test set's masks and finished maps side by side, in parts: the input of pixel metrics."""

    def __init__(self, masks: MaskSet, maps: Iterable[NDArray[np.float32]]) -> None:
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

    def located(self) -> dict[int, tuple[float, float]]:
        """By its number, of each image with anomalous and normal pixels: its own AUROC, and its anomalous share."""
        found: dict[int, tuple[float, float]] = {}
        images = 0
        for masks, maps in self:
            for index, (mask, anomaly_map) in enumerate(zip(masks, maps, strict=True), start=images):
                if mask.any() and not mask.all():
                    found[index] = metrics.auroc(mask.ravel(), anomaly_map.ravel()), float(mask.mean())
            images += len(masks)
        return found

    def auroc(self) -> float:
        """Pixel AUROC."""
        return metrics.pixel_auroc_of(self)

    def known(self) -> dict[str, dict[str, float]]:
        """Measures that need not be computed from the parts, by name."""
        return {}


class MapsOnDevice(MaskedMaps):
    """The same on an accelerator: what is measured of the maps is measured there."""

    def __init__(self, masks: MaskSet, maps: Tensor, *, size: int, smoothing: float, device: str) -> None:
        self._truth = masks.on(device)
        self._finished = finished_on(device, maps, size=size, smoothing=smoothing)
        super().__init__(masks, _Downloaded(self._finished))

    def maxima(self) -> NDArray[np.float32]:
        """The largest value of each map."""
        found: NDArray[np.float32] = self._finished.flatten(1).amax(dim=1).cpu().numpy()
        return found

    def located(self) -> dict[int, tuple[float, float]]:
        """As the numbers on the CPU, to the bit."""
        return self._truth.located(self._finished)

    def auroc(self) -> float:
        """Pixel AUROC."""
        return self._truth.pixel_auroc(self._finished)

    def known(self) -> dict[str, dict[str, float]]:
        """The pixel metrics of the table."""
        found = self._truth.pixel_metrics(self._finished)
        return {PIXEL_MEASURES: {"pixel_auroc": found.pixel_auroc, "pro": found.pro}}


class _Downloaded:
    """Finished maps of a device on the CPU, some images at a time; can be iterated repeatedly."""

    def __init__(self, finished: Tensor) -> None:
        self._finished = finished

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for part in self._finished.split(IMAGES_AT_ONCE):
            yield part.cpu().numpy()


class Truth:
    """Labels and masks of a category's test images; ``masks`` None for the image task.

    Maps are measured on ``device``: a set of up to ``HELD_PIXELS`` pixels on an accelerator, all else on the CPU.
    """

    def __init__(self, samples: Sequence[Sample], masks: MaskSet | None, device: str = "cpu") -> None:
        self._device = device
        self._anomalous = np.array([sample.anomalous for sample in samples])
        self._masks = masks

    def masked(self, result: Scores, *, size: int, smoothing: float) -> MaskedMaps | None:
        """The pixel task's maps beside their masks; None for the image task."""
        if result.maps is None:
            return None
        assert self._masks is not None
        if self._device != "cpu" and self._masks.pixels <= HELD_PIXELS:
            return MapsOnDevice(self._masks, result.maps, size=size, smoothing=smoothing, device=self._device)
        return MaskedMaps(self._masks, FinishedMaps(result.maps, size=size, smoothing=smoothing))

    def scores(self, result: Scores, maps: MaskedMaps | None) -> dict[str, float]:
        """Every metric of the cell's task: the table's, by name."""
        if maps is not None:
            return measured("pixel", maps, known=maps.known())
        return measured("image", self._anomalous, _image_scores(result))

    def auroc(self, result: Scores, maps: MaskedMaps | None) -> float:
        """The one metric that an epoch is selected by."""
        if maps is not None:
            return maps.auroc()
        return metrics.auroc(self._anomalous, _image_scores(result))


def _image_scores(result: Scores) -> NDArray[np.float64]:
    assert result.image is not None
    scores: NDArray[np.float64] = result.image.double().numpy()
    return scores
