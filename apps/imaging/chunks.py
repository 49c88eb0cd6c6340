"""Bytes of a store by their key.

The attack: a key such as ``../../files/ab/...`` or a link inside the store reads another project's bytes.  A key is
therefore never made into a path before it was found, letter by letter, in the manifest of the image's own store; the
file is opened without following a link, and has the size that the manifest says.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any

from analyses.sdk.manifest import Entry, Manifest
from analyses.sdk.omezarr import rescaled_group
from analyses.sdk.omezarr_layout import SUMS
from apps.core import storage
from apps.core.errors import ConflictError, CorrError, NotFoundError
from apps.core.models import Store
from apps.imaging.models import Image
from apps.imaging.scale import plain_spacing

logger = logging.getLogger(__name__)
_JSON_NAMES = frozenset({"zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"})
_RANGE = re.compile(r"^bytes=([0-9]{0,18})-([0-9]{0,18})$")
_CACHED_MANIFESTS = 32
# The groups whose metadata hold the scale: of the image, and of the sum image below a spectrum image.
_GROUPS = frozenset({"zarr.json", f"{SUMS['image']}/zarr.json"})


class StoreDamagedError(CorrError):
    """Bytes that the manifest names are not there: the server's fault, never answered as an empty chunk."""

    status = 500
    code = "store_damaged"
    title = "Stored bytes are missing or changed"


class RangeRefusedError(CorrError):
    """No byte of the file lies in the range asked for."""

    status = 416
    code = "range_not_satisfiable"
    title = "Range not satisfiable"


@dataclass(frozen=True)
class Chunk:
    """One file of a store."""

    key: str
    store_key: str
    size: int
    sha256: str
    body: bytes | None = None  # made for this answer instead of read from the store

    @property
    def etag(self) -> str:
        """Strong entity tag: the digest of the bytes."""
        return f'"{self.sha256}"'

    @property
    def media_type(self) -> str:
        """JSON for metadata, else plain bytes."""
        name = self.key.rsplit("/", 1)[-1]
        return "application/json" if name in _JSON_NAMES else "application/octet-stream"

    def open(self) -> IO[bytes]:
        """Open the file for reading.

        Raises
        ------
        StoreDamagedError
            It is not there, is a link, or has another size.
        """
        if self.body is not None:
            return io.BytesIO(self.body)
        path = storage.path(self.store_key) / self.key
        try:
            stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except OSError as error:
            logger.error("store %s: %s cannot be opened: %s", self.store_key, self.key, error)
            raise StoreDamagedError(f"{self.key!r} cannot be read; the operator was told") from error
        found = os.fstat(stream.fileno()).st_size
        if found != self.size:
            stream.close()
            logger.error("store %s: %s has %d bytes, expected %d", self.store_key, self.key, found, self.size)
            raise StoreDamagedError(f"{self.key!r} is not what was stored; the operator was told")
        return stream


@lru_cache(maxsize=_CACHED_MANIFESTS)
def _entries(store_id: Any) -> dict[str, Entry]:
    """Entries of a store by path; a ready store never changes, so they may be kept."""
    text = Store.objects.values_list("manifest", flat=True).get(pk=store_id)
    return {entry.path: entry for entry in Manifest.from_json(text).entries}


def find_chunk(image: Image, key: str) -> Chunk:
    """The file of an image's store under a key.

    Raises
    ------
    NotFoundError
        The store's manifest has no such key.
    ConflictError
        The bytes were deleted; the record of them stays.
    """
    store = image.store
    if store.state == Store.State.DELETED:
        raise ConflictError(f"the bytes of image {image.pk} were deleted; their digest was {store.digest}")
    entry = _entries(store.pk).get(key)
    if entry is None:
        raise NotFoundError(f"the store of image {image.pk} has no key {key[:200]!r}")
    stored = Chunk(key, store.key, entry.size, entry.sha256)
    return _with_scale(image, stored) if key in _GROUPS and image.supersedes_id is not None else stored


def _with_scale(image: Image, stored: Chunk) -> Chunk:
    """The group's metadata under the scale of this version of the image: the store holds that of the first."""
    with stored.open() as stream:
        body = rescaled_group(stream.read(), plain_spacing(image.spacing), calibrated=image.calibrated)
    return Chunk(stored.key, stored.store_key, len(body), hashlib.sha256(body).hexdigest(), body)


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The half-open range of bytes that a ``Range`` header asks for.

    Returns
    -------
    tuple of int or None
        First byte and end; None where the header is of another form (several ranges, another unit) and is ignored, as
        RFC 9110 section 14.2 allows.

    Raises
    ------
    RangeRefusedError
        The range lies beyond the end.
    """
    match = _RANGE.match(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        begin, end = max(0, size - int(match[2])), size
    else:
        begin, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < begin:
            return None
    if begin >= size or end <= begin:
        raise RangeRefusedError(f"the file has {size} bytes; {header!r} lies outside", details={"size": size})
    return begin, end
