"""Files to pixels: the one way images and masks are decoded, for checking as for scoring."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptad.datasets.sample import UnreadableImageError


def decode_image(path: Path) -> Image.Image:
    """The image as stored, in mode RGB, 8 bits per channel.

    Transparency is dropped. 16-bit grey is scaled so that 65535 becomes 255 (Pillow's own conversion would clip it), by
    a fixed factor so that images stay comparable. EXIF orientation is ignored, as OpenCLIP does. Raises
    UnreadableImageError for broken, too large, and floating-point files.
    """
    image = _loaded(path)
    try:
        if image.mode == "RGB":
            return image
        if image.mode.startswith("I"):
            return _scaled_from_16_bits(image)
        if image.mode == "F":
            raise ValueError("floating-point pixels have no known range; store 8 or 16 bits")
        if "transparency" in image.info:
            image = image.convert("RGBA")
        return image.convert("RGB")
    except ValueError as error:
        raise UnreadableImageError(path, str(error)) from error


def decode_mask(path: Path) -> NDArray[np.bool_]:
    """Shape (height, width), True where the stored value is above zero in any colour channel.

    Alpha does not count. Palette images are judged by colour, not by index: the order of a palette means nothing.
    """
    image = _loaded(path)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    values = np.asarray(image)
    if values.ndim == 2:
        return np.asarray(values > 0)
    colours = values[..., :-1] if image.mode in ("RGBA", "LA", "RGBa", "La") else values
    return np.asarray((colours > 0).any(axis=-1))


def _loaded(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = "more pixels than Pillow allows (PIL.Image.MAX_IMAGE_PIXELS, decompression bomb); store it smaller"
        raise UnreadableImageError(path, reason) from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        # Pillow names the file again in some messages; a recorded reason must not depend on the machine.
        reason = str(error).replace(str(path), path.name) or type(error).__name__
        raise UnreadableImageError(path, reason) from error


def _scaled_from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise ValueError(f"integer pixels must be in 0..65535, but span {values.min()}..{values.max()}")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
