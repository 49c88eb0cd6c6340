"""For tests and for authors of plugins: a context in memory, small phantoms, and the check of the contract."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.contract import Cancelled, Inputs, Outputs, Params, PluginError, PluginSpec, Port
from analyses.sdk.values import (
    AXIS_ORDER,
    SIGNAL_AXIS,
    SPATIAL_AXES,
    ImageKind,
    ImageValue,
    OutputImage,
    PropertyValue,
    TableValue,
    TransformValue,
)

INTERVAL_PARTS = frozenset({"segmentation", "voxel", "boundary", "rve", "constituents", "scale", "solver"})
_OUTPUT_TYPES: dict[str, type] = {
    "image": OutputImage,
    "labels": OutputImage,
    "table": TableValue,
    "property": PropertyValue,
    "transform": TransformValue,
}


class MemoryArray:
    """A staged output held in memory: a numpy array that knows its chunks."""

    def __init__(self, data: npt.NDArray[Any], chunks: Sequence[int]) -> None:
        self.data = data
        self.chunks = tuple(chunks)

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type."""
        return self.data.dtype

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        return np.asarray(self.data[key])

    def __setitem__(self, key: Any, value: npt.ArrayLike) -> None:
        self.data[key] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.data, dtype=dtype, copy=True if copy is None else copy)


