"""Features of images: one pass of each image through the frozen tower computes all requested views.

A view is named ``global``, ``local/<transformation>``, ``block/<l>``, ``attended/<l>``, ``stream`` or
``windows/<size>`` (the class token of every window of size x size patches, each a short pass of its own). All views but
``stream`` are l2-normalised over their last axis; ``raw/<view>`` is one as the tower made it. ``rotated/<n>/<view>`` is
a view of n copies of the image, turned evenly over the circle: n passes.

``pixels`` is no feature: it is the tower's input, for methods that change the tower itself. It is never cached, but
decoded on every request.
"""

from __future__ import annotations

import functools
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.backbones.accelerator import card_of
from promptad.backbones.backbone import Backbone
from promptad.datasets.content import digest_of_file
from promptad.datasets.sample import Sample
from promptad.features.cache import FeatureCache, feature_key
from promptad.features.encoding import encoded_views
from promptad.features.residence import Residence
from promptad.images.preparation import Pixels, Preprocessing, normalised, resized_pixels
from promptad.scoring.finite import require_finite

ACCELERATOR_BATCH = 16
"""Images per forward pass on an accelerator. On a CPU it is one: faster there, and bitwise independent of the batch."""

PIXELS = "pixels"
"""The view that is the tower's input: image x 3 x height x width, preprocessed."""

DECODED_AHEAD = 4
"""Least number of decoded images that may wait for the tower."""


REMEMBERED = 32
"""How many results a list of features remembers."""


