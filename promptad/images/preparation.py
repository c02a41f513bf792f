"""Images to network input: geometry and normalisation, masks and thumbnails to match, support views."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from promptad.datasets.bit_depth import BitDepth
from promptad.datasets.decoding import decode_image, decode_mask, read_frame
from promptad.datasets.sample import DatasetError, Sample

Resize = Literal["shorter_edge", "squash_via_1024", "squash"]
Channels = Literal["rgb", "bgr"]
Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

MOST_ELONGATED = 64
"""Largest ratio of edges up to which an image is scaled whole; beyond it, scaling would exhaust the memory."""

VIEW_DEGREES = (0.0, 2.5, -2.5, 5.0, -5.0)
"""Rotations of the support views, counter-clockwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a decoded image becomes the input of an image encoder.

    `size`: side of the square input in pixels.
    `resize`: "shorter_edge" scales the shorter edge to `size` and crops the centre (OpenCLIP's, the paper's protocol);
    "squash_via_1024" distorts to 1024x1024 bilinearly, then to `size` (the released code, deviation D12);
    "squash" distorts straight to `size`, bicubic and antialiased (neither the paper's nor the released code's).
    `channels`: "bgr" feeds blue first, still normalised in RGB order (the released code's test images, deviation D3).
    `bit_depth`: how the values of 16-bit grey files become 8 bits; files of 8 bits are never scaled.
    `mean`, `std`: per channel, of values in [0, 1].
    """

    size: int
    resize: Resize = "shorter_edge"
    channels: Channels = "rgb"
    bit_depth: BitDepth = "by_maximum"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        problems = []
        if self.size < 1:
            problems.append(f"size must be at least 1, but got {self.size}")
        if self.resize not in get_args(Resize):
            problems.append(f"resize must be one of {', '.join(get_args(Resize))}, but got {self.resize!r}")
        if self.channels not in get_args(Channels):
            problems.append(f"channels must be one of {', '.join(get_args(Channels))}, but got {self.channels!r}")
        if self.bit_depth not in get_args(BitDepth):
            problems.append(f"bit_depth must be one of {', '.join(get_args(BitDepth))}, but got {self.bit_depth!r}")
        if len(self.mean) != 3 or len(self.std) != 3:
            problems.append(f"mean and std must have 3 values, but got {self.mean} and {self.std}")
        if any(not value > 0 for value in self.std):
            problems.append(f"std must be above 0, but got {self.std}")
        if problems:
            raise ValueError("; ".join(problems))

    def at_size(self, size: int) -> "Preprocessing":
        """The same for an input of another size."""
        return dataclasses.replace(self, size=size)

    def key(self) -> str:
        """A text equal for equal settings and different for different ones, stable across runs: for cache keys."""
        mean, std = (",".join(repr(float(value)) for value in values) for values in (self.mean, self.std))
        return f"{self.resize}-{self.size}-{self.channels}-upright-{self.bit_depth}-mean{mean}-std{std}"


def load_image(path: Path, preprocessing: Preprocessing) -> Tensor:
    """The network input of an image file: float32, shape (3, size, size), normalised."""
    return normalised(resized_pixels(path, preprocessing), preprocessing)


def resized_pixels(path: Path, preprocessing: Preprocessing, *, content: str | None = None) -> Pixels:
    """The decoded image in its final geometry: uint8 RGB, shape (size, size, 3), whatever `channels` says.

    "shorter_edge" equals open_clip's `image_transform(size, is_train=False)` bit by bit for RGB and grey files; palette
    images are turned into colours before they are resized, which open_clip does not, and images more elongated than
    ``MOST_ELONGATED`` are cropped before they are scaled, which differs by
    a few grey levels of noise. "squash_via_1024" follows OpenCV's
    pixel centres, and differs by at most one grey level at 1024x1024 from its fixed-point arithmetic.
    ``content`` is the digest that the file's bytes must have, None: any; ChangedDataError if they have another.
    """
    image, size = decode_image(path, preprocessing.bit_depth, content=content), preprocessing.size
    match preprocessing.resize:
        case "squash":
            resized = image.resize((size, size), Image.Resampling.BICUBIC)
        case "squash_via_1024":
            resized = _bilinear(image, 1024).resize((size, size), Image.Resampling.BICUBIC)
        case "shorter_edge":
            width, height = _shorter_edge_size(image.width, image.height, size)
            if max(width, height) > MOST_ELONGATED * size:
                box = _field_of_view(image.width, image.height, preprocessing)
                return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box), dtype=np.uint8)
            left, top = _crop_corner(width, height, size)
            whole = image.resize((width, height), Image.Resampling.BICUBIC)
            resized = whole.crop((left, top, left + size, top + size))
        case _:
            assert_never(preprocessing.resize)
    return np.array(resized, dtype=np.uint8)


def normalised(pixels: Pixels, preprocessing: Preprocessing) -> Tensor:
    """uint8 RGB (height, width, 3) to float32 (3, height, width) in `channels` order: (x / 255 - mean) / std."""
    ordered = pixels[..., ::-1] if preprocessing.channels == "bgr" else pixels
    values = torch.from_numpy(np.ascontiguousarray(ordered.transpose(2, 0, 1))).to(torch.float32).div(255)
    mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    return values.sub_(mean).div_(std)


def load_mask(sample: Sample, *, preprocessing: Preprocessing, size: int) -> NDArray[np.bool_]:
    """Where the preprocessed image is anomalous: bool, shape (size, size), all False for a normal image.

    The union of the sample's masks, cropped or squashed as the image is, sampled at the nearest pixel. `size` may
    differ from the image's; the field of view is the same. Raises DatasetError for an anomalous image without masks.
    """
    if not sample.anomalous:
        return np.zeros((size, size), dtype=np.bool_)
    if not sample.masks:
        raise DatasetError(f"{sample.name} must have a ground-truth mask to be scored by pixel, but has none")
    union = _united_mask(sample)
    height, width = union.shape
    left, top, right, bottom = _field_of_view(width, height, preprocessing)
    centres = (np.arange(size) + 0.5) / size
    rows = np.clip((top + centres * (bottom - top)).astype(np.intp), 0, height - 1)
    columns = np.clip((left + centres * (right - left)).astype(np.intp), 0, width - 1)
    return np.asarray(union[np.ix_(rows, columns)])


def anomaly_in_view(sample: Sample, preprocessing: Preprocessing) -> bool:
    """Whether any anomalous pixel of an image with masks lies in the network's view, even in part.

    The masks are used as stored, so that no pixel is lost by sampling.
    """
    union = _united_mask(sample)
    height, width = union.shape
    left, top, right, bottom = _field_of_view(width, height, preprocessing)
    return bool(union[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)].any())


def field_of_view(path: Path, preprocessing: Preprocessing) -> Box:
    """The network's view of an image file as (left, top, right, bottom), in pixels of the upright image.

    Edges, not pixel centres: a whole picture of 640 x 480 is (0, 0, 640, 480). Raises UnreadableImageError.
    """
    frame = read_frame(path)
    return _field_of_view(frame.width, frame.height, preprocessing)


def thumbnail(sample: Sample, preprocessing: Preprocessing, size: int = 160) -> Pixels:
    """The sample as a picture for people: uint8 RGB, shape (size, size, 3), the network input's field of view."""
    image = decode_image(sample.path, preprocessing.bit_depth, content=sample.content)
    box = _field_of_view(image.width, image.height, preprocessing)
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box), dtype=np.uint8)


