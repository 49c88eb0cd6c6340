"""Serialisers that refuse what they do not know."""

from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.quote import shown


def _kind_problems(field: Any, value: Any, path: str) -> dict[str, list[str]]:
    """Say what is wrong with the JSON type of a value; empty where nothing is, or where the field itself checks it.

    The fields of the framework take 7 for "7" and "7" for 7.  What is stored would not be what was sent.
    """
    if value is None:
        return {}
    if isinstance(field, serializers.ListField) and isinstance(value, list):
        found: dict[str, list[str]] = {}
        for position, item in enumerate(value):
            found |= _kind_problems(field.child, item, f"{path}.{position}")
        return found
    if isinstance(field, serializers.CharField | serializers.UUIDField | serializers.ChoiceField):
        fits, wanted = isinstance(value, str), "is no text; write it as a JSON string"
    elif isinstance(field, serializers.IntegerField):
        fits, wanted = isinstance(value, int) and not isinstance(value, bool), "is not a whole number"
    elif isinstance(field, serializers.BooleanField):
        fits, wanted = isinstance(value, bool), "is neither true nor false"
    else:
        return {}
    return {} if fits else {path: [f"{shown(value)} {wanted}"]}


def refuse_body(data: Any) -> None:
    """Refuse what is sent to a call that takes nothing."""
    StrictSerializer(data=data).is_valid(raise_exception=True)


class StrictMixin:
    """Refuse unknown and read-only request fields by name instead of dropping them, and values of another JSON type."""

    def to_internal_value(self, data: Any) -> Any:
        """Check the names, then the values."""
        if isinstance(data, dict):
            fields = self.fields  # type: ignore[attr-defined]
            writable = {name for name, field in fields.items() if not field.read_only}
            unknown = {
                name: [f"unknown field; known: {', '.join(sorted(writable))}"] for name in data if name not in writable
            }
            if unknown:
                raise serializers.ValidationError(unknown)
            wrong: dict[str, list[str]] = {}
            for name, value in data.items():
                wrong |= _kind_problems(fields[name], value, name)
            if wrong:
                raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)  # type: ignore[misc]


class StrictSerializer(StrictMixin, serializers.Serializer):  # type: ignore[type-arg]
    """A serialiser of values."""


class StrictModelSerializer(StrictMixin, serializers.ModelSerializer):  # type: ignore[type-arg]
    """A serialiser of rows; its writes go through services, never through ``save``."""

    def create(self, validated_data: Any) -> Any:
        """Refused: services write."""
        raise NotImplementedError("a service makes this row")

    def update(self, instance: Any, validated_data: Any) -> Any:
        """Refused: services write."""
        raise NotImplementedError("a service changes this row")


class FiniteFloatField(serializers.FloatField):
    """A finite double; numbers only, no strings."""

    def to_internal_value(self, data: Any) -> float:
        """Refuse strings, booleans, NaN and infinities, naming the value."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError(f"{data!r} is not a number")
        try:
            value = float(data)
        except OverflowError as error:
            raise serializers.ValidationError("too large for a double") from error
        if not math.isfinite(value):
            raise serializers.ValidationError(f"{data!r} is not a finite number")
        return super().to_internal_value(value)


@extend_schema_field({"type": "object", "additionalProperties": {}})
class ObjectField(serializers.JSONField):
    """A JSON object (never a list or a bare value)."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse anything but an object."""
        if not isinstance(data, dict):
            raise serializers.ValidationError(f"must be an object, not {type(data).__name__}")
        return super().to_internal_value(data)
