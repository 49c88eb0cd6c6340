"""What an ingest does in its own process: decode the files, write the stores, say what they are.  Without Django."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from analyses.sdk.child import ChildContext, ChildFailure
from analyses.sdk.omezarr import StoreInfo, write_image
from analyses.sdk.omezarr_layout import Description, check_description
from analyses.sdk.omezarr_read import MAX_NAME, channel_of
from analyses.sdk.storable import storable_json, storable_text
from analyses.sdk.values import SPATIAL_AXES, Channel, ImageKind
from apps.imaging.ingest_files import Found, Taken, read_files
from apps.imaging.readers import Limits, ReaderError, ReadImage

READERS_VERSION = "1.0.0"


def ingest(request: Mapping[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Turn source files into OME-Zarr stores.

    Parameters
    ----------
    request : mapping
        ``files`` (``id``, ``path``, ``name`` of each), ``overrides`` (``spacing``, ``handedness``, ``name``, all
        optional), ``limits`` of the readers and, optional, the ``kind`` that all images are read as, e.g. ``labels``.
    ctx : ChildContext
        Stores go to ``staging/<name>``, one an image.

    Returns
    -------
    dict
        ``images`` (one description a store), ``header`` (whole, by file and image), ``facts`` and ``readers``.

    Raises
    ------
    ChildFailure
        A file that cannot be read as it claims to be; the code says why.
    """
    limits = Limits(**request["limits"])
    try:
        taken = read_files(request["files"], limits, ctx)
        taken.found = [_read_as(item, request.get("kind")) for item in taken.found]
        images = _write_all(taken.found, request["overrides"], request["files"], ctx)
    except ReaderError as error:
        raise ChildFailure(error.code, error.message, storable_json(error.details)) from error
    return {
        "images": images,
        "header": _headers(taken),
        "facts": _facts(images, taken, request["files"]),
        "readers": [
            {"name": f"corrspace reader: {name}", "version": READERS_VERSION} for name in sorted(taken.readers)
        ],
    }


def _read_as(item: Found, kind: ImageKind | None) -> Found:
    """The same samples, read as another kind: a file does not say that its grey values are labels."""
    return item if kind is None else replace(item, image=replace(item.image, kind=kind, channels=()))


def _write_all(
    found: list[Found], overrides: Mapping[str, Any], files: list[Mapping[str, str]], ctx: ChildContext
) -> list[dict[str, Any]]:
    prepared = [_describe(item, overrides, number, len(found)) for number, item in enumerate(found, 1)]
    ids = {file["name"]: file["id"] for file in files}
    for item, described in zip(found, prepared, strict=True):
        beside = [name for name in item.image.side_cars if name in ids and name != item.file["name"]]
        described["side_cars"] = [ids[name] for name in beside]
    sizes = [math.prod(item.image.shape) * item.image.dtype.itemsize for item in found]
    written = []
    for number, (item, described) in enumerate(zip(found, prepared, strict=True)):
        share = (sum(sizes[:number]) / sum(sizes), sizes[number] / sum(sizes))
        info = _write(item, described, share, ctx)
        ctx.seal(described["store"], info.digest)
        ctx.log(f"{described['name']}: {info.shape} {described['dtype']}, {len(info.levels)} levels, {info.size} bytes")
        written.append(described | {"levels": _levels(info)})
    return written


def _write(item: Found, described: Mapping[str, Any], share: tuple[float, float], ctx: ChildContext) -> StoreInfo:
    begin, part = share

    def progress(fraction: float) -> None:
        ctx.check_cancelled()
        ctx.progress(begin + part * fraction, f"writing {described['name']}")

    return write_image(
        ctx.staging / described["store"],
        item.image.array,
        axes=item.image.axes,
        spacing_um=_lengths(described["spacing"]),
        kind=item.image.kind,
        channels=_channels(item.image),
        signal=item.image.signal,
        name=described["name"],
        threads=ctx.threads,
        progress=progress,
    )


def _lengths(spacing: Mapping[str, Any]) -> dict[str, float | None]:
    return {axis: entry["value"] if entry else None for axis, entry in spacing.items()}


