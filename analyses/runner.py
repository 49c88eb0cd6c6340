"""Runs one plugin inside a child process: JSON in, staged bytes and JSON out.

``run`` is the target of the job kernel's child: the parent has resolved ids to paths and values before and writes
rows and lineage
after; nothing here knows of either.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analyses import registry
from analyses.sdk import omezarr
from analyses.sdk.contract import Params, PluginSpec, Port
from analyses.sdk.values import (
    SPATIAL_AXES,
    TABLE_FILE,
    Channel,
    ImageKind,
    ImageValue,
    OutputImage,
    PropertyValue,
    SignalAxis,
    TableValue,
    TransformValue,
    WritableArray,
)


class ChildContext(Protocol):
    """What the job kernel lends to a child."""

    staging: Path
    scratch: Path
    seed: int

    def progress(self, fraction: float, text: str = "") -> None:
        """Report progress."""
        ...

    def log(self, text: str) -> None:
        """Write a line to the log."""
        ...

    def check_cancelled(self) -> None:
        """Raise if the job is to end."""
        ...


class PluginContext:
    """A plugin's ``Context`` over the child's."""

    def __init__(self, child: ChildContext, spec: PluginSpec) -> None:
        self._child = child
        self._ports = {port.name: port for port in spec.outputs}
        self.seed = child.seed
        self.rng = np.random.default_rng(child.seed)
        self.scratch = child.scratch
        self.threads = max(1, len(os.sched_getaffinity(0)))

    def create_array(
        self, port: str, *, shape: Sequence[int], dtype: Any, axes: Sequence[str], chunks: Sequence[int] | None = None
    ) -> WritableArray:
        """Stage level 0 of an output image; KeyError for a port the plugin does not have."""
        kind: ImageKind = "labels" if self._ports[port].type == "labels" else "intensity"
        return omezarr.StagedArray.create(
            self._child.staging / port, shape=shape, dtype=dtype, axes=axes, kind=kind, chunks=chunks
        )

    def progress(self, fraction: float, text: str = "") -> None:
        """Report progress; the last tenth is kept for pyramids and hashes."""
        self._child.progress(0.9 * fraction, text)

    def log(self, text: str) -> None:
        """Write one line to the job's log."""
        self._child.log(text)

    def check_cancelled(self) -> None:
        """Raise Cancelled if the job is to end."""
        self._child.check_cancelled()


class ContractError(RuntimeError):
    """A plugin gave back what its ports do not say: a bug in the plugin."""


def open_image(description: Mapping[str, Any]) -> ImageValue:
    """Open a described image lazily (see ``describe_image`` of the server for the keys)."""
    reader = omezarr.open_store(Path(description["path"]))
    return ImageValue(
        id=description["id"],
        kind=description["kind"],
        array=reader.level(0),
        axes=tuple(description["axes"]),
        spacing_um=description["spacing_um"],
        spacing_u_um=description["spacing_u_um"],
        channels=tuple(Channel(**channel) for channel in description["channels"]),
        frame=description["frame"],
        handedness=description["handedness"],
        digest=description["digest"],
        name=description["name"],
        signal=tuple(SignalAxis(**axis) for axis in description.get("signal") or ()),
        facts=description["facts"],
        levels=tuple(reader.level(number) for number in range(1, len(reader.levels))),
    )


def open_transform(description: Mapping[str, Any]) -> TransformValue:
    """Turn a described transform into a value; its frames are ids."""
    given = dict(description)
    arrays = {
        name: None if given[name] is None else np.asarray(given[name], np.float64) for name in ("matrix", "covariance")
    }
    return TransformValue(**(given | arrays))


def open_value(described: Mapping[str, Any]) -> Any:
    """Turn one resolved input into a value."""
    if described["type"] in ("image", "labels"):
        return open_image(described["value"])
    if described["type"] == "property":
        return PropertyValue(**described["value"])
    if described["type"] == "transform":
        return open_transform(described["value"])
    raise ContractError(f"an input of type {described['type']!r} cannot be opened")


def _finish_image(
    port: Port, output: OutputImage, child: ChildContext, inputs: Mapping[str, ImageValue]
) -> dict[str, Any]:
    like = inputs[output.like]
    info = omezarr.finish_pyramid(
        child.staging / port.name,
        spacing_um={axis: like.spacing_um.get(axis) for axis in SPATIAL_AXES},
        kind=output.kind,
        channels=output.channels,
        name=output.name or port.name,
        progress=lambda fraction: child.check_cancelled(),
    )
    return {
        "type": port.type,
        "store": port.name,
        "like": output.like,
        "of": output.of or output.like,
        "handedness": output.handedness,
        "kind": output.kind,
        "axes": list(info.axes),
        "shape": list(info.shape),
        "dtype": info.dtype.name,
        "levels": [{"path": level.path, "shape": list(level.shape)} for level in info.levels],
        "channels": [vars(channel) for channel in output.channels],
        "name": output.name or port.name,
        "facts": dict(output.facts),
    }


