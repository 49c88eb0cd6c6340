"""REST of lineage, provenance documents, derivations and stale marks."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.audit import selectors
from apps.audit.validation import ValidateView
from apps.core.errors import InvalidValueError, NotFoundError
from apps.provenance import serialise
from apps.provenance.graph import DIRECTIONS, Direction, Filters

FORMS = {"json": "application/json", "provn": "text/provenance-notation"}
_LINEAGE_PARAMS = (
    "direction",
    "depth",
    "kind",
    "relation",
    "type",
    "agent",
    "since",
    "until",
    "as_of",
    "limit",
    "cursor",
)


class AnyNegotiation(BaseContentNegotiation):
    """The view reads ``Accept`` itself: what it answers with is no form that a renderer makes."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Take the first parser."""
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Take the first renderer."""
        return renderers[0], renderers[0].media_type


class NodeSerializer(serializers.Serializer[Any]):
    """A node; a hidden one shows id (a pseudonym), kind, type and ``hidden`` alone."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    type = serializers.CharField()
    hidden = serializers.BooleanField()
    label = serializers.CharField(required=False)
    project = serializers.UUIDField(required=False, allow_null=True)
    attributes = serializers.DictField(required=False)
    recorded_at = serializers.DateTimeField(required=False, allow_null=True)
    url = serializers.CharField(required=False, allow_null=True)
    page = serializers.CharField(required=False, allow_null=True)
    stale = serializers.BooleanField(required=False)


class EdgeSerializer(serializers.Serializer[Any]):
    """An edge from what came later to what it rests on."""

    relation = serializers.CharField()
    subject = serializers.UUIDField()
    object = serializers.UUIDField()
    role = serializers.CharField()
    time = serializers.DateTimeField(allow_null=True)


class LineageSerializer(serializers.Serializer[Any]):
    """Part of the graph."""

    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)
    truncated = serializers.BooleanField()
    next = serializers.CharField(allow_null=True)


class DerivationSerializer(serializers.Serializer[Any]):
    """How a thing came to be, in sentences."""

    id = serializers.UUIDField()
    label = serializers.CharField()
    sentences = serializers.ListField(child=serializers.DictField())
    asserted = serializers.ListField(child=serializers.DictField())
    completeness = serializers.DictField()
    scale = serializers.ListField(child=serializers.DictField())
    calibrations = serializers.ListField(child=serializers.DictField())
    stale = serializers.ListField(child=serializers.DictField())
    truncated = serializers.BooleanField()


class StaleSerializer(serializers.Serializer[Any]):
    """Whether a thing is stale, and what rests on it."""

    stale = serializers.BooleanField()
    marks = serializers.ListField(child=serializers.DictField())
    dependents = NodeSerializer(many=True)
    truncated = serializers.BooleanField()


def _integer(request: Request, name: str, default: int | None) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return default
    try:
        value = int(given)
    except ValueError as error:
        raise InvalidValueError(f"{name} is {given!r}, it must be a whole number", field=name) from error
    if abs(value) > 2**31:
        raise InvalidValueError(f"{name} is {given}, which is out of range", field=name)
    return value


def _time(request: Request, name: str) -> Any:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        value = parse_datetime(given)
    except ValueError as error:
        raise InvalidValueError(f"{name} is {given!r}: {error}", field=name) from error
    if value is None or value.tzinfo is None:
        raise InvalidValueError(f"{name} is {given!r}, it must be an RFC 3339 time with zone", field=name)
    return value


def _words(request: Request, name: str) -> list[str] | None:
    given = request.query_params.get(name)
    return [word for word in given.split(",") if word] if given else None


def _agent(request: Request) -> uuid.UUID | None:
    given = request.query_params.get("agent")
    if given is None:
        return None
    try:
        return uuid.UUID(given)
    except ValueError as error:
        raise InvalidValueError(f"agent is {given!r}, it must be an id", field="agent") from error


def _check_names(request: Request, known: tuple[str, ...]) -> None:
    for name, values in request.query_params.lists():
        if name not in known:
            raise InvalidValueError(f"unknown query parameter; known: {', '.join(known)}", field=name)
        if any("\x00" in value for value in values):
            raise InvalidValueError("a NUL character is not admitted", field=name)


def _filters(request: Request) -> Filters:
    return Filters(
        relations=_words(request, "relation"),
        kinds=_words(request, "kind"),
        types=_words(request, "type"),
        agent=_agent(request),
        since=_time(request, "since"),
        until=_time(request, "until"),
        as_of=_time(request, "as_of"),
        depth=_integer(request, "depth", None),
    )


def _direction(request: Request) -> Direction:
    given = request.query_params.get("direction", "upstream")
    for direction in DIRECTIONS:
        if given == direction:
            return direction
    raise InvalidValueError(f"{given!r} is not one of {', '.join(DIRECTIONS)}", field="direction")