def support_views(pixels: Pixels, shift: int) -> list[Pixels]:
    """20 views of a support image (height, width, 3), uint8: 5 rotations times 4 translations; the first is the image.

    Rotations 0, 2.5, -2.5, 5, -5 degrees about the centre (bicubic); within each no translation, then `shift` pixels
    right, down, and both, half a patch being usual. What enters from outside is the image reflected at its border.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 of shape (height, width, 3), but got {pixels.dtype} {pixels.shape}")
    if shift < 1:
        raise ValueError(f"shift must be at least 1 pixel, but got {shift}: half of the patch size is usual")
    height, width = pixels.shape[:2]
    reach = math.hypot(height / 2 + shift, width / 2 + shift)
    # The chord by which the farthest corner turns, and 2 pixels of bicubic support: no view sees past the padding.
    margin = shift + math.ceil(2 * math.sin(math.radians(max(VIEW_DEGREES)) / 2) * reach) + 2
    padded = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect"))
    views = []
    for degrees in VIEW_DEGREES:
        turned = np.array(padded.rotate(degrees, Image.Resampling.BICUBIC) if degrees else padded, dtype=np.uint8)
        for right, down in ((0, 0), (shift, 0), (0, shift), (shift, shift)):
            top, left = margin - down, margin - right
            views.append(turned[top : top + height, left : left + width].copy())
    return views


def _united_mask(sample: Sample) -> NDArray[np.bool_]:
    frame = functools.partial(read_frame, sample.path, content=sample.content)
    contents = sample.mask_contents or (None,) * len(sample.masks)
    masks = [decode_mask(path, frame, content=each) for path, each in zip(sample.masks, contents, strict=True)]
    if len({mask.shape for mask in masks}) > 1:
        raise DatasetError(f"masks of {sample.name} must have one size, but have {[mask.shape for mask in masks]}")
    return np.asarray(np.logical_or.reduce(masks))


def _bilinear(image: Image.Image, side: int) -> Image.Image:
    """`image` at side x side, OpenCV's INTER_LINEAR: half-pixel centres, clamped borders, no antialiasing."""
    values = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)[None].to(torch.float32)
    resized = F.interpolate(values, size=(side, side), mode="bilinear", align_corners=False, antialias=False)
    return Image.fromarray(resized[0].round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def _shorter_edge_size(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) with the shorter edge scaled to `size`; the longer one is truncated, as torchvision does."""
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def _crop_corner(width: int, height: int, size: int) -> tuple[int, int]:
    """(left, top) of the centred crop, halves rounded to even, as torchvision does."""
    return round((width - size) / 2), round((height - size) / 2)


def _field_of_view(width: int, height: int, preprocessing: Preprocessing) -> Box:
    """(left, top, right, bottom) of what the network sees, in pixels of the stored image; bounds are inside it."""
    if preprocessing.resize != "shorter_edge":
        return 0.0, 0.0, float(width), float(height)
    size = preprocessing.size
    scaled_width, scaled_height = _shorter_edge_size(width, height, size)
    left, top = _crop_corner(scaled_width, scaled_height, size)
    across, down = width / scaled_width, height / scaled_height
    return left * across, top * down, min((left + size) * across, width), min((top + size) * down, height)
