"""Forms of what images say, for the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

AXIS: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "properties": {
        "value": {"type": "number"},
        "unit": {"type": "string", "enum": ["um"]},
        "source": {"type": "string", "enum": ["file", "derived", "user"]},
        "u": {"type": ["number", "null"], "description": "standard uncertainty, in the unit"},
    },
}
SPACING: Final[dict[str, Any]] = {"type": ["object", "null"], "properties": dict.fromkeys("xyz", AXIS)}
_SOURCES = {"type": "string", "enum": ["file", "derived", "user", "calibration"]}
_CALIBRATED_AXIS = AXIS | {"properties": AXIS["properties"] | {"source": _SOURCES}}
CALIBRATION: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "instrument": {"type": "string", "format": "uuid"},
        "instrument_name": {"type": "string"},
        "version": {"type": "integer"},
        "axes": {"type": "string", "description": "some of x, y, z"},
        "factor": {"type": "number", "description": "calibrated length / nominal length"},
        "u_factor": {"type": "number", "description": "its standard uncertainty, shared by all images under it"},
        "standard": {"type": "string"},
        "measured_at": {"type": "string", "format": "date"},
        "due_at": {"type": ["string", "null"], "format": "date"},
        "status": {"type": "string", "enum": ["active", "withdrawn"]},
        "spacing": {"type": "object", "properties": dict.fromkeys("xyz", _CALIBRATED_AXIS)},
        "flags": {"type": "array", "items": {"type": "string"}, "description": "where it does not hold, in codes"},
        "notes": {"type": "array", "items": {"type": "string"}, "description": "the same in words"},
    },
}
STAGE: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "properties": {
        "transform": {"type": ["string", "null"], "format": "uuid", "description": "to the stage frame of the mount"},
        "mount": {"type": ["string", "null"], "format": "uuid"},
        "code": {"type": "string", "description": "placed, or what is not known"},
        "reason": {"type": "string"},
    },
}