def _finish_table(port: Port, output: TableValue, child: ChildContext) -> dict[str, Any]:
    folder = child.staging / port.name
    folder.mkdir()
    # A value that does not exist is null: JSON holds no NaN.
    arrays = [pa.array(np.asarray(column.values), from_pandas=True) for column in output.columns]
    table = pa.Table.from_arrays(arrays, names=[column.name for column in output.columns])
    pq.write_table(table, folder / TABLE_FILE, compression="zstd")
    columns = [
        {
            "name": column.name,
            "unit": column.unit,
            "scale_exponent": column.scale_exponent,
            "description": column.description,
            "depends_on_anisotropy": column.depends_on_anisotropy,
        }
        for column in output.columns
    ]
    return {"type": "table", "store": port.name, "columns": columns, "rows": table.num_rows}


def plain(value: Any) -> Any:
    """Turn numpy numbers, arrays, tuples and mappings into what JSON holds; a non-finite number is refused."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        raise ContractError(f"{value} is not a result; a value that does not exist is None")
    return value


def _finish_property(output: PropertyValue) -> dict[str, Any]:
    interval = None if output.interval is None else vars(output.interval)
    return {
        "type": "property",
        "value": plain(
            {
                "name": output.name,
                "value": output.value,
                "unit": output.unit,
                "interval": interval,
                "error": output.error,
                "facts": output.facts,
                "scale_exponent": output.scale_exponent,
                "depends_on_anisotropy": output.depends_on_anisotropy,
            }
        ),
    }


def _finish_transform(output: TransformValue, images: Mapping[str, ImageValue]) -> dict[str, Any]:
    for end in (output.source, output.target):
        if end not in images:
            raise ContractError(f"a transform leads from image to image; {end!r} is no input image")
    names = ("kind", "matrix", "covariance", "degrees_of_freedom", "residual_um", "no_residual_reason", "facts")
    value = {name: getattr(output, name) for name in names}
    landmarks = [vars(pair) for pair in output.landmarks]
    return {
        "type": "transform",
        "value": plain(value | {"landmarks": landmarks, "source": output.source, "target": output.target}),
    }


def _finish(port: Port, output: Any, child: ChildContext, inputs: Mapping[str, ImageValue]) -> Any:
    """Describe what a port gave: one description, or a list of them where it gives many."""
    if not port.many:
        return _finish_one(port, output, child, inputs)
    if not isinstance(output, list):
        raise ContractError(f"port {port.name!r} gives many, the plugin gave {type(output).__name__}")
    return [_finish_one(port, item, child, inputs) for item in output]


def _finish_one(port: Port, output: Any, child: ChildContext, inputs: Mapping[str, ImageValue]) -> dict[str, Any]:
    if isinstance(output, OutputImage) and port.type in ("image", "labels"):
        return _finish_image(port, output, child, inputs)
    if isinstance(output, TableValue) and port.type == "table":
        return _finish_table(port, output, child)
    if isinstance(output, PropertyValue) and port.type == "property":
        return _finish_property(output)
    if isinstance(output, TransformValue) and port.type == "transform":
        return _finish_transform(output, inputs)
    raise ContractError(f"port {port.name!r} is of type {port.type}, the plugin gave {type(output).__name__}")


def _images(inputs: Mapping[str, Any]) -> dict[str, ImageValue]:
    """Input images by id and by port, so that an output can name either as the one it is like."""
    found: dict[str, ImageValue] = {}
    for port, value in inputs.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ImageValue):
                found.setdefault(port, item)
                found[item.id] = item
    return found


def _as_stored(images: Mapping[str, ImageValue], described: Mapping[str, Any]) -> dict[str, ImageValue]:
    """Input images with their nominal spacing: plugins are given the calibrated one, stores keep the nominal."""
    items = [item for value in described.values() for item in (value if isinstance(value, list) else [value])]
    nominal = {item["value"]["id"]: item["value"]["nominal_um"] for item in items if "nominal_um" in item["value"]}
    return {
        name: replace(image, spacing_um=nominal[image.id]) if image.id in nominal else image
        for name, image in images.items()
    }


def run(request: Mapping[str, Any], child: ChildContext) -> dict[str, Any]:
    """Run a plugin.

    Parameters
    ----------
    request : mapping
        ``plugin``, ``version``, ``params``, ``inputs`` (port -> described value or list of them).
    child : ChildContext
        The kernel's context; stores appear below ``child.staging``, one folder a port.

    Returns
    -------
    dict
        Port -> description of the output, JSON only.
    """
    spec = registry.get(request["plugin"])
    if spec.version != request["version"]:
        raise ContractError(f"{spec.name} {request['version']} was asked for; {spec.version} is installed")
    params: Params = spec.params.model_validate(request["params"])
    inputs = {
        port: [open_value(item) for item in value] if isinstance(value, list) else open_value(value)
        for port, value in request["inputs"].items()
    }
    outputs = spec.run(PluginContext(child, spec), params, inputs)
    known = {port.name: port for port in spec.outputs}
    if extra := set(outputs) - set(known):
        raise ContractError(f"{spec.name} gave outputs it does not declare: {sorted(extra)}")
    if missing := {name for name, port in known.items() if port.required} - set(outputs):
        raise ContractError(f"{spec.name} did not give {sorted(missing)}")
    images = _as_stored(_images(inputs), request["inputs"])
    described = {name: _finish(known[name], outputs[name], child, images) for name in outputs}
    child.progress(1.0, "finished")
    return described
