"""REST of the validator: any form of PROV in, a verdict out, nothing stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api.filters import check_query
from apps.core.api.negotiation import AnyNegotiation
from apps.core.errors import TooLargeError
from apps.provenance.forms import FORM_OF
from apps.provenance.validator import judge


class BrokenRuleSerializer(serializers.Serializer[Any]):
    """One rule that is broken, and by what."""

    rule = serializers.IntegerField(
        allow_null=True, help_text="number in PROV-CONSTRAINTS; null for a statement that is not well formed"
    )
    name = serializers.CharField(help_text="of the rule", allow_blank=True)
    message = serializers.CharField()
    records = serializers.ListField(child=serializers.CharField(), help_text="the statements concerned, as PROV-N")
    cycle = serializers.ListField(
        child=serializers.CharField(), help_text="the steps of an order that contradicts itself"
    )
    bundle = serializers.CharField(help_text="empty for the top level", allow_blank=True)


class VerdictSerializer(serializers.Serializer[Any]):
    """Whether a document is valid, and why not."""

    valid = serializers.BooleanField()
    mode = serializers.ChoiceField(choices=["spec"])
    problems = BrokenRuleSerializer(many=True)
    records = serializers.IntegerField(help_text="statements that were judged")
    unjudged = serializers.IntegerField(help_text="statements of other vocabularies, which no rule speaks of")
    truncated = serializers.BooleanField(help_text="there were more problems")


class BytesParser(BaseParser):
    """The body as it came, up to the limit of a request."""

    media_type = "*/*"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the body; TooLargeError (413) where it is longer than a body may be."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLargeError(f"a document may have {limit} bytes here; manage.py prov_validate reads larger ones")
        return body


class ValidateView(APIView):
    """Judge a PROV document by PROV-CONSTRAINTS."""

    parser_classes = [BytesParser]
    content_negotiation_class = AnyNegotiation

    @extend_schema(
        request={media: OpenApiTypes.OBJECT if form == "json" else OpenApiTypes.STR for media, form in FORM_OF.items()},
        responses={200: VerdictSerializer},
    )
    def post(self, request: Request) -> Response:
        """Answer with a verdict; 400 for what is no document of its media type, 415 for a media type not known."""
        check_query(request)
        media_type = (request.content_type or "").split(";")[0].strip().lower()
        form = FORM_OF.get(media_type)
        if form is None:
            raise UnsupportedMediaType(media_type, f"{media_type[:100]!r} is not one of {', '.join(FORM_OF)}")
        body: Any = request.data  # empty forms where there is no body
        return Response(judge(body if isinstance(body, bytes) else b"", form))
