"""A look at all of an HDF5 file but its samples, in a process that may be ended: libhdf5 can run in circles on damage.

``main`` is called in a process of its own (``forked``).  How it fails does not matter: whoever reads the file then
says why.  Nothing of this program is imported here.
"""

from __future__ import annotations

import contextlib
from typing import Any

import h5py

_MAX_OBJECTS = 100_000
_SMALL = 1_000  # elements: a header, which a reader takes whole
_SMALL_BYTES = 1 << 20  # an element of a compound may have megabytes


def look(item: Any) -> None:
    """Read the attributes of a thing, and a small dataset whole, of a large one one sample."""
    with contextlib.suppress(Exception):
        for key in item.attrs:
            with contextlib.suppress(Exception):
                item.attrs[key]
    if isinstance(item, h5py.Dataset) and item.size:
        small = item.size <= _SMALL and item.size * item.dtype.itemsize <= _SMALL_BYTES
        item[()] if small else item[tuple(0 for _ in item.shape)]


def main(file: str) -> None:
    """Look at everything in a file; what cannot be read is passed over, as a reader may pass it over."""
    with contextlib.suppress(Exception), h5py.File(file, "r", locking=False) as opened:
        look(opened)
        seen: set[int] = set()
        groups: list[Any] = [opened]
        while groups and len(seen) < _MAX_OBJECTS:
            group = groups.pop()
            with contextlib.suppress(Exception):
                for key in group:
                    with contextlib.suppress(Exception):
                        _step(group, key, seen, groups)


def _step(group: Any, key: str, seen: set[int], groups: list[Any]) -> None:
    """Look at one thing of a group, once; a group is kept to be walked later."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        return
    address = h5py.h5o.get_info(group.id, key.encode("utf-8", "surrogateescape")).addr
    if address in seen:
        return
    seen.add(address)
    item = group[key]
    if isinstance(item, h5py.Group):
        groups.append(item)
    look(item)
