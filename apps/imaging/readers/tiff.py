"""TIFF, BigTIFF, ImageJ hyperstacks and OME-TIFF; files with a vendor's header go to ``tiff_vendor``.

One image a series of tifffile; samples per pixel and pages of one field are channels.  Pages of a plain TIFF are planes
along z.  Reduced copies (pyramid levels, thumbnails) are left out: the store makes its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from analyses.sdk.values import Channel
from apps.imaging.readers.base import Limits, ReadImage, fact, stored_dtype
from apps.imaging.readers.errors import (
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
)
from apps.imaging.readers.tiff_array import DECODE_ERRORS, PagedArray, RawArray, TiffSource
from apps.imaging.readers.tiff_header import facts_of, json_value, tags_of, text
from apps.imaging.readers.tiff_scan import scan_tiff
from apps.imaging.readers.tiff_spacing import SPATIAL, imagej_spacing, ome_spacing
from apps.imaging.readers.tiff_vendor import COLOURS, vendor_images

# tifffile reports odd headers by logging; what matters of them is refused or reported as a fact here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SERIES_AXES = "TCZ"
_UNNAMED = "IQ"  # tifffile's letters for "pages" and "not said"


class TiffReader:
    """Reader of all TIFF files."""

    format = "TIFF"

    def claims(self, path: Path, head: bytes) -> int:
        """A TIFF header is a sure sign; readers of vendor dialects rank above it."""
        return 50 if path.is_file() and head[:4] in _MAGIC else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """All images of the file.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, or of a layout or sample type that cannot be stored.
        """
        scan_tiff(path, name, limits)
        try:
            return _read_images(path, name, limits, beside)
        except ReaderError:
            raise
        except DECODE_ERRORS as error:
            raise MetadataError(f"{name} is not a readable TIFF: {type(error).__name__} {error}"[:500]) from error


def _read_images(path: Path, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
    source = TiffSource(path, name)
    images = vendor_images(source, name, limits, beside)
    if images is not None:
        return images
    pixels = _ome_pixels(source, name)
    series = [s for s in source.tiff.series if not _is_copy(s)] or list(source.tiff.series)
    if not series:
        raise MetadataError(f"{name} has no image")
    _check_imagej(source, series, name)
    if len(series) > limits.max_images:
        raise TooLargeError(
            f"{name} has {len(series)} images of different shapes; at most {limits.max_images} are read"
        )
    images = [_SeriesReader(source, path, s, _at(pixels, n), name, limits).image(n) for n, s in enumerate(series)]
    total = sum(int(np.prod(i.shape, dtype=object)) * i.dtype.itemsize for i in images)
    limits.check_ratio(total, source.size, name)
    return images


def _check_imagej(source: TiffSource, series: Sequence[Any], name: str) -> None:
    """Refuse an ImageJ stack that lost planes: cut off inside its data, tifffile gives those that are left."""
    stated = (source.tiff.imagej_metadata or {}).get("images", 1) if source.tiff.is_imagej else 1
    found = sum(math.prod(n for a, n in zip(s.axes, s.shape, strict=True) if a not in "YXS") for s in series)
    if isinstance(stated, int) and found < stated:
        raise TruncatedFileError(f"{name} states {stated} planes and holds {found}", stated=stated, found=found)


def _at(items: Sequence[Any], number: int) -> Any:
    return items[number] if number < len(items) else None


def _is_copy(series: Any) -> bool:
    page = series.keyframe
    return bool(page.is_reduced or page.is_mask)


def _ome_pixels(source: TiffSource, name: str) -> list[Any]:
    """The Image elements of an OME header, parsed without entities (they expand without bound)."""
    if not source.tiff.is_ome:
        return []
    try:
        root = ElementTree.fromstring((source.tiff.ome_metadata or "").encode())
    except (DefusedXmlException, ElementTree.ParseError) as error:
        raise MetadataError(f"{name} has an OME header that is not plain XML: {error}") from error
    files = {part.text for part in root.findall("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")} | {root.get("UUID")}
    if len(files - {None}) > 1:
        raise UnsupportedFormatError(
            f"{name} refers to planes in other files; send one file with all planes, or each by itself"
        )
    return root.findall("{*}Image")


class _SeriesReader:
    """One series as an image."""

    def __init__(self, source: TiffSource, path: Path, series: Any, ome: Any, name: str, limits: Limits) -> None:
        self.source, self.path, self.series, self.name = source, path, series, name
        self.page = series.keyframe
        self.is_ome = series.kind == "ome" and ome is not None
        self.ome = ome if self.is_ome else None
        self.is_imagej = series.kind == "imagej"
        limits.check_samples(series.shape, max(1, np.dtype(series.dtype).itemsize), source.size, name)

    def image(self, number: int) -> ReadImage:
        letters, derived = self._letters()
        array = self._array(letters)
        spacing, source = self._spacing()
        facts = facts_of(self.page) | self._more_facts()
        if derived:
            facts["page_axis"] = fact(derived, source="derived")
        return ReadImage(
            name=self._image_name(number),
            axes=array.axes,
            array=array,
            spacing_um=spacing,
            spacing_source=source,
            channels=self._channels(array),
            facts=facts,
            header=self._header(number),
        )

    def _letters(self) -> tuple[str, str | None]:
        """Axes of the series as T, C, Z, Y, X, S, and what was assumed for axes that the file does not name."""
        letters, assumed = list(self.series.axes), None
        for at in reversed(range(len(letters))):
            if letters[at] in _UNNAMED:
                free = [letter for letter in "ZCT" if letter not in letters]
                if not free:
                    raise UnsupportedFormatError(
                        f"{self.name} has more axes than t, c, z, y, x: shape {self.series.shape}"
                    )
                letters[at] = assumed = free[0]
        unknown = [a for a, n in zip(letters, self.series.shape, strict=True) if a not in "TCZYXS" and n > 1]
        if unknown or len(set(letters)) != len(letters):
            raise UnsupportedFormatError(
                f"{self.name} has axes {self.series.axes}; t, c, z, y, x and samples are read, each once",
                axes=self.series.axes,
            )
        return "".join(letters), assumed.lower() if assumed else None

    def _array(self, letters: str) -> PagedArray | RawArray:
        sizes = dict(zip(letters, self.series.shape, strict=True))
        samples = sizes.get("S", 1)
        axes = [a for a, n in (("t", sizes.get("T", 1)), ("c", sizes.get("C", 1) * samples)) if n > 1] + list("zyx")
        if self.series.dataoffset is not None and not (samples > 1 and sizes.get("C", 1) > 1):
            return self._raw(letters, axes)
        if self.page.imagedepth != 1:
            raise UnsupportedFormatError(f"{self.name} has pages with a depth of their own; pages must be planes")
        return PagedArray(self.source, self._page_numbers(letters, sizes), samples, axes)

    def _raw(self, letters: str, axes: Sequence[str]) -> RawArray:
        """Contiguous uncompressed samples, also those of an ImageJ stack that has a single directory for all planes."""
        stored = np.dtype(self.series.dtype).newbyteorder(self.source.tiff.byteorder)
        stored_dtype(stored, self.name)
        groups = {"t": "T", "c": "CS", "z": "Z", "y": "Y", "x": "X"}
        order = [tuple(i for i, letter in enumerate(letters) if letter in groups[axis]) for axis in axes]
        used = {i for group in order for i in group}
        shape = [n for i, n in enumerate(self.series.shape) if i in used]
        position = {old: new for new, old in enumerate(sorted(used))}
        moved = [tuple(position[i] for i in group) for group in order]
        return RawArray(self.source, self.path, int(self.series.dataoffset), stored, shape, moved, axes)

    def _page_numbers(self, letters: str, sizes: Mapping[str, int]) -> Any:
        """Numbers of the pages, shape (t, c, z)."""
        pages = [None if page is None else int(page.index) for page in self.series.pages]
        if None in pages:
            raise UnsupportedFormatError(
                f"{self.name} refers to planes in other files; send one file with all planes, or each by itself"
            )
        outer = [letter for letter in letters if letter in _SERIES_AXES]
        shape = [sizes[letter] for letter in outer]
        if len(pages) != int(np.prod(shape, dtype=int)):
            raise MetadataError(f"{self.name} has {len(pages)} planes where its header describes {shape}")
        numbers = np.array(pages, np.int64).reshape(shape)
        wanted = [outer.index(letter) for letter in _SERIES_AXES if letter in outer]
        return numbers.transpose(wanted).reshape([sizes.get(letter, 1) for letter in _SERIES_AXES])

    def _spacing(self) -> tuple[dict[str, float | None], str | None]:
        found: dict[str, float | None] = dict.fromkeys(SPATIAL)
        source = None
        if self.ome is not None:
            pixels = self.ome.find("{*}Pixels")
            found, source = ome_spacing(pixels.attrib if pixels is not None else {}), "OME PhysicalSize"
        elif self.is_imagej:
            tags = self.page.tags
            resolution = {"x": tags.valueof("XResolution"), "y": tags.valueof("YResolution")}
            found = imagej_spacing(self.source.tiff.imagej_metadata or {}, resolution)
            source = "ImageJ unit, resolution and spacing"
        return found, source if any(found.values()) else None

    def _channels(self, array: PagedArray | RawArray) -> tuple[Channel, ...]:
        if "c" not in array.axes:
            return ()
        count = array.shape[array.axes.index("c")]
        samples = self.page.samplesperpixel
        pages = self._page_labels(max(1, count // samples))
        colours = COLOURS.get(samples, tuple(f"sample {s}" for s in range(samples)))
        if samples > 1 and count % samples == 0:
            return tuple(Channel(f"{page} {colour}".strip()) for page in pages for colour in colours)
        labels = self._page_labels(count)
        return tuple(Channel(label or f"channel {n}") for n, label in enumerate(labels))

    def _page_labels(self, count: int) -> list[str]:
        names: list[str] = []
        if self.ome is not None:
            names = [text(c.get("Name") or "") for c in self.ome.findall("{*}Pixels/{*}Channel")]
        elif self.is_imagej and count > 1:
            labels = (self.source.tiff.imagej_metadata or {}).get("Labels", ())
            names = [text(label) for label in labels] if len(labels) == count else []
        return names if len(names) == count else [f"channel {n}" if count > 1 else "" for n in range(count)]

    def _more_facts(self) -> dict[str, dict[str, Any]]:
        found = {}
        if self.is_imagej and (interval := (self.source.tiff.imagej_metadata or {}).get("finterval")):
            found["frame_interval"] = fact(json_value(interval), "s")
        if self.ome is not None:
            date = self.ome.find("{*}AcquisitionDate")
            if date is not None and date.text:
                found["acquired_at"] = fact(text(date.text).strip())
        return found

    def _image_name(self, number: int) -> str:
        if self.ome is not None and self.ome.get("Name"):
            return text(self.ome.get("Name"))
        return Path(self.name).stem if len(self.source.tiff.series) == 1 else f"{Path(self.name).stem} {number}"

    def _header(self, number: int) -> dict[str, Any]:
        header: dict[str, Any] = {"format": "TIFF", "series": self.series.kind, "tags": tags_of(self.page)}
        if self.is_imagej:
            header["imagej"] = json_value(self.source.tiff.imagej_metadata or {})
        if self.ome is not None and number == 0:
            header["ome_xml"] = text(self.source.tiff.ome_metadata)
        return header


def tiff_version() -> str:
    """Version of the library that decodes TIFF, for provenance."""
    return str(tifffile.__version__)