@dataclass
class MemoryContext:
    """A ``Context`` that keeps arrays, progress and log lines in memory."""

    seed: int = 0
    threads: int = 1
    scratch: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="corr-plugin-")))
    progress_calls: list[tuple[float, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    arrays: dict[str, MemoryArray] = field(default_factory=dict)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def create_array(
        self, port: str, *, shape: Sequence[int], dtype: Any, axes: Sequence[str], chunks: Sequence[int] | None = None
    ) -> MemoryArray:
        """A zero-filled array for ``port``; chunks default to at most 64 samples an axis."""
        if len(shape) != len(axes):
            raise ValueError(f"shape {tuple(shape)} and axes {tuple(axes)} differ in length")
        array = MemoryArray(np.zeros(tuple(shape), dtype), chunks or tuple(min(64, n) for n in shape))
        self.arrays[port] = array
        return array

    def progress(self, fraction: float, text: str = "") -> None:
        """Keep the call; a fraction outside 0..1 is an error of the plugin."""
        if not 0.0 <= fraction <= 1.0:
            raise AssertionError(f"progress {fraction} is outside 0..1")
        self.progress_calls.append((fraction, text))

    def log(self, text: str) -> None:
        """Keep the line."""
        self.lines.append(text)

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` once ``cancelled`` was set."""
        if self.cancelled:
            raise Cancelled


def image_value(
    array: npt.NDArray[Any],
    *,
    kind: ImageKind = "intensity",
    spacing_um: float | Sequence[float] | None = 1.0,
    axes: Sequence[str] | None = None,
    identifier: str = "image",
) -> ImageValue:
    """An ``ImageValue`` over a numpy array.

    Parameters
    ----------
    array
        Samples in the order of ``axes``; by default z, y, x (two dimensions get a z of length 1).
    spacing_um
        One spacing for all, or spacings along (z, y, x); None for an uncalibrated image.
    """
    if axes is None:
        array = array[None] if array.ndim == 2 else array
        axes = tuple(axis for axis in AXIS_ORDER if axis != SIGNAL_AXIS)[-array.ndim :]
    one_for_all = spacing_um is None or isinstance(spacing_um, int | float)
    values: Any = [spacing_um] * 3 if one_for_all else spacing_um
    spacing = dict(zip(SPATIAL_AXES, values, strict=True))
    return ImageValue(
        id=identifier, kind=kind, array=array, axes=tuple(axes), spacing_um=spacing, frame="frame", digest="sha256:0"
    )


def run_plugin(spec: PluginSpec, params: Mapping[str, Any], inputs: Inputs, *, seed: int = 0) -> Outputs:
    """Check ``params`` by the plugin's model and run it once in memory."""
    return spec.run(MemoryContext(seed=seed), spec.params.model_validate(dict(params)), inputs)


def check_contract(spec: PluginSpec, params: Mapping[str, Any], inputs: Inputs) -> Outputs:
    """Run ``spec`` twice and check what every plugin promises; gives the outputs of the first run.

    Checked: the parameter model forbids unknown keys and describes every field; every required output is there, of
    the right type, with unit, interval and scale exponent where these apply; images carry the axes they were created
    with and name an input they are like; progress stays in 0..1; equal arguments and seed give equal outputs.

    Raises
    ------
    AssertionError
        Naming what is broken.
    """
    check_params(spec.params, spec.name)
    _check_inputs(spec, inputs)
    first = run_plugin(spec, params, inputs, seed=11)
    second = run_plugin(spec, params, inputs, seed=11)
    _check_outputs(spec, first, inputs)
    for port in first:
        assert same_value(first[port], second[port]), f"{spec.name}: output {port} differs between two equal runs"
    if spec.cost is not None:
        checked = spec.params.model_validate(dict(params))
        estimate = spec.cost(checked, inputs)
        assert estimate.memory_bytes > 0, f"{spec.name}: cost gives no memory"
        assert estimate.cpu_seconds > 0, f"{spec.name}: cost gives no time"
    return first


def check_params(model: type[Params], name: str) -> None:
    """The parameter model refuses unknown keys and every field has a description."""
    assert issubclass(model, Params), f"{name}: params is not a Params model"
    assert model.model_config.get("extra") == "forbid", f"{name}: unknown parameters are not refused"
    assert model.model_config.get("frozen"), f"{name}: parameters are not frozen"
    bare = [key for key, info in model.model_fields.items() if not info.description]
    assert not bare, f"{name}: parameters without a description: {bare}"
    assert "seed" not in model.model_fields, f"{name}: the seed belongs to the job, not to the parameters"


def expect_failure(spec: PluginSpec, params: Mapping[str, Any], inputs: Inputs) -> tuple[str, Mapping[str, Any]]:
    """Run a plugin that must fail with a declared exit code; gives its name and facts, after formatting its message."""
    failure: PluginError | None = None
    try:
        run_plugin(spec, params, inputs)
    except PluginError as error:
        failure = error
    assert failure is not None, f"{spec.name} succeeded where it had to fail"
    message = spec.exit_code(failure.name).message.format(**failure.facts)
    assert message, f"{spec.name}: empty message for {failure.name}"
    return failure.name, failure.facts


def _check_inputs(spec: PluginSpec, inputs: Inputs) -> None:
    ports = {port.name: port for port in spec.inputs}
    unknown = set(inputs) - set(ports)
    assert not unknown, f"{spec.name}: inputs {sorted(unknown)} have no port"
    missing = [name for name, port in ports.items() if port.required and name not in inputs]
    assert not missing, f"{spec.name}: inputs missing: {missing}"


def _check_outputs(spec: PluginSpec, outputs: Outputs, inputs: Inputs) -> None:
    ports = {port.name: port for port in spec.outputs}
    assert set(outputs) <= set(ports), f"{spec.name}: undeclared outputs {sorted(set(outputs) - set(ports))}"
    missing = [name for name, port in ports.items() if port.required and name not in outputs]
    assert not missing, f"{spec.name}: outputs missing: {missing}"
    given = [item for value in inputs.values() for item in (value if isinstance(value, list) else [value])]
    identifiers = {value.id for value in given if isinstance(value, ImageValue)}
    for name, value in outputs.items():
        assert isinstance(value, list) == ports[name].many, f"{spec.name}.{name}: many is {ports[name].many}"
        for item in value if isinstance(value, list) else [value]:
            _check_output(f"{spec.name}.{name}", ports[name], item, identifiers)


def _check_output(where: str, port: Port, value: Any, identifiers: set[str]) -> None:
    expected = _OUTPUT_TYPES.get(port.type)
    assert expected is None or isinstance(value, expected), f"{where}: {type(value).__name__} is not a {port.type}"
    if isinstance(value, OutputImage):
        assert (value.kind == "labels") == (port.type == "labels"), f"{where}: kind {value.kind} on a {port.type} port"
        for named in (value.like, value.of or value.like):
            assert named in identifiers, f"{where}: {named!r} is no input image"
        assert len(value.axes) == len(value.array.shape), f"{where}: axes {value.axes}, shape {value.array.shape}"
    if isinstance(value, TableValue):
        assert all(column.unit and column.description for column in value.columns), (
            f"{where}: column without unit or text"
        )
    if isinstance(value, TransformValue):
        _check_transform(where, value)
    if isinstance(value, PropertyValue):
        assert value.unit, f"{where}: no unit"
        _check_json(where, [value.value, dict(value.error), dict(value.facts)])
        _check_interval(where, value)


def _check_transform(where: str, value: TransformValue) -> None:
    assert np.isfinite(value.matrix).all(), f"{where}: the matrix is not finite"
    mirrors = bool(np.linalg.det(value.matrix[:3, :3]) < 0)
    assert mirrors == (value.kind == "reflection"), f"{where}: kind {value.kind}, mirrors: {mirrors}"
    assert (value.residual_um is None) == bool(value.no_residual_reason), f"{where}: residual or reason, one of them"
    if value.covariance is not None:
        assert np.linalg.eigvalsh(value.covariance)[0] >= -1e-9 * np.abs(value.covariance).max(), (
            f"{where}: the covariance is not positive semi-definite"
        )
    _check_json(where, dict(value.facts))


def _check_json(where: str, payload: Any) -> None:
    """Values, errors and facts are stored as JSON: no numpy scalars, no NaN, no infinity."""
    fault = ""
    try:
        json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError) as error:
        fault = str(error)
    assert not fault, f"{where}: not JSON: {fault}"


def _check_interval(where: str, value: PropertyValue) -> None:
    if value.interval is None:
        return
    unknown = set(value.interval.contains) - INTERVAL_PARTS
    assert not unknown, f"{where}: interval contains {sorted(unknown)}"
    assert value.interval.contains, f"{where}: interval contains {value.interval.contains}"
    low, high, middle = (_flat(part) for part in (value.interval.low, value.interval.high, value.value))
    assert len(low) == len(high) == len(middle), f"{where}: interval and value differ in shape"
    for a, b, c in zip(low, middle, high, strict=True):
        if None not in (a, b, c):
            assert a <= b <= c, f"{where}: {b} is outside its interval {a} .. {c}"


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in _flat(part)]
    return [value]


def same_value(a: Any, b: Any) -> bool:
    """True if two outputs are equal bit for bit (NaN equals NaN)."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same_value(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, OutputImage) and isinstance(b, OutputImage):
        names = ("kind", "axes", "like", "of", "handedness", "channels", "facts")
        same = all(getattr(a, name) == getattr(b, name) for name in names)
        return same and np.array_equal(np.asarray(a.array[...]), np.asarray(b.array[...]))
    if isinstance(a, TableValue) and isinstance(b, TableValue):
        return [c.name for c in a.columns] == [c.name for c in b.columns] and all(
            _same_column(np.asarray(x.values), np.asarray(y.values)) for x, y in zip(a.columns, b.columns, strict=True)
        )
    if isinstance(a, TransformValue) and isinstance(b, TransformValue):
        return _same_transform(a, b)
    return bool(a == b)


def _same_transform(a: TransformValue, b: TransformValue) -> bool:
    arrays = ("matrix", "covariance")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays) and all(
        getattr(a, item.name) == getattr(b, item.name) for item in fields(TransformValue) if item.name not in arrays
    )


def _same_column(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
