"""What is done in the process that rosettasciio runs in: it decodes one file into plain arrays and a header in JSON.

The library and its compiled parts trust what a file says of itself: a cut file can end the process that reads it.  So
``main`` is called in one of its own (``forked``), and this is the only place that imports it.  Nothing of this program
is imported here.
``FOLDER`` gets ``signals.json`` and one ``.npy`` a signal; a signal of more than ``MOST_BYTES`` is described and not
decoded.
"""

from __future__ import annotations

import json
import logging
import math
import re
import resource
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rsciio import bruker, digitalmicrograph

try:
    from rsciio.bruker._api import SFS_reader
except ImportError:  # no part of the library's interface: without it there are no overviews
    SFS_reader = None

_MODULES = {"bruker": bruker, "digitalmicrograph": digitalmicrograph}
_MOST_AT_ONCE = 4 << 30
_LONGEST_LIST = 64
_DEEPEST = 24
_LONGEST_HEADER = 256 << 20
_RECTANGLE = ("Left", "Top", "Right", "Bottom")


def main(plugin: str, file: str, folder: str, most: str, seconds: str) -> None:
    """Decode, and say in JSON what was found or why nothing was."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    module = _MODULES[plugin]
    try:
        signals = [found for found in module.file_reader(file, lazy=True) if found["data"].size]
        said: dict[str, Any] = {"signals": [_written(s, n, Path(folder), int(most)) for n, s in enumerate(signals)]}
        if plugin == "bruker":
            said["overviews"] = _overviews(file)
    except Exception as error:  # noqa: BLE001 - the library raises whatever the bytes lead it to
        said = {"error": f"{type(error).__name__} {error}"[:400]}
    (Path(folder) / "signals.json").write_text(json.dumps(said))


def _overviews(file: str) -> list[dict[str, Any]]:
    """Bruker's overview images: columns and rows, planes, and the rectangle that was mapped, in their own pixels.

    The library passes over the rectangle.  Its first and last columns and rows belong to the map.  Where the library
    has changed, or the header has another form, there is none.
    """
    try:
        reader = SFS_reader(file)
        data = reader.get_file("EDSDatabase/HeaderData").get_as_BytesIO_string().getvalue()
    except Exception:  # noqa: BLE001 - what is not part of the library's interface may go at any time
        return []
    text = data[:_LONGEST_HEADER].decode("cp1252", "replace")
    begin = text.find('Name="OverviewImages"')
    parts = text[begin:].split('<ClassInstance Type="TRTImageData"')[1:] if begin >= 0 else []
    return [_overview(part) for part in parts]


def _overview(text: str) -> dict[str, Any]:
    marked = text.find('Type="TRTRectangleOverlayElement" Name="Map"')
    said = {key: _whole(text, key, 0) for key in ("Width", "Height", "PlaneCount")}
    ends = [_whole(text, key, marked) for key in _RECTANGLE] if marked >= 0 else [None]
    return {
        "size": [said["Width"], said["Height"]],
        "planes": said["PlaneCount"],
        "map": None if None in ends else ends,
    }


def _whole(text: str, key: str, begin: int) -> int | None:
    found = re.compile(rf"<{key}>([0-9]{{1,6}})</{key}>").search(text, begin)
    return None if found is None else int(found[1])


def _written(found: Mapping[str, Any], number: int, folder: Path, most: int) -> dict[str, Any]:
    data = found["data"]
    described = {
        "shape": list(data.shape),
        "dtype": str(data.dtype) if data.dtype.names is None else "structured",
        "axes": [_plain(axis) for axis in found["axes"]],
        "metadata": _plain(found["metadata"]),
        "original_metadata": _plain(found["original_metadata"]),
    }
    at_once = data.nbytes if isinstance(data, np.ndarray) else max(_block_bytes(data), data.itemsize)
    if data.dtype.kind not in "biuf" or data.nbytes > most or at_once > _MOST_AT_ONCE:
        return described
    name = f"{number}.npy"
    target = np.lib.format.open_memmap(folder / name, "w+", data.dtype.newbyteorder("<"), data.shape)
    _fill(target, data)
    target.flush()
    return described | {"file": name}


def _block_bytes(data: Any) -> int:
    return int(math.prod(max(sizes) for sizes in data.chunks) * data.dtype.itemsize)


def _fill(target: Any, data: Any) -> None:
    """Copy block by block, as the library decodes them."""
    if isinstance(data, np.ndarray):
        target[...] = data
        return
    for at in np.ndindex(*data.numblocks):
        starts = [sum(sizes[:n]) for sizes, n in zip(data.chunks, at, strict=True)]
        place = tuple(slice(s, s + sizes[n]) for s, sizes, n in zip(starts, data.chunks, at, strict=True))
        target[place] = data.blocks[at].compute(scheduler="synchronous")


def _plain(value: Any, depth: int = 0) -> Any:
    """Values for JSON; long tables (colours, curves) by their length, what lies too deep not at all."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return "..." if depth >= _DEEPEST else {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf"):
        if np.size(value) > _LONGEST_LIST if isinstance(value, np.ndarray) else len(value) > _LONGEST_LIST:
            return f"{len(value)} values"
        return "..." if depth >= _DEEPEST else [_plain(item, depth + 1) for item in value]
    return str(value).encode("utf-8", "replace").decode("utf-8")[:10_000]
