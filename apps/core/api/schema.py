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
    """Adds ``application/problem+json`` as the answer to every refusal."""

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        responses = super()._get_response_bodies(*args, **kwargs)
        component = self.resolve_serializer(ProblemSerializer, "response")
        refusal = {"content": {"application/problem+json": {"schema": component.ref}}, "description": "refused"}
        for code in ("4XX", "503"):
            responses.setdefault(code, refusal)
        return responses
