"""A look at all of an HDF5 file but its samples, in a process that may be ended: libhdf5 can run in circles on damage.

``main`` is called in a process of its own (``forked``).  How it fails does not matter: whoever reads the file then
says why.  Nothing of this program is imported here.
"""

from __future__ import annotations

import contextlib
from typing import Any

import h5py


def look(name: str, item: Any) -> None:
    """Read the attributes of a thing, and one sample of it if it is a dataset."""
    for key in item.attrs:
        with contextlib.suppress(Exception):
            item.attrs[key]
    if isinstance(item, h5py.Dataset) and item.size:
        with contextlib.suppress(Exception):
            item[tuple(0 for _ in item.shape)]


def main(file: str) -> None:
    """Look at everything in a file."""
    with contextlib.suppress(Exception), h5py.File(file, "r", locking=False) as opened:
        opened.visititems(look)