class Remembered:
    """The last results that were computed of some features and of nothing that differs between fits."""

    def __init__(self) -> None:
        self._results: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    def clear(self) -> None:
        """Forget everything."""
        self._results.clear()

    def get(self, key: tuple[object, ...], compute: Callable[[], Tensor]) -> Tensor:
        """The result under ``key``, computed at its first request; whoever receives it does not change it."""
        if key not in self._results:
            self._results[key] = compute()
            while len(self._results) > REMEMBERED:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return self._results[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Views of a list of images; ``views[name][i]`` is image i's, on the CPU and possibly memory-mapped.

    ``identities`` are digests of all that made the features of each image, but for the name of a view; () if unknown.
    """

    views: Mapping[str, Sequence[Tensor]]
    device: torch.device
    names: tuple[str, ...] = ()
    """The images' names in messages; () if unknown."""
    identities: tuple[str, ...] = ()
    remembered: Remembered = field(default_factory=Remembered, compare=False, repr=False)
    residence: Residence | None = field(default=None, compare=False, repr=False)
    """Room on the device where whole views stay; None: parts are copied at every request."""
    _resident: dict[str, Tensor | None] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __len__(self) -> int:
        """Number of images."""
        return len(next(iter(self.views.values())))

    def stack(self, view: str, start: int = 0, stop: int | None = None) -> Float[Tensor, "image *shape"]:
        """Images ``start`` to ``stop`` of one view as one tensor on the computing device, which nobody changes."""
        if (whole := self._whole(view)) is not None:
            return whole[start:stop]
        return torch.stack(list(self.views[view][start:stop])).to(self.device)

    def joined(
        self, views: Sequence[str], start: int, stop: int, *, channels: Sequence[Int[Tensor, " channel"]] | None = None
    ) -> Float[Tensor, "image patch width"]:
        """Views with equally many patches, concatenated along the channels: all channels, or those given for each view.

        Other channels are not moved; the requested ones are copied once.
        """
        wholes = [self._whole(view) for view in views]
        if all(whole is not None for whole in wholes):
            there = [whole[start:stop] for whole in wholes if whole is not None]
            if channels is not None:
                there = [each.index_select(-1, own.to(self.device)) for each, own in zip(there, channels, strict=True)]
            return torch.cat(there, dim=-1)
        taken = [self.views[view][start:stop] for view in views]
        if channels is not None:
            taken = [
                [image.index_select(-1, own) for image in images] for images, own in zip(taken, channels, strict=True)
            ]
        width = sum(images[0].shape[-1] for images in taken)
        joined = taken[0][0].new_empty((len(taken[0]), len(taken[0][0]), width))
        for target, *layers in zip(joined, *taken, strict=True):
            torch.cat(layers, dim=-1, out=target)
        return joined.to(self.device)

    def _whole(self, view: str) -> Tensor | None:
        """A view that stays on the device, or None."""
        # The tower's inputs are decoded at every request: they are large, and few methods want them.
        if self.residence is None or self.device.type == "cpu" or view == PIXELS:
            return None
        if view not in self._resident:
            self._resident[view] = self.residence.moved(self.views[view], self.device)
        return self._resident[view]

    def chunks(self, size: int) -> Iterator[slice]:
        """Slices that cover the images in order, ``size`` at a time."""
        return (slice(start, min(start + size, len(self))) for start in range(0, len(self), size))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """An image to encode: the identity of its pixels, and how to read them (uint8 RGB, height x width x 3).

    ``name`` is its name in messages, else its identity.
    """

    identity: str
    pixels: Callable[[], Pixels]
    name: str = ""


class NetworkInputs(Sequence[Tensor]):
    """The tower's input of every image, decoded on request and not kept: the content of the view ``pixels``."""

    def __init__(self, inputs: Sequence[ImageInput], preprocessing: Preprocessing, dtype: torch.dtype) -> None:
        self._inputs, self._preprocessing, self._dtype = inputs, preprocessing, dtype

    def __len__(self) -> int:
        """Number of images."""
        return len(self._inputs)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> NetworkInputs: ...

    def __getitem__(self, index: int | slice) -> Tensor | NetworkInputs:
        """One image decoded, or a lazy slice of them."""
        if isinstance(index, slice):
            return NetworkInputs(self._inputs[index], self._preprocessing, self._dtype)
        return normalised(self._inputs[index].pixels(), self._preprocessing).to(self._dtype)


def images_at_once(device: torch.device) -> int:
    """Images per forward pass of the tower (see ``ACCELERATOR_BATCH``)."""
    return 1 if device.type == "cpu" else ACCELERATOR_BATCH


def file_inputs(paths: Sequence[Path], preprocessing: Preprocessing) -> list[ImageInput]:
    """Image files as inputs, identified by their content, which must not change until they are decoded."""
    return [_file_input(path, digest_of_file(path), preprocessing) for path in paths]


def sample_inputs(samples: Sequence[Sample], preprocessing: Preprocessing) -> list[ImageInput]:
    """Images of a category as inputs, identified by their content when the category was opened."""
    return [_file_input(sample.path, content_of(sample), preprocessing) for sample in samples]


def content_of(sample: Sample) -> str:
    """Digest of the bytes of a sample's image; of those with which it was opened, if known."""
    return sample.content or digest_of_file(sample.path)


def _file_input(path: Path, content: str, preprocessing: Preprocessing) -> ImageInput:
    pixels = functools.partial(resized_pixels, path, preprocessing, content=content)
    return ImageInput(identity=content, pixels=pixels, name=str(path))


def extract_features(
    backbone: Backbone,
    inputs: Sequence[ImageInput],
    *,
    preprocessing: Preprocessing,
    views: Collection[str],
    cache: FeatureCache | None = None,
    on_image: Callable[[], None] | None = None,
) -> Features:
    """The named views of every image, from the cache or else from one forward pass per image.

    ``on_image`` is called after each image. Without a cache features stay in memory.

    Raises:
        NotFiniteError: a feature is not finite, even one from the cache; the message names image and view.
    """
    wanted = sorted(set(views) - {PIXELS})
    found: dict[str, list[Tensor | None]] = {view: [None] * len(inputs) for view in wanted}
    batch_size = images_at_once(backbone.device)
    pending: deque[tuple[int, Future[Pixels]]] = deque()
    names = tuple(image.name or image.identity for image in inputs)

    def check(values: Tensor, view: str, images: Sequence[str]) -> None:
        require_finite(values, f"feature {view}", images, precision=backbone.precision)

    def encode(count: int) -> None:
        batch = [pending.popleft() for _ in range(min(count, len(pending)))]
        missing = [view for view in wanted if any(found[view][index] is None for index, _ in batch)]
        encoded = encoded_views(backbone, [pixels.result() for _, pixels in batch], preprocessing, missing, batch_size)
        for view in missing:
            check(encoded[view], view, [names[index] for index, _ in batch])
        for position, (index, _) in enumerate(batch):
            for view in missing:
                feature = encoded[view][position].clone()
                key = _key(backbone, inputs[index], preprocessing, view)
                # Cached features are mapped from their files, so a worker's memory does not grow with the images.
                found[view][index] = feature if cache is None else cache.keep(key, feature)

    # Images are decoded ahead, beside the tower: decoding a large picture takes as long as a small tower does.
    with ThreadPoolExecutor(max_workers=_decoders(backbone.device)) as decoders:
        for index, image in enumerate(inputs):
            for view in wanted:
                known = None if cache is None else cache.get(_key(backbone, image, preprocessing, view))
                if known is not None:
                    check(known[None], view, names[index : index + 1])
                found[view][index] = known
            if any(found[view][index] is None for view in wanted):
                pending.append((index, decoders.submit(image.pixels)))
            if len(pending) == batch_size + max(batch_size, DECODED_AHEAD):
                encode(batch_size)
            if on_image is not None:
                on_image()
        while pending:
            encode(batch_size)
    complete: dict[str, Sequence[Tensor]] = {
        view: [feature for feature in found[view] if feature is not None] for view in wanted
    }
    if PIXELS in views:
        complete[PIXELS] = NetworkInputs(inputs, preprocessing, backbone.dtype)
    identities = tuple(_key(backbone, image, preprocessing, "") for image in inputs)
    return Features(views=complete, device=backbone.device, names=names, identities=identities)


def _decoders(device: torch.device) -> int:
    """Threads that decode: a CPU's belong to the tower too; beside an accelerator its part of the machine's."""
    if device.type == "cpu":
        return torch.get_num_threads()
    return max(torch.get_num_threads(), (os.cpu_count() or 1) // (4 * max(1, torch.cuda.device_count())))


def _key(backbone: Backbone, image: ImageInput, preprocessing: Preprocessing, view: str) -> str:
    # Accelerators round differently: what one computed is another feature.
    card = card_of(backbone.device)
    return feature_key(
        image=image.identity,
        weights=f"{backbone.name.architecture}:{backbone.weights}",
        activation=backbone.activation,
        precision=backbone.precision,
        preprocessing=preprocessing.key(),
        view=view if card is None else f"{view} on {card}",
    )
