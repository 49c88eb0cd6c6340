"""The metadata of a store under another scale: what a reader is given for an image whose scale was set after ingest.

The store itself is never changed; its samples and its own ``zarr.json`` keep their digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from analyses.sdk.omezarr_layout import ATTRIBUTE
from analyses.sdk.values import SPATIAL_AXES


def rescaled_group(text: bytes, spacing_um: Mapping[str, float | None], *, calibrated: bool) -> bytes:
    """Return the ``zarr.json`` of a group that this project wrote, with other spacings.

    Parameters
    ----------
    text
        The group's ``zarr.json`` as stored.
    spacing_um
        Spacing along each spatial axis in micrometres; None or absent where there is none.
    calibrated
        Every spatial axis longer than one sample has a spacing.

    Returns
    -------
    bytes
        The same metadata; axes, scales and translations of every level and our own attributes follow the new spacings.
    """
    group: dict[str, Any] = json.loads(text)
    attributes = group["attributes"]
    own = attributes[ATTRIBUTE]
    before = {axis: own["spacing_um"].get(axis) for axis in SPATIAL_AXES}
    after = {axis: spacing_um.get(axis) for axis in SPATIAL_AXES}
    for multiscale in attributes["ome"]["multiscales"]:
        names = [axis["name"] for axis in multiscale["axes"]]
        multiscale["axes"] = [_axis(axis, after) for axis in multiscale["axes"]]
        factors = [_factor(name, before, after) for name in names]
        for dataset in multiscale["datasets"]:
            for transform in dataset["coordinateTransformations"]:
                kind = transform["type"]
                transform[kind] = [value * factor for value, factor in zip(transform[kind], factors, strict=True)]
    own |= {"spacing_um": after, "calibrated": calibrated}
    return json.dumps(group, indent=2).encode()


def _axis(axis: Mapping[str, Any], spacing: Mapping[str, float | None]) -> dict[str, Any]:
    kept = {name: value for name, value in axis.items() if name != "unit" or axis["name"] not in SPATIAL_AXES}
    return kept | ({"unit": "micrometer"} if spacing.get(axis["name"]) is not None else {})


def _factor(name: str, before: Mapping[str, float | None], after: Mapping[str, float | None]) -> float:
    return (after.get(name) or 1.0) / (before.get(name) or 1.0)
