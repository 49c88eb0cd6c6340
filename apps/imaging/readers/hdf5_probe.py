"""A look at all of an HDF5 file but its samples, in a process that may be ended: libhdf5 can run in circles on damage.

Started as ``python -P hdf5_probe.py FILE``.  How it fails does not matter: whoever reads the file then says why.
"""

from __future__ import annotations

import contextlib
import sys
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


if __name__ == "__main__":
    with contextlib.suppress(Exception), h5py.File(sys.argv[1], "r", locking=False) as file:
        file.visititems(look)
