"""What can be read of plugins."""

from __future__ import annotations

from typing import Any

from analyses import registry
from analyses.sdk.contract import PluginSpec, Port


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "type": port.type,
        "description": port.description,
        "required": port.required,
        "many": port.many,
        "calibrated": port.calibrated,
        "dims": list(port.dims) if port.dims else None,
    }


def describe_plugin(spec: PluginSpec) -> dict[str, Any]:
    """Return what a caller must know to submit a run of a plugin."""
    return {
        "name": spec.name,
        "version": spec.version,
        "title": spec.title,
        "summary": spec.summary,
        "inputs": [_port(port) for port in spec.inputs],
        "outputs": [_port(port) for port in spec.outputs],
        "params": spec.params.model_json_schema(),
        "exit_codes": [{"code": c.code, "name": c.name, "message": c.message} for c in spec.exit_codes],
        "references": list(spec.references),
    }


def list_plugins() -> list[dict[str, Any]]:
    """Describe every plugin there is."""
    return [describe_plugin(spec) for spec in registry.all_specs()]


def get_plugin(name: str) -> dict[str, Any] | None:
    """Describe one plugin; None where there is none of that name."""
    try:
        return describe_plugin(registry.get(name))
    except LookupError:
        return None
