"""The tree of named values that JEOL's Analysis Station writes its headers and samples in.

Each node is a mark (1), the length of its name, its name, its type, the length of its value and its value; the nodes
inside it follow, and 255 closes it.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from apps.imaging.readers.errors import MetadataError, TruncatedFileError
from apps.imaging.readers.tiff_header import text

_TEXT = {12, 13, 20}
_NUMBERS = {
    1: "u1", 2: "<u2", 3: "<i4", 4: "<f4", 5: "<f8", 6: "u1", 7: "<u2", 8: "<i4", 9: "<f4", 10: "<f8", 11: "u1",
    14: "<u2", 65552: "u1", 65553: "u1",
}  # fmt: skip
_MOST_NODES = 100_000
_DEEPEST = 40
_LONGEST_NAME = 1024
Tree = dict[str, Any]


def parse_tree(data: bytes, start: int, name: str) -> Tree:
    """The tree that begins at ``start``.

    A node without others inside is its value; one with others is a dict, its own value under ``""``.

    Raises
    ------
    ReaderError
        Cut off, too deep, or of types that are not known.
    """
    open_nodes: list[tuple[str, Tree]] = [("", {})]
    at = start
    for _ in range(_MOST_NODES):
        mark = _take(data, at, 1, name)[0]
        at += 1
        if mark == 1:
            label, value, at = _node(data, at, name)
            if len(open_nodes) > _DEEPEST:
                raise MetadataError(f"{name} has a header deeper than {_DEEPEST} levels")
            if label.rstrip("0123456789").endswith("PAGE") and isinstance(value, str):
                label, value = f"{label}_{value}", None
            open_nodes.append((label, {} if value is None else {"": value}))
        elif mark == 255 and len(open_nodes) > 1:
            label, node = open_nodes.pop()
            open_nodes[-1][1][label] = node[""] if set(node) == {""} else node
        else:
            break
    else:
        raise MetadataError(f"{name} has a header of more than {_MOST_NODES} values")
    while len(open_nodes) > 1:
        label, node = open_nodes.pop()
        open_nodes[-1][1][label] = node
    return open_nodes[0][1]


def _node(data: bytes, at: int, name: str) -> tuple[str, Any, int]:
    """Name and value of a node, and where the next begins."""
    length = struct.unpack("<i", _take(data, at, 4, name))[0]
    if not 0 < length <= _LONGEST_NAME:
        raise MetadataError(f"{name} has a value whose name is {length} bytes long, at {at}")
    # Some names have a letter of a Japanese code page, or nothing else.
    label = text(_take(data, at + 4, length, name).split(b"\0")[0].decode("ascii", "ignore")) or "unnamed"
    kind, size = struct.unpack("<ii", _take(data, at + 4 + length, 8, name))
    at += 12 + length
    if kind == 0:
        return label, None, at
    if size < 0:
        raise MetadataError(f"{name} has a value {label!r} of {size} bytes")
    raw = _take(data, at, size, name)
    return label, _value(raw, kind, label, name), at + size


def _value(raw: bytes, kind: int, label: str, name: str) -> Any:
    if kind in _TEXT:
        return text(raw.rstrip(b"\0").decode("utf-8", "replace"))
    if kind not in _NUMBERS:
        raise MetadataError(f"{name} has a value {label!r} of the type {kind}, which is not known")
    dtype = np.dtype(_NUMBERS[kind])
    found = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)
    return found[0].item() if len(found) == 1 else found


def _take(data: bytes, at: int, count: int, name: str) -> bytes:
    found = data[at : at + count]
    if at < 0 or len(found) < count:
        raise TruncatedFileError(f"{name} ends at {len(data)}; its header goes on at {at} for {count} bytes")
    return found


def within(tree: Any, *keys: str) -> Any:
    """A value by its path; None where a part of it is not there."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree.get("") if isinstance(tree, dict) and "" in tree else tree