class LineageView(APIView):
    """What a thing rests on, and what rests on it."""

    @extend_schema(
        responses={200: LineageSerializer},
        parameters=[
            OpenApiParameter("direction", str, enum=DIRECTIONS, description="upstream by default"),
            OpenApiParameter("depth", int),
            OpenApiParameter("kind", str, description="entity, activity, agent; comma-separated"),
            OpenApiParameter("relation", str, description="relations to walk; comma-separated"),
            OpenApiParameter("type", str, description="comma-separated"),
            OpenApiParameter("agent", OpenApiTypes.UUID),
            OpenApiParameter("since", OpenApiTypes.DATETIME),
            OpenApiParameter("until", OpenApiTypes.DATETIME),
            OpenApiParameter("as_of", OpenApiTypes.DATETIME),
            OpenApiParameter("limit", int, description="nodes each way, 1000 by default, at most 10000"),
        ],
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Answer with nodes and edges; what the caller may not see is opaque."""
        _check_names(request, _LINEAGE_PARAMS)
        direction = _direction(request)
        if request.query_params.get("cursor"):
            raise InvalidValueError("no answer gave this cursor; raise `limit` or narrow the filters", field="cursor")
        found = selectors.lineage(
            request.user,
            pk,
            direction=direction,
            limit=_integer(request, "limit", 1000) or 0,
            filters=_filters(request),
        )
        return Response(selectors.lineage_dict(found))


class ThingView(APIView):
    """Base of the views below ``{things}/{id}/``."""

    def thing(self, request: Request, things: str, pk: uuid.UUID) -> Any:
        """Return the visible row, 404 otherwise."""
        model = selectors.things().get(things)
        if model is None:
            raise NotFoundError(f"there is nothing called {things} here")
        return selectors.get_recorded(model, request.user, pk)


class DerivationView(ThingView):
    """The story of a thing in sentences."""

    @extend_schema(responses={200: DerivationSerializer})
    def get(self, request: Request, things: str, pk: uuid.UUID) -> Response:
        """Answer with sentences, what was asserted by hand, and a completeness score."""
        _check_names(request, ())
        return Response(selectors.derivation(self.thing(request, things, pk), request.user))


class StaleView(ThingView):
    """Whether a thing is stale, and what rests on it."""

    @extend_schema(responses={200: StaleSerializer})
    def get(self, request: Request, things: str, pk: uuid.UUID) -> Response:
        """Answer with marks and dependents."""
        _check_names(request, ())
        return Response(selectors.stale(self.thing(request, things, pk), request.user))


class ProvenanceView(ThingView):
    """The provenance of a thing as a W3C PROV document."""

    content_negotiation_class = AnyNegotiation

    @extend_schema(
        parameters=[OpenApiParameter("format", str, enum=list(FORMS), description="overrides Accept; json by default")],
        responses={(200, "application/json"): OpenApiTypes.OBJECT, (200, "text/provenance-notation"): OpenApiTypes.STR},
    )
    def get(self, request: Request, things: str, pk: uuid.UUID) -> HttpResponseBase:
        """Answer with PROV-JSON or PROV-N; 406 names the forms there are."""
        _check_names(request, ("format",))
        form = self._form(request)
        part = selectors.provenance_part(request.user, self.thing(request, things, pk))
        base = selectors.base_uri(request.build_absolute_uri("/"))
        document = serialise.to_document(part.nodes, part.edges, base)
        text = serialise.to_json(document) if form == "json" else serialise.to_provn(document)
        return HttpResponse(text, content_type=f"{FORMS[form]}; charset=utf-8")

    def _form(self, request: Request) -> str:
        given = request.query_params.get("format")
        if given is not None:
            if given not in FORMS:
                raise InvalidValueError(f"{given!r} is not one of {', '.join(FORMS)}", field="format")
            return given
        accept = request.headers.get("Accept", "*/*")
        wanted = [part.split(";")[0].strip() for part in accept.split(",")]
        for media_type in wanted:
            for form, offered in FORMS.items():
                if media_type in (offered, "*/*", f"{offered.split('/')[0]}/*"):
                    return form
        raise NotAcceptable(f"offered are {', '.join(FORMS.values())}")


URLS = [
    path("prov/validate/", ValidateView.as_view(), name="prov-validate"),
    path("lineage/<uuid:pk>/", LineageView.as_view(), name="lineage"),
    path("<slug:things>/<uuid:pk>/derivation/", DerivationView.as_view(), name="derivation"),
    path("<slug:things>/<uuid:pk>/provenance/", ProvenanceView.as_view(), name="provenance"),
    path("<slug:things>/<uuid:pk>/stale/", StaleView.as_view(), name="stale"),
]
