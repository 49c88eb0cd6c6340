"""What a preview does in its own process: read headers, decode no samples, write nothing.  Without Django."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analyses.sdk.child import ChildContext
from analyses.sdk.omezarr_layout import Description, check_description
from analyses.sdk.storable import storable_json, storable_text
from analyses.sdk.values import SPATIAL_AXES
from apps.imaging.ingest_files import groups_of, read_file
from apps.imaging.readers import Limits, ReaderError, ReadImage
from apps.imaging.readers.groups import Group

MAX_IMAGES = 200  # described; more are counted
MAX_TEXT = 255
Files = Sequence[Mapping[str, str]]


def preview(request: Mapping[str, Any], ctx: ChildContext) -> dict[str, Any]:
    """Say what an ingest of the files would give.

    Parameters
    ----------
    request : mapping
        ``files`` (``id``, ``path``, ``name`` of each) and ``limits`` of the readers.

    Returns
    -------
    dict
        ``groups``: of each its ``primary`` file, ``side_cars``, ``format``, ``why``, ``images`` and ``refusals`` (file,
        code, message).  What one file is refused for does not keep the others from being shown.
    """
    limits = Limits(**request["limits"])
    groups = groups_of(request["files"])
    shown = []
    for number, group in enumerate(groups):
        ctx.check_cancelled()
        ctx.progress(number / len(groups), storable_text(group.primary, MAX_TEXT))
        shown.append(_show(group, request["files"], limits))
    return {"groups": shown}


def _show(group: Group, files: Files, limits: Limits) -> dict[str, Any]:
    named = {file["name"]: file for file in files}
    images: list[dict[str, Any]] = []
    refusals: list[dict[str, str]] = []
    read_with: list[str] = []
    count = 0
    for name in (group.primary, *group.side_cars):
        if name in read_with:
            continue
        try:
            format_, found = read_file(named[name], files, limits)
        except ReaderError as error:
            refusals.append({"file": name, "code": error.code, "message": storable_text(error.message)})
            continue
        count += len(found)
        images += [describe(image, name, format_) for image in found[: MAX_IMAGES - len(images)]]
        read_with += [side for image in found for side in image.side_cars]
    if images:  # beside an image, a file that no reader knows is kept as it is
        refusals = [refusal for refusal in refusals if refusal["code"] != "unsupported_format"]
    side_cars = list(dict.fromkeys([*group.side_cars, *read_with]))
    told = asdict(group)
    if images and group.format == "unknown":
        told |= {"format": images[0]["reader"], "why": "its reader knows it by its content"}
    return told | {
        "side_cars": [name for name in side_cars if name != group.primary],
        "images": images,
        "image_count": count,
        "refusals": refusals,
    }


def describe(image: ReadImage, file: str, format_: str) -> dict[str, Any]:
    """What a person confirms before an ingest: shape, scale, facts, and what is missing."""
    spacing = {
        axis: None
        if image.spacing_um.get(axis) is None
        else {"value": image.spacing_um[axis], "unit": "um", "u": image.spacing_u_um.get(axis)}
        for axis in SPATIAL_AXES
    }
    described: dict[str, Any] = storable_json(
        {
            "file": file,
            "reader": format_,
            "name": image.name,
            "kind": image.kind,
            "modality": image.modality,
            "axes": image.axes,
            "shape": image.shape,
            "dtype": image.dtype.name,
            "spacing": spacing,
            "spacing_read_from": image.spacing_source,
            "calibrated": image.calibrated,
            "signal": [asdict(axis) for axis in image.signal] or None,
            "channels": [asdict(channel) for channel in image.channels],
            "handedness": image.handedness,
            "specimen_area": image.specimen_area,
            "facts": dict(image.facts),
            "warnings": warnings_of(image),
        }
    )
    return described


def warnings_of(image: ReadImage) -> list[str]:
    """What an ingest would refuse, or take and leave unknown."""
    found = []
    sizes = dict(zip(image.axes, image.shape, strict=True))
    missing = [axis for axis in SPATIAL_AXES if sizes.get(axis, 1) > 1 and image.spacing_um.get(axis) is None]
    if missing:
        found.append(f"uncalibrated: no length in the file along {', '.join(reversed(missing))}")
    if image.signal and image.signal[0].unit == "1":
        found.append("the signal axis has no unit: its samples are counted")
    try:
        described = Description(image.axes, image.kind, image.spacing_um, image.channels, signal=image.signal)
        check_description(described, image.shape, image.dtype)
    except ValueError as error:
        found.append(f"an ingest would refuse it: {error}")
    return found
