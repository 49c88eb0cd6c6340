"""REST of spectrum images: the spectrum of places, maps of a window of channels."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ReadViewSet
from apps.imaging import spectra, spectra_query
from apps.imaging.api.answers import CACHE_CONTROL, AnyNegotiation, matches, not_modified
from apps.imaging.api.serializers import SIGNAL
from apps.imaging.models import Image

_TYPES = {"png": "image/png", "npy": "application/octet-stream", "json": "application/json"}
_COUNTS = {"type": "array", "items": {"type": "number"}}
_OPTIONAL_INT = {"type": ["integer", "null"]}


def _whole(name: str, text: str) -> OpenApiParameter:
    return OpenApiParameter(name, int, description=text)


_PLACE = [
    _whole("x", "column of the first place, from 0; with y"),
    _whole("y", "row of the first place, from 0; with x"),
    _whole("z", "plane, 0 by default"),
    _whole("t", "time point, 0 by default"),
    _whole("width", "columns to sum, 1 by default"),
    _whole("height", "rows to sum, 1 by default"),
]
_WINDOW = [
    OpenApiParameter("low", float, description="lowest centre of a channel to sum; with high"),
    OpenApiParameter("high", float, description="highest centre of a channel to sum; with low"),
    OpenApiParameter("unit", str, description="of low and high: eV or keV; that of the axis by default"),
    OpenApiParameter("line", str, description="in place of low and high: an X-ray line, such as Fe_Ka"),
    OpenApiParameter("background", str, enum=spectra_query.BACKGROUNDS, description="what is taken off"),
    _whole("z", "plane, 0 by default"),
    _whole("t", "time point, 0 by default"),
    OpenApiParameter("format", str, enum=spectra_query.FORMATS, description="png by default"),
]
_SPECTRUM = {
    "type": "object",
    "properties": {
        "signal": SIGNAL,
        "counts": _COUNTS,
        "unit": {"type": "string"},
        "places": {"type": "integer"},
        **dict.fromkeys(spectra_query.SPECTRUM_PARAMS, _OPTIONAL_INT),
    },
}
_MAP = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "format": "uuid"},
        "axes": {"type": "array", "items": {"type": "string"}},
        "z": {"type": "integer"},
        "t": {"type": "integer"},
        "unit": {"type": "string"},
        "window": {"type": "object"},
        "background": {"type": ["object", "null"]},
        "counts": {"type": "array", "items": _COUNTS},
    },
}


class SpectrumActions(ReadViewSet):
    """What is read from a spectrum image."""

    @extend_schema(parameters=_PLACE, responses={200: _SPECTRUM}, filters=False)
    @action(
        detail=True, methods=["get"], filterset_class=None, extra_query_params=spectra_query.SPECTRUM_PARAMS,
    )  # fmt: skip
    def spectrum(self, request: Request, pk: str) -> Response:
        """Sum the spectrum of the places from x, y on; of all places without them.  409 for an image without any."""
        image: Image = self.get_object()
        spectra_query.signal_axes(image)
        region = spectra_query.parse_region(image, request.query_params.dict())
        return Response(spectra.spectrum(image, region), headers={"Cache-Control": CACHE_CONTROL})

    @extend_schema(
        parameters=_WINDOW,
        responses={
            (200, "image/png"): OpenApiTypes.BINARY,
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (200, "application/json"): _MAP,
        },
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        url_path="element-map",
        filterset_class=None,
        extra_query_params=spectra_query.MAP_PARAMS,
        content_negotiation_class=AnyNegotiation,
    )
    def element_map(self, request: Request, pk: str) -> HttpResponseBase:
        """Sum whole channels from low to high, or of a line, at each place: a picture, or the numbers."""
        image: Image = self.get_object()
        params = request.query_params.dict()
        form = spectra_query.parse_format(params)
        window = spectra_query.parse_window(image, params)
        plane = spectra_query.parse_plane(image, params)
        etag = spectra.etag(image, window, plane, form)
        if matches(request, etag):
            return not_modified(etag)
        told = spectra.describe_map(image, window, plane)
        headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL, "X-Corr-Map": json.dumps(told)}
        counts = spectra.element_map(image, window, plane)
        return HttpResponse(_written(counts, form, told), content_type=_TYPES[form], headers=headers)


def _written(counts: Any, form: str, told: dict[str, Any]) -> bytes:
    if form == "json":
        return json.dumps(told | {"counts": spectra.as_rows(counts)}, allow_nan=False).encode()
    return spectra.as_npy(counts) if form == "npy" else spectra.as_png(counts)
