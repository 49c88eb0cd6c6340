"""Readers of microscopy files: from bytes to lazily decoded images with the lengths and facts that the file states.

Pure Python, without Django: an image is a value here.  ``read`` detects the format by content.
"""

from __future__ import annotations

from apps.imaging.readers.base import Limits, Reader, ReadImage
from apps.imaging.readers.errors import (
    ContentMismatchError,
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFormatError,
)
from apps.imaging.readers.registry import detect, read

__all__ = [
    "ContentMismatchError",
    "Limits",
    "MetadataError",
    "ReadImage",
    "Reader",
    "ReaderError",
    "TooLargeError",
    "TruncatedFileError",
    "UnsafePathError",
    "UnsupportedFormatError",
    "detect",
    "read",
]
