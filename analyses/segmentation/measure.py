"""Objects of one phase: size, surface, place, grey value; of the whole phase: specific surface and diameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, Params, PluginError, PluginSpec, Port
from analyses.sdk.values import Column, ImageValue, Interval, PropertyValue, TableValue
from analyses.sdk.volumes import SLAB_BYTES, Volume, relative_spacing, slabs
from analyses.segmentation.components import Components, Connectivity, Moments
from analyses.segmentation.surface import halo, surface_by_label, widths
from analyses.segmentation.thickness import BLOCK_BYTES, Thickness, local_thickness

# uint32 labels, smoothed phase and index arrays
_BYTES_PER_VOXEL = 24
_MAX_LABEL = 2**31 - 1
# In longest voxel edges: the worst of aligned fibres, whose sections all have the same error (thickness.py).
_DIAMETER_ERROR = 1.5
# Relative: inclined planes; objects with sharp edges exceed it by one voxel edge over their thickness (surface.py).
_SURFACE_ERROR = 0.03


class MeasureParams(Params):
    """What an object is."""

    connectivity: Connectivity = Field(
        default=26,
        description=(
            "neighbours of a voxel: 6 by faces, 18 by edges too, 26 by corners too; in a plane 6 is 4, 18 and 26 are 8"
        ),
    )
    min_volume_um3: float = Field(
        default=0.0, ge=0, description="objects smaller than this are left out of the table; in a plane, an area in um2"
    )
    phase: int = Field(default=1, ge=0, le=_MAX_LABEL, description="label value of the phase that is measured")
    channel: int = Field(default=0, ge=0, description="index of the channel of `image` whose grey values are averaged")
    time: int = Field(default=0, ge=0, description="index of the time point of `image`")


def run(ctx: Context, params: MeasureParams, inputs: Inputs) -> Outputs:
    """Measure the connected objects of a phase, slab by slab; the result does not depend on the slabs.

    Volumes are voxel counts; surfaces are voxel faces projected on estimated normals
    (``analyses.segmentation.surface``), without the faces in which the border of the image cuts an object.
    ``specific_surface`` is the surface of the whole phase, small objects included, over the volume of the image;
    ``mean_diameter`` the volume-weighted local thickness.  The ``voxel`` part of both errors, and the interval made of
    it, is the largest that was found on digitised shapes of known size; no probability is claimed for it.  A volume of
    one plane gives areas, perimeters and, as specific surface, perimeter over area.
    """
    labels: ImageValue = inputs["labels"]
    volume, grey = Volume(labels), _grey(labels, inputs.get("image"), params)
    spacing = relative_spacing(labels)
    if spacing is None or not labels.calibrated:
        raise PluginError("uncalibrated", spacing=dict(labels.spacing_um))
    objects = find_objects(ctx, volume, grey, params, spacing)
    if objects.count.sum() == 0:
        raise PluginError("phase_absent", phase=params.phase)
    thickness = _thickness(ctx, volume, params, spacing)
    edge = max(length for length, size in zip(spacing, volume.shape, strict=True) if size > 1)
    unit_volume = _voxel(volume, spacing)
    kept = objects.chosen(np.flatnonzero(objects.count * unit_volume >= params.min_volume_um3))
    facts = {
        "phase": params.phase,
        "connectivity": params.connectivity,
        "objects": int(kept.count.size),
        "objects_left_out": int(objects.count.size - kept.count.size),
    }
    return {
        "table": _table(kept, volume, spacing, grey is not None),
        "specific_surface": _specific_surface(objects, volume, unit_volume, edge / thickness.mean, facts),
        "mean_diameter": _mean_diameter(thickness, objects, volume, unit_volume, edge, facts),
    }


def _grey(labels: ImageValue, image: ImageValue | None, params: MeasureParams) -> Volume | None:
    if image is None:
        return None
    sizes = dict(zip(image.axes, image.shape, strict=True))
    for axis, index, name in (("c", params.channel, "channel"), ("t", params.time, "time")):
        if index >= sizes.get(axis, 1):
            raise PluginError("no_such_index", axis=name, index=index, count=sizes.get(axis, 1))
    grey = Volume(image, params.time, params.channel)
    if grey.shape != Volume(labels).shape:
        raise PluginError("shape_mismatch", labels=list(Volume(labels).shape), image=list(grey.shape))
    return grey


def find_objects(
    ctx: Context,
    volume: Volume,
    grey: Volume | None,
    params: MeasureParams,
    spacing: tuple[float, float, float],
    budget: int = 4 * SLAB_BYTES,
) -> Moments:
    """Objects of the phase with additive moments; ``budget`` bounds the bytes of one slab."""
    components = Components(volume.shape, params.connectivity)
    depth, reach, sigma = volume.shape[0], halo(volume.shape, spacing), widths(volume.shape, spacing)
    for start, stop in slabs(volume.shape, _BYTES_PER_VOXEL, budget=budget):
        ctx.check_cancelled()
        low, high = max(0, start - reach), min(stop + reach, depth)
        mask = volume.read(low, high) == params.phase
        found, count = components.label(mask[start - low : stop - low])
        surface = surface_by_label(mask, found, count, spacing, (start - low, stop - low), sigma)
        components.add(found, count, start, surface, None if grey is None else grey.read(start, stop))
        ctx.progress(0.5 * stop / depth, "objects")
    return components.finish()


def _thickness(ctx: Context, volume: Volume, params: MeasureParams, spacing: tuple[float, float, float]) -> Thickness:
    def read(start: int, stop: int) -> npt.NDArray[np.bool_]:
        ctx.check_cancelled()
        return np.asarray(volume.read(start, stop) == params.phase)

    try:
        return local_thickness(
            read,
            volume.shape,
            spacing,
            threads=ctx.threads,
            check=lambda fraction: ctx.progress(0.5 + 0.5 * fraction, "local thickness"),
        )
    except ValueError as error:
        raise PluginError("no_background", phase=params.phase) from error


def _plane(volume: Volume) -> bool:
    return volume.shape[0] == 1


def _voxel(volume: Volume, spacing: tuple[float, float, float]) -> float:
    """Volume of a voxel (um^3); in a plane the area of a pixel (um^2)."""
    return float(np.prod(spacing[1:] if _plane(volume) else spacing))


def _table(objects: Moments, volume: Volume, spacing: tuple[float, float, float], grey: bool) -> TableValue:
    plane = _plane(volume)
    size = objects.count * _voxel(volume, spacing)
    diameter = 2.0 * np.sqrt(size / np.pi) if plane else np.cbrt(6.0 * size / np.pi)
    centre = objects.coordinates / objects.count[:, None]
    columns = [
        Column(
            "id", np.arange(1, size.size + 1), description="number of the object, by its first voxel in raster order"
        )
    ]
    if plane:
        columns += [
            Column("area_um2", size, "um2", 2, "pixels times the area of a pixel"),
            Column(
                "perimeter_um",
                objects.surface,
                "um",
                1,
                "pixel edges projected on estimated normals; cuts do not count",
            ),
        ]
    else:
        columns += [
            Column("volume_um3", size, "um3", 3, "voxels times the volume of a voxel"),
            Column(
                "surface_um2",
                objects.surface,
                "um2",
                2,
                "voxel faces projected on estimated normals; cuts do not count",
            ),
        ]
    what = "circle of the same area" if plane else "sphere of the same volume"
    columns.append(Column("equivalent_diameter_um", diameter, "um", 1, f"diameter of the {what}"))
    for axis, name in ((2, "x"), (1, "y"), (0, "z")):
        values = centre[:, axis] * (0.0 if plane and axis == 0 else spacing[axis])
        columns.append(Column(f"centroid_{name}_um", values, "um", 1, "from the centre of the first voxel"))
    for axis, name in ((2, "x"), (1, "y"), (0, "z")):
        columns.append(Column(f"bbox_{name}_min", objects.box[:, 2 * axis], description="first voxel"))
        columns.append(Column(f"bbox_{name}_max", objects.box[:, 2 * axis + 1], description="last voxel, inclusive"))
    columns.append(Column("touches_border", _touches(objects, volume), description="cut by the border of the image"))
    if grey:
        mean = objects.intensity / objects.count
        columns.append(Column("intensity_mean", mean, description="mean grey value, in the unit of the image"))
    return TableValue(tuple(columns))


def _touches(objects: Moments, volume: Volume) -> npt.NDArray[np.bool_]:
    touches = np.zeros(objects.count.size, np.bool_)
    for axis, size in enumerate(volume.shape):
        if size > 1:
            touches |= (objects.box[:, 2 * axis] == 0) | (objects.box[:, 2 * axis + 1] == size - 1)
    return touches


def _voxel_interval(value: float, error: float) -> Interval:
    return Interval(max(0.0, value - error), value + error, None, ("voxel",))


def _specific_surface(
    objects: Moments, volume: Volume, unit_volume: float, relative_edge: float, facts: Mapping[str, Any]
) -> PropertyValue:
    """``relative_edge``: longest voxel edge over the mean thickness of the phase."""
    plane = _plane(volume)
    surface = float(objects.surface.sum())
    value = surface / (float(np.prod(volume.shape)) * unit_volume)
    error = value * max(_SURFACE_ERROR, relative_edge)
    meaning = (
        "perimeter of the phase per area of the image" if plane else "surface of the phase per volume of the image"
    )
    return PropertyValue(
        "specific_surface",
        value,
        "1/um",
        _voxel_interval(value, error),
        {"voxel": error},
        scale_exponent=-1,
        depends_on_anisotropy=True,
        facts={
            **facts,
            "meaning": meaning,
            "estimator": "voxel faces projected on normals of the phase smoothed over one voxel (Flin et al. 2005)",
            "voxel_error": "as for objects with sharp edges; smooth ones err less; detail under a voxel is not in it",
            "cuts_by_the_border": "not counted",
        },
    )


def _mean_diameter(
    thickness: Thickness,
    objects: Moments,
    volume: Volume,
    unit_volume: float,
    edge: float,
    facts: Mapping[str, Any],
) -> PropertyValue:
    surface = float(objects.surface.sum())
    from_surface = 4.0 * float(objects.count.sum()) * unit_volume / surface if surface else None
    return PropertyValue(
        "mean_diameter",
        thickness.mean,
        "um",
        _voxel_interval(thickness.mean, _DIAMETER_ERROR * edge),
        {"voxel": _DIAMETER_ERROR * edge},
        scale_exponent=1,
        depends_on_anisotropy=True,
        facts={
            **facts,
            "definition": "local thickness (largest sphere in the phase over each point), mean weighted by volume",
            "spread_um": thickness.spread,
            "p10_um": thickness.quantile(0.1),
            "median_um": thickness.quantile(0.5),
            "p90_um": thickness.quantile(0.9),
            "from_surface_um": from_surface,
            "from_surface_meaning": "4 area / perimeter: the diameter if the sections were discs"
            if _plane(volume)
            else "4 volume / surface: the diameter if the phase were free cylinders; contacts make it larger",
        },
    )


def cost(params: MeasureParams, inputs: Mapping[str, Any]) -> Cost:
    """Slabs for the objects, blocks for the thickness; the thickness takes most of the time."""
    samples = float(np.prod(Volume(inputs["labels"]).shape))
    memory = min(int(samples) * 60, 5 * SLAB_BYTES + BLOCK_BYTES) + 64 * 2**20
    return Cost(memory, 0.2 + 3e-6 * samples)


SPEC = PluginSpec(
    name="segmentation.measure",
    version="1.0.1",
    title="Objects and surface of a phase",
    summary=(
        "Connected objects with volume, surface, diameter, centroid; specific surface and local thickness of the phase."
    ),
    params=MeasureParams,
    inputs=(
        Port("labels", "labels", "labels, one of which is the phase", dims=(1, 2, 3), calibrated=True),
        Port("image", "image", "grey values on the same samples", dims=(1, 2, 3), required=False),
    ),
    outputs=(
        Port("table", "table", "one row an object"),
        Port("specific_surface", "property", "surface of the phase over the volume of the image"),
        Port("mean_diameter", "property", "volume-weighted local thickness: for fibres their diameter"),
    ),
    run=run,
    cost=cost,
    exit_codes=(
        ExitCode(100, "phase_absent", "no voxel has label {phase}"),
        ExitCode(101, "no_background", "label {phase} fills the volume; nothing bounds it"),
        ExitCode(102, "shape_mismatch", "labels have {labels} samples along z, y, x, the image {image}"),
        ExitCode(103, "uncalibrated", "lengths need a spacing along every axis; there is {spacing}"),
        ExitCode(104, "no_such_index", "{axis} {index} does not exist; the image has {count}"),
    ),
    references=(
        (
            "Flin, F., Brzoska, J.-B., Coeurjolly, D., Pieritz, R. A., Lesaffre, B., Coleou, C., Lamboley, P., "
            "Teytaud, O., Vignoles, G. L., Delesse, J.-F. (2005). Adaptive estimation of normals and surface area "
            "for discrete 3-D objects: application to snow binary data from X-ray tomography. IEEE Trans. Image "
            "Process. 14, 585-596."
        ),
        (
            "Hildebrand, T., Ruegsegger, P. (1997). A new method for the model-independent assessment of thickness "
            "in three-dimensional images. J. Microsc. 185, 67-75."
        ),
    ),
)
