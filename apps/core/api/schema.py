"""How views are described in OpenAPI: problem documents on every operation."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema as BaseAutoSchema
from rest_framework import serializers


class ProblemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """RFC 9457 problem document."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    details = serializers.DictField(required=False)


class AutoSchema(BaseAutoSchema):
    """Adds ``application/problem+json`` as the answer to every refusal; a value of any kind may be null too."""

    def _map_serializer_field(self, *args: Any, **kwargs: Any) -> Any:
        schema = super()._map_serializer_field(*args, **kwargs)  # type: ignore[no-untyped-call]
        if isinstance(schema, dict) and {} in schema.get("oneOf", ()):
            # "null or anything" holds null twice, which `oneOf` refuses
            schema = {name: value for name, value in schema.items() if name != "oneOf"}
        return schema

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        responses = super()._get_response_bodies(*args, **kwargs)
        component = self.resolve_serializer(ProblemSerializer, "response")
        refusal = {"content": {"application/problem+json": {"schema": component.ref}}, "description": "refused"}
        for code in ("4XX", "503"):
            responses.setdefault(code, refusal)
        return responses
