"""The contract between a plugin and whoever runs it.

A plugin is one module with ``SPEC = PluginSpec(...)``.  ``run(ctx, params, inputs) -> outputs`` opens no database,
reads no settings and publishes no store; equal arguments and seed give equal outputs.  Changing outputs for equal
inputs bumps ``version``, because the content key that decides reuse contains it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from analyses.sdk.failures import Cancelled as Cancelled
from analyses.sdk.failures import PluginError as PluginError
from analyses.sdk.values import ImageValue, OutputImage, PropertyValue, TableValue, TransformValue, WritableArray

PortType = Literal["image", "labels", "table", "property", "transform"]
Input = ImageValue | TableValue | PropertyValue | TransformValue
Output = OutputImage | TableValue | PropertyValue | TransformValue
Inputs = Mapping[str, Any]  # port -> Input, or a list of Input where the port takes many, or absent
Outputs = Mapping[str, Any]

_NAME = re.compile(r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")
_SEMVER = re.compile(r"^\d+\.\d+\.\d+$")


class Params(BaseModel):
    """Base of all parameter models: frozen, unknown keys and non-finite numbers refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PhaseValue(Params):
    """The property of one phase: a value typed by hand, or a Material resolved to a value before the plugin runs.

    ``k`` is in the unit the plugin's parameters name; ``u`` is its standard uncertainty in the same unit.
    """

    k: float | None = Field(default=None, ge=0, description="value of the property, in `unit`")
    u: float | None = Field(default=None, ge=0, description="standard uncertainty of `k`, in `unit`")
    source: str | None = Field(default=None, max_length=500, description="where the value comes from")
    material: str | None = Field(default=None, description="id of a Material that carries the property")
    material_property: str | None = Field(default=None, description="id of the value taken; filled in by the server")

    @model_validator(mode="after")
    def _one_of(self) -> PhaseValue:
        if self.k is None and self.material is None:
            raise ValueError("give `k` (a value) or `material` (an id)")
        return self


@dataclass(frozen=True)
class Port:
    """One named input or output.  ``dims``: numbers of spatial axes longer than one sample that it takes; None: all.

    A port of ``many`` takes or gives a list; an output of many is of a type without bytes of its own.
    """

    name: str
    type: PortType
    description: str = ""
    dims: tuple[int, ...] | None = None
    required: bool = True
    many: bool = False
    calibrated: bool = False


@dataclass(frozen=True)
class ExitCode:
    """A declared, expected failure: ``name`` is the state, ``message`` a format string over the facts."""

    code: int
    name: str
    message: str


class Context(Protocol):
    """What the runner lends to a plugin for one run."""

    seed: int
    rng: np.random.Generator
    scratch: Path
    threads: int

    def create_array(
        self, port: str, *, shape: Sequence[int], dtype: Any, axes: Sequence[str], chunks: Sequence[int] | None = None
    ) -> WritableArray:
        """Open a staged output array for ``port`` (level 0; the pyramid is made when the run ends)."""
        ...

    def progress(self, fraction: float, text: str = "") -> None:
        """Report the fraction done, 0 to 1."""
        ...

    def log(self, text: str) -> None:
        """Write a line to the job's log."""
        ...

    def check_cancelled(self) -> None:
        """Raise Cancelled if the job is to end."""
        ...


@dataclass(frozen=True)
class Cost:
    """Estimate for a dry run: peak memory in bytes, CPU seconds, and the shape of each output image or list."""

    memory_bytes: int
    cpu_seconds: float
    output_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginSpec:
    """What a plugin is.  ``material_quantity`` names, from checked params, the material value its phases stand for."""

    name: str
    version: str
    title: str
    summary: str
    params: type[Params]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    run: Callable[[Context, Any, Inputs], Outputs]
    exit_codes: tuple[ExitCode, ...] = ()
    cost: Callable[[Any, Mapping[str, Any]], Cost] | None = None
    material_quantity: Callable[[Any], str] | None = None
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"plugin name {self.name!r} is not of the form family.name")
        if not _SEMVER.match(self.version):
            raise ValueError(f"plugin version {self.version!r} is not major.minor.patch")
        codes = [code.code for code in self.exit_codes]
        if len(set(codes)) != len(codes) or any(code < 100 for code in codes):
            raise ValueError(f"exit codes of {self.name} must be distinct and at least 100: {codes}")
        stored = [port.name for port in self.outputs if port.many and port.type not in ("property", "transform")]
        if stored:
            raise ValueError(f"{self.name} gives many of {stored}; many are given of properties and transforms only")

    def exit_code(self, name: str) -> ExitCode:
        """The declared exit code of that name; KeyError where the plugin raised one it never declared (a bug)."""
        for code in self.exit_codes:
            if code.name == name:
                return code
        raise KeyError(f"{self.name} declares no exit code {name!r}")
