"""Features of images: one pass of each image through the frozen tower computes all requested views.

A view is named ``global``, ``local/<transformation>``, ``block/<l>``, ``attended/<l>``, ``stream`` or
``windows/<size>`` (the class token of every window of size x size patches, each a short pass of its own). All views but
``stream`` are l2-normalised over their last axis; ``raw/<view>`` is one as the tower made it. ``rotated/<n>/<view>`` is
a view of n copies of the image, turned evenly over the circle: n passes.

``pixels`` is no feature: it is the tower's input, for methods that change the tower itself. ``pictures/<factor>`` are
the same pixels before they are normalised, uint8 as height x width x 3, at ``factor`` times the tower's size, for
methods that change the picture. Both are read on every request: pictures from the cache, once they were decoded.
"""

from __future__ import annotations

import functools
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from promptad.backbones.accelerator import card_of
from promptad.backbones.backbone import Backbone
from promptad.datasets.content import digest_of_file
from promptad.datasets.sample import Sample
from promptad.features.cache import FeatureCache, feature_key
from promptad.features.encoding import encoded_views
from promptad.features.pictures import PICTURES, PIXELS, ReadOnRequest, is_picture
from promptad.features.residence import Residence
from promptad.images.preparation import Pixels, Preprocessing, normalised, resized_pixels
from promptad.scoring.finite import require_finite

ACCELERATOR_BATCH = 16
"""Images per forward pass on an accelerator. On a CPU it is one: faster there, and bitwise independent of the batch."""

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
        # Pictures are read at every request: they are large, and few methods want them.
        if self.residence is None or self.device.type == "cpu" or is_picture(view):
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

    ``name`` is its name in messages, else its identity. ``enlarged`` reads it at so many times the tower's size; None
    where only that size is known.
    """

    identity: str
    pixels: Callable[[], Pixels]
    name: str = ""
    enlarged: Callable[[int], Pixels] | None = None


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
    def enlarged(factor: int) -> Pixels:
        return resized_pixels(path, preprocessing.at_size(factor * preprocessing.size), content=content)

    return ImageInput(identity=content, pixels=functools.partial(enlarged, 1), name=str(path), enlarged=enlarged)


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
    wanted = sorted(view for view in set(views) if not is_picture(view))
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
        entering = [functools.partial(_input, image, preprocessing, backbone.dtype, cache) for image in inputs]
        complete[PIXELS] = ReadOnRequest(entering)
    for factor, view in PICTURES.items():
        if view in views:
            complete[view] = ReadOnRequest(
                [functools.partial(_picture, image, preprocessing, factor, cache) for image in inputs]
            )
    identities = tuple(_key(backbone, image, preprocessing, "") for image in inputs)
    return Features(views=complete, device=backbone.device, names=names, identities=identities)


def _input(image: ImageInput, preprocessing: Preprocessing, dtype: torch.dtype, cache: FeatureCache | None) -> Tensor:
    """The tower's input of an image."""
    return normalised(_picture(image, preprocessing, 1, cache).numpy(), preprocessing).to(dtype)


def _picture(image: ImageInput, preprocessing: Preprocessing, factor: int, cache: FeatureCache | None) -> Tensor:
    """The pixels of an image at ``factor`` times the tower's size, decoded once for all towers of that size."""
    if factor != 1 and image.enlarged is None:
        name = image.name or image.identity
        raise ValueError(f"{name} must be readable at {factor} times the tower's size, but is not")

    def decode() -> Tensor:
        return torch.from_numpy(image.pixels() if image.enlarged is None else image.enlarged(factor))

    if cache is None:
        return decode()
    # Neither the order of channels nor their normalisation is in the pixels yet.
    plain = Preprocessing(
        size=factor * preprocessing.size, resize=preprocessing.resize, bit_depth=preprocessing.bit_depth
    )
    key = feature_key(
        image=image.identity, weights="", activation=None, precision="", preprocessing=plain.key(), view="picture"
    )
    known = cache.get(key)
    return cache.keep(key, decode()) if known is None else known


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
