"""What taking in the files of an outside activity does in its own process: tables and images.  Without Django."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from analyses.sdk.child import ChildContext, ChildFailure
from analyses.sdk.values import SPATIAL_AXES, TABLE_FILE
from apps.imaging.ingest_child import ingest

MAX_COLUMNS = 1000
_PARQUET = b"PAR1"
_TEXT_TABLES = (".csv", ".tsv")
_UNIT = re.compile(r"^(?P<name>.*\S)\s*\[(?P<unit>[^\[\]]{1,32})\]$")
_HEAD_BYTES = 1 << 16


def take(request: Mapping[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Turn the files of an outside activity into stores.

    Parameters
    ----------
    request : mapping
        As for :func:`apps.imaging.ingest_child.ingest`, and ``like``: axes and shape of the image whose grid labels
        lie on, or None.
    ctx : ChildContext
        Tables go to ``staging/table-<number>``, images as an ingest writes them.

    Returns
    -------
    dict
        ``tables`` (``store``, ``file``, ``name``, ``columns``, ``rows``), ``images``, ``header`` and ``readers``.

    Raises
    ------
    ChildFailure
        A file that cannot be read as it claims to be, or labels that lie on another grid.
    """
    tables: list[dict[str, Any]] = []
    rest: list[Mapping[str, str]] = []
    for file in request["files"]:
        path, name = Path(file["path"]), file["name"]
        if is_table(path, name):
            tables.append(_take_table(file, len(tables) + 1, ctx))
        else:
            rest.append(file)
    found = _take_images({**request, "files": rest}, bool(tables), ctx) if rest else _nothing()
    for described in found["images"]:
        check_grid(described, request.get("like"))
    return {"tables": tables} | {name: found[name] for name in _nothing()}


def is_table(path: Path, name: str) -> bool:
    """Tell whether a file is a table: Parquet by its first bytes, text by its name."""
    with path.open("rb") as stream:
        return stream.read(4) == _PARQUET or name.lower().endswith(_TEXT_TABLES)


def _take_images(request: Mapping[str, Any], optional: bool, ctx: ChildContext) -> dict[str, Any]:
    """Read the files that are no tables; beside a table, one of no known format is kept and not read."""
    try:
        return ingest(request, ctx)
    except ChildFailure as failure:
        if not (optional and failure.code == "unsupported_format"):
            raise
        ctx.log(f"kept beside the table and not read: {failure.message}")
        return _nothing()


def _nothing() -> dict[str, Any]:
    return {"images": [], "header": {}, "readers": []}


def check_grid(described: Mapping[str, Any], like: Mapping[str, Any] | None) -> None:
    """Refuse labels that give several values a place, or lie on another grid than the image they are labels of."""
    if described["kind"] != "labels":
        return
    sizes = dict(zip(described["axes"], described["shape"], strict=True))
    several = {axis: size for axis, size in sizes.items() if axis not in SPATIAL_AXES and size > 1}
    if several:
        raise ChildFailure(
            "not_labels",
            f"{described['name']} has {_words(several)}; labels have one value a place, in z, y and x",
            {"shape": sizes},
        )
    if like is None:
        return
    wanted = dict(zip(like["axes"], like["shape"], strict=True))
    grid, other = ({axis: group.get(axis, 1) for axis in SPATIAL_AXES} for group in (sizes, wanted))
    if grid != other:
        raise ChildFailure(
            "grid_mismatch",
            f"{described['name']} has {_words(grid)} samples, the image it is to be labels of has {_words(other)}; "
            "give labels on the grid of that image",
            {"labels": grid, "image": other},
        )


def _words(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in sizes.items())


# ----------------------------------------------------------------------------------------------------------- tables


def _take_table(file: Mapping[str, str], number: int, ctx: ChildContext) -> dict[str, Any]:
    ctx.check_cancelled()
    name = file["name"]
    table = _plain_table(_read_table(Path(file["path"]), name), name)
    folder = ctx.staging / f"table-{number}"
    folder.mkdir()
    pq.write_table(table, folder / TABLE_FILE, compression="zstd")
    ctx.log(f"{name}: {table.num_rows} rows of {table.num_columns} columns")
    return {
        "store": folder.name,
        "file": file["id"],
        "name": Path(name).stem,
        "columns": [column_of(heading) for heading in table.column_names],
        "rows": table.num_rows,
    }


def _read_table(path: Path, name: str) -> pa.Table:
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if head.startswith(_PARQUET):
            return pq.read_table(path)
        return pv.read_csv(path, parse_options=pv.ParseOptions(delimiter=delimiter_of(head)))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ChildFailure("not_a_table", f"{name} cannot be read as a table: {str(error)[:500]}") from error


def delimiter_of(head: bytes) -> str:
    """The sign that parts the columns: of comma, semicolon and tab the one that stands most often in the first line."""
    line = head.splitlines()[0] if head.splitlines() else b""
    return max(",;\t", key=lambda sign: line.count(sign.encode()))


def column_of(heading: str) -> dict[str, Any]:
    """Describe a column by its heading, ``name [unit]``; how it moves with a spacing nobody said."""
    match = _UNIT.match(heading)
    name, unit = (match["name"], match["unit"].strip()) if match else (heading, "")
    return {
        "name": name,
        "unit": unit,
        "scale_exponent": None,
        "description": "as it came from outside",
        "depends_on_anisotropy": True,
    }


def _plain_table(table: pa.Table, name: str) -> pa.Table:
    """The table with headings checked and every value one that JSON and CSV can hold."""
    headings = [heading.strip().lstrip("\ufeff") for heading in table.column_names]
    if not 0 < len(headings) <= MAX_COLUMNS:
        raise ChildFailure("not_a_table", f"{name} has {len(headings)} columns; 1 to {MAX_COLUMNS} are taken")
    _check_headings(headings, name)
    columns = [_plain_column(table.column(place), f"{name}, {head}") for place, head in enumerate(headings)]
    return pa.Table.from_arrays(columns, names=headings)


def _check_headings(headings: Sequence[str], name: str) -> None:
    for place, heading in enumerate(headings, 1):
        if not heading or len(heading) > 200 or "\x00" in heading:
            raise ChildFailure("not_a_table", f"column {place} of {name} has no heading of 1 to 200 characters")
        if headings.index(heading) != place - 1:
            raise ChildFailure("not_a_table", f"the heading {heading!r} stands twice in {name}")


def _plain_column(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind):
        values = column.cast(pa.float64())
        if pc.any(pc.is_inf(values)).as_py():
            raise ChildFailure("not_a_table", f"{where}: an infinite number is no measured value")
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise ChildFailure("not_a_table", f"{where}: values of type {kind} are taken in no table")
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise ChildFailure("not_a_table", f"{where}: values of type {kind} are taken in no table") from error
