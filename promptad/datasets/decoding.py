"""Decodes images and masks: the same code for checking and for scoring."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from promptad.datasets.bit_depth import BitDepth
from promptad.datasets.content import ChangedDataError, read_content
from promptad.datasets.grey_levels import stored_bits, to_8_bits
from promptad.datasets.layouts.pointers import without_content
from promptad.datasets.sample import UnreadableImageError

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn that makes a picture upright, by its EXIF orientation; 1 and any other value: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Size of a picture upright, and the EXIF orientation (1 to 8) by which it was turned from the stored one."""

    width: int
    height: int
    orientation: int

    def turns(self, width: int, height: int) -> bool:
        """Whether a mask of that size fits the picture as it is stored and not as it is upright."""
        return self.orientation >= 5 and width != height and (width, height) == (self.height, self.width)

    def fits_both_ways(self, width: int, height: int) -> bool:
        """Whether a mask of that size could be drawn on the stored picture as well as on the upright one."""
        upright = (self.width, self.height)
        return self.orientation > 1 and (width, height) == upright and (self.orientation < 5 or width == height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """An image upright, in mode RGB, 8 bits per channel. ``bits``: how many a 16-bit grey file uses, else None.

    ``content`` is the digest of the bytes that were decoded.
    """

    image: Image.Image
    orientation: int
    bits: int | None
    content: str

    @property
    def frame(self) -> Frame:
        """Its size and orientation."""
        return Frame(width=self.image.width, height=self.image.height, orientation=self.orientation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Where an image is ``anomalous``, and the mask file's own EXIF orientation.

    ``in_alpha``: one colour but several alpha values: the shape is in the alpha channel, which is not read.
    ``content`` is the digest of the bytes that were decoded.
    """

    anomalous: NDArray[np.bool_]
    orientation: int
    in_alpha: bool
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    image: Image.Image
    orientation: int
    sixteen_bit_colour: bool
    content: str


def decode(path: Path, bit_depth: BitDepth = "by_maximum", *, content: str | None = None) -> Decoded:
    """The image upright, in mode RGB, 8 bits per channel.

    Transparency is dropped. The EXIF orientation is applied, as viewers and labelling tools do (OpenCLIP ignores it).
    16-bit grey is scaled by the rule ``bit_depth`` (Pillow's own conversion would clip it). ``content`` is the digest
    that the decoded bytes must have, None: any. Raises UnreadableImageError for broken, too large, and floating-point
    files, ChangedDataError for other bytes.
    """
    loaded = _loaded(path, content)
    image, bits = loaded.image, None
    try:
        if image.mode.startswith("I"):
            values = np.asarray(image)
            bits = stored_bits(values)
            image = Image.fromarray(to_8_bits(values, bit_depth)).convert("RGB")
        elif image.mode == "F":
            raise ValueError("floating-point pixels have no known range; store 8 or 16 bits")
        elif image.mode != "RGB":
            image = (image.convert("RGBA") if "transparency" in image.info else image).convert("RGB")
        if loaded.sixteen_bit_colour and 0 < (most := int(np.asarray(image).max())) < 16:
            raise ValueError(
                f"of 16-bit colours only the upper 8 bits can be read, which here are at most {most}; store 8 bits"
            )
    except ValueError as error:
        raise UnreadableImageError(path, str(error)) from error
    return Decoded(image=image, orientation=loaded.orientation, bits=bits, content=loaded.content)


def decode_image(path: Path, bit_depth: BitDepth = "by_maximum", *, content: str | None = None) -> Image.Image:
    """The pixels of ``decode`` alone."""
    return decode(path, bit_depth, content=content).image


def read_frame(path: Path, *, content: str | None = None) -> Frame:
    """The frame of an image file; ``content`` as in ``decode``."""
    loaded = _loaded(path, content)
    return Frame(width=loaded.image.width, height=loaded.image.height, orientation=loaded.orientation)


def read_mask(path: Path, frame: Callable[[], Frame] | None = None, *, content: str | None = None) -> Mask:
    """A mask upright, True where the stored value is above zero in any colour channel.

    Alpha does not count. Palette images are judged by colour, not by index: the order of a palette means nothing. A
    mask's own EXIF orientation is applied. One without is turned as its image is where its size fits the image as
    stored and not upright; ``frame`` is called to know. Where it fits both, it is taken as drawn on the upright image.
    ``content`` as in ``decode``.
    """
    loaded = _loaded(path, content)
    image = loaded.image
    if frame is not None and loaded.orientation == 1 and image.width != image.height:
        picture = frame()
        if picture.turns(image.width, image.height):
            image = image.transpose(_TURNS[picture.orientation])
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    values, in_alpha = np.asarray(image), False
    if values.ndim == 2:
        anomalous = np.asarray(values > 0)
    else:
        colours = values
        if image.mode in ("RGBA", "LA", "RGBa", "La"):
            colours, alpha = values[..., :-1], values[..., -1]
            in_alpha = bool(colours.min() == colours.max() and alpha.min() != alpha.max())
        anomalous = np.asarray((colours > 0).any(axis=-1))
    return Mask(anomalous=anomalous, orientation=loaded.orientation, in_alpha=in_alpha, content=loaded.content)


def decode_mask(
    path: Path, frame: Callable[[], Frame] | None = None, *, content: str | None = None
) -> NDArray[np.bool_]:
    """The pixels of ``read_mask`` alone: shape (height, width)."""
    return read_mask(path, frame, content=content).anomalous


def _loaded(path: Path, planned: str | None) -> _Loaded:
    # Read once, so that the decoded bytes are the hashed ones.
    file = io.BytesIO()
    try:
        content, digest = read_content(path, planned)
        file = io.BytesIO(content)
        with Image.open(file) as image:
            # Pillow turns TIFF files as it loads them, and forgets by how much; PNG files may end with their EXIF.
            turned = image.format == "TIFF"
            orientation = _orientation(image) if turned else 1
            deep = _is_16_bit_colour(image)
            image.load()
            if turned:
                return _Loaded(image=image, orientation=orientation, sixteen_bit_colour=deep, content=digest)
            orientation = _orientation(image)
            upright = image if orientation == 1 else image.transpose(_TURNS[orientation])
            return _Loaded(image=upright, orientation=orientation, sixteen_bit_colour=deep, content=digest)
    except ChangedDataError:
        raise
    except PermissionError as error:
        raise UnreadableImageError(path, f"{error.strerror}: allow this user to read it (chmod u+r)") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = "more pixels than Pillow allows (PIL.Image.MAX_IMAGE_PIXELS, decompression bomb); store it smaller"
        raise UnreadableImageError(path, reason) from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        # Pillow names what it reads in some messages; a recorded reason must not depend on the machine.
        said = str(error).replace(repr(file), repr(path.name)).replace(str(path), path.name)
        reason = without_content(path) or said or type(error).__name__
        raise UnreadableImageError(path, reason) from error


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block raises whatever its bytes lead to, and viewers show the picture as stored
        return 1
    return orientation if isinstance(orientation, int) and orientation in _TURNS else 1


def _is_16_bit_colour(image: Image.Image) -> bool:
    if not isinstance(image, ImageFile.ImageFile):
        return False
    return any(";16" in str(tile[3]) and not image.mode.startswith("I") for tile in image.tile[:1])