def _describe(item: Found, overrides: Mapping[str, Any], number: int, total: int) -> dict[str, Any]:
    """What the row of an image will say; refuses before anything is written what a store cannot mean."""
    image = item.image
    spacing = combine_spacing(image, overrides.get("spacing") or {})
    described = {
        "store": f"image-{number}",
        "file": item.file["id"],
        "name": _name(image, overrides.get("name"), number, total),
        "kind": image.kind,
        "axes": list(image.axes),
        "shape": list(image.shape),
        "dtype": image.dtype.name,
        "spacing": spacing,
        "channels": [asdict(channel) for channel in _channels(image)],
        "signal": [asdict(axis) for axis in image.signal] or None,
        "modality": image.modality,
        "handedness": overrides.get("handedness") or image.handedness,
        "specimen_area": _area(image),
        "grid": None if image.grid is None else asdict(image.grid),
        "facts": storable_json(dict(image.facts) | _spacing_facts(image, spacing)),
    }
    try:
        check_description(
            Description(image.axes, image.kind, _lengths(spacing), _channels(image), signal=image.signal),
            image.shape,
            image.dtype,
        )
    except ValueError as error:
        raise ChildFailure("invalid_metadata", f"{item.file['name']}: {error}") from error
    return described


def combine_spacing(image: ReadImage, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Spacing of z, y and x with its source: what was typed goes before what the file says."""
    spacing: dict[str, Any] = {}
    for axis in SPATIAL_AXES:
        stated = image.spacing_um.get(axis)
        known = {"value": stated, "unit": "um", "source": "file", "u": image.spacing_u_um.get(axis)}
        from_file = known if stated is not None else None
        spacing[axis] = typed.get(axis) or from_file
    return spacing


def _spacing_facts(image: ReadImage, spacing: Mapping[str, Any]) -> dict[str, Any]:
    """The spacing in force by axis, and what the file says of it where a person said otherwise."""
    facts: dict[str, Any] = {}
    for axis, entry in spacing.items():
        stated = image.spacing_um.get(axis)
        if entry is not None:
            facts[f"spacing_{axis}"] = {"value": entry["value"], "unit": "um", "source": entry["source"]}
        if entry is not None and entry["source"] == "user" and stated is not None:
            facts[f"spacing_{axis}_in_file"] = {"value": stated, "unit": "um", "source": "file"}
    if image.spacing_source:
        facts["spacing_read_from"] = {"value": image.spacing_source, "unit": None, "source": "file"}
    return facts


def _name(image: ReadImage, typed: str | None, number: int, total: int) -> str:
    if typed:
        return typed if total == 1 else f"{typed} {number}"
    return storable_text(image.name, MAX_NAME).strip() or f"image {number}"


def _channels(image: ReadImage) -> tuple[Channel, ...]:
    """The channels as row and store hold them, whatever the reader found in the file."""
    return tuple(channel_of(asdict(channel), number) for number, channel in enumerate(image.channels))


def _area(image: ReadImage) -> dict[str, list[int]] | None:
    if image.specimen_area is None:
        return None
    y0, y1, x0, x1 = image.specimen_area
    return {"y": [y0, y1], "x": [x0, x1]}


def _levels(info: StoreInfo) -> list[dict[str, Any]]:
    return [{"path": level.path, "shape": list(level.shape)} for level in info.levels]


def _headers(taken: Taken) -> dict[str, Any]:
    """Raw headers, whole: by file, then by place of the image in it; a side-car's stands with the image it is of."""
    headers: dict[str, Any] = {}
    for item in taken.found:
        headers.setdefault(item.file["name"], {"images": []})["images"].append(storable_json(dict(item.image.header)))
    return headers | {name: {"side_car_of": primary} for name, primary in taken.side_cars.items()}


def _facts(images: list[dict[str, Any]], taken: Taken, files: list[Mapping[str, str]]) -> dict[str, Any]:
    """Facts of the whole acquisition: of each name the first value; every image keeps its own."""
    facts: dict[str, Any] = {}
    for described in images:
        for name, entry in described["facts"].items():
            facts.setdefault(name, entry)
    beside = {*taken.side_cars, *taken.unread}
    if beside:
        names = [file["name"] for file in files if file["name"] in beside]
        facts["side_car_files"] = {"value": names, "unit": None, "source": "derived"}
    return facts
