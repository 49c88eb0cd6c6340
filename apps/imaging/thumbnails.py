"""Small pictures of images: one plane of a coarse level, contrast by percentiles, labels by colour."""

from __future__ import annotations

import colorsys
import logging
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from analyses.sdk.omezarr import StoreReader, open_store, sum_image_path
from apps.core import storage
from apps.core.errors import ConflictError, InvalidValueError
from apps.core.ids import new_id
from apps.core.models import Store
from apps.imaging.chunks import StoreDamagedError
from apps.imaging.models import Image

logger = logging.getLogger(__name__)
DEFAULT_SIZE = 256
MIN_SIZE, MAX_SIZE = 16, 1024
KEPT_SIZES = frozenset({64, 128, 256, 512, 1024})
PERCENTILES = (0.5, 99.5)
_GOLDEN_ANGLE = 0.61803398875
_VERSION = 1
Array = npt.NDArray[Any]


def check_size(text: str | None) -> int:
    """The longer side asked for, in pixels.

    Raises
    ------
    InvalidValueError
        Not a whole number from 16 to 1024.
    """
    if text is None:
        return DEFAULT_SIZE
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and MIN_SIZE <= int(text) <= MAX_SIZE):
        raise InvalidValueError(f"{text[:40]!r} is not a whole number from {MIN_SIZE} to {MAX_SIZE}", field="size")
    return int(text)


def etag(image: Image, size: int) -> str:
    """Entity tag: the samples' digest and everything that decides the picture."""
    return f'"{image.store.digest.removeprefix("sha256:")}-{image.kind}-{size}-{_VERSION}"'


def thumbnail(image: Image, size: int = DEFAULT_SIZE) -> bytes:
    """A PNG of the image.

    Parameters
    ----------
    size : int
        Pixels of the longer side; an image with fewer samples is not enlarged.

    Returns
    -------
    bytes
        The middle z plane at the first time; the first channel, or red, green and blue; of a spectrum image the sum of
        all its channels.  Common sizes are kept on disk
        below the data root, under the samples' digest.

    Raises
    ------
    ConflictError
        The bytes were deleted.
    StoreDamagedError
        The store cannot be read any more.
    """
    if image.store.state != Store.State.READY:
        raise ConflictError(f"the bytes of image {image.pk} are not there; their record stays")
    kept = _kept(image, size)
    if kept is not None and kept.is_file():
        return kept.read_bytes()
    try:
        png = render(storage.path(image.store.key), image.kind, size)
    except (ValueError, OSError) as error:  # StoreError and what does not decode are ValueErrors
        logger.error("store %s: no picture can be made: %s", image.store.key, error)
        raise StoreDamagedError(f"image {image.pk} cannot be drawn; the operator was told") from error
    if kept is not None:
        _keep(kept, png)
    return png


def _kept(image: Image, size: int) -> Path | None:
    """Where the picture is kept; only common sizes are, so that a caller cannot fill the disk with odd ones."""
    if size not in KEPT_SIZES:
        return None
    name = etag(image, size).strip('"')
    return storage.root() / "cache" / "thumbnails" / name[:2] / f"{name}.png"


def _keep(target: Path, png: bytes) -> None:
    """Write whole or not at all; a full disk only costs the time of making it again."""
    partial = target.with_name(f".{target.name}.{new_id().hex}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_bytes(png)
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)


def render(store: Path, kind: str, size: int) -> bytes:
    """Make the picture from the coarsest level that has enough samples, so that the work is bounded."""
    reader = open_store(sum_image_path(store) if kind == Image.Kind.SPECTRUM else store)
    planes = _planes(reader, _level(reader, size), colour=kind == Image.Kind.INTENSITY)
    pixels = _colour_labels(planes[..., 0]) if kind == Image.Kind.LABELS else stretch(planes)
    picture = Picture.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    longest = max(picture.size)
    if longest > size:
        shape = (max(1, round(picture.width * size / longest)), max(1, round(picture.height * size / longest)))
        method = Picture.Resampling.NEAREST if kind == Image.Kind.LABELS else Picture.Resampling.BOX
        picture = picture.resize(shape, method)
    return bytes(imagecodecs.png_encode(np.asarray(picture)))


def _level(reader: StoreReader, size: int) -> int:
    for number in reversed(range(len(reader.levels))):
        if max(reader.levels[number].shape[-2:]) >= size:
            return number
    return 0


def _planes(reader: StoreReader, number: int, *, colour: bool) -> Array:
    """Samples ``(y, x, channel)`` of the middle plane: one channel, or three if they are red, green and blue."""
    array = reader.level(number)
    sizes = dict(zip(reader.axes, array.shape, strict=True))
    labels = [channel.label.lower() for channel in reader.channels]
    channels = range(3) if colour and labels[:3] == ["red", "green", "blue"] else range(1)
    middle = {"t": 0, "z": sizes["z"] // 2, "y": slice(None), "x": slice(None)}
    planes = [array[tuple(channel if axis == "c" else middle[axis] for axis in reader.axes)] for channel in channels]
    return np.stack(planes, axis=-1)


def stretch(planes: Array) -> npt.NDArray[np.uint8]:
    """Eight-bit grey or colour, the percentiles at black and white; NaN is black."""
    values = planes.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, PERCENTILES) if finite.size else (0.0, 1.0)
    if high <= low:
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    span = high - low if high > low else 1.0
    scaled = np.nan_to_num((np.clip(values, low, high) - low) / span, nan=0.0)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def _colour_labels(labels: Array) -> npt.NDArray[np.uint8]:
    """Categorical colours: label 0 dark grey, neighbours in number far apart in hue by the golden angle."""
    found, place = np.unique(labels, return_inverse=True)
    palette = np.array([_colour(int(label)) for label in found], dtype=np.uint8)
    return palette[place.reshape(labels.shape)]


def _colour(label: int) -> tuple[int, int, int]:
    if label == 0:
        return (40, 40, 48)
    hue = label * _GOLDEN_ANGLE % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (label % 2), 0.95 - 0.2 * (label % 3) / 2)
    return (round(red * 255), round(green * 255), round(blue * 255))
