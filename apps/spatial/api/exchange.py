"""REST of transforms in the files of other programs, out and in."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import check_query
from apps.core.api.negotiation import AnyNegotiation
from apps.core.api.serializers import StrictSerializer
from apps.core.errors import ConflictError, InvalidValueError
from apps.core.quote import shown
from apps.spatial import services
from apps.spatial.exchange.itk import DIRECTIONS, write_itk
from apps.spatial.models import Transform
from apps.spatial.services.imports import FORMATS, UNITS_UM

MAX_FILE: Final = 2_000_000
_DIRECTION: Final = {
    "points": "TransformPoint takes a point of the source frame to the target frame",
    "resampling": "TransformPoint takes a point of the target frame (output) to the source frame (input)",
}


class ImportInput(StrictSerializer):
    """A file of another program that holds a transform, or landmarks to fit one to."""

    source = serializers.UUIDField(help_text="frame; what BigWarp calls moving")
    target = serializers.UUIDField(help_text="frame; what BigWarp calls fixed")
    format = serializers.ChoiceField(choices=[(name, name) for name in FORMATS])
    file = serializers.CharField(max_length=MAX_FILE, trim_whitespace=False, help_text="the text of the file")
    unit = serializers.ChoiceField(
        choices=[(unit, unit) for unit in UNITS_UM],
        required=False,
        help_text="of its lengths; um by default in ITK files, to be said of BigWarp's",
    )
    direction = serializers.ChoiceField(
        choices=[(name, name) for name in DIRECTIONS],
        required=False,
        help_text="of an ITK file: points (default) takes source to target, resampling output (target) to input",
    )
    kind = serializers.ChoiceField(
        choices=Transform.Kind.choices, required=False, help_text="to be said of landmarks, found out of an ITK file"
    )
    no_residual_reason = serializers.CharField(max_length=500, allow_blank=True, required=False)
    reason = serializers.CharField(max_length=10_000, allow_blank=True, required=False)


class ExchangeActions:
    """Actions of transforms that read and write files; a part of the viewset of transforms."""

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "direction", str, enum=list(DIRECTIONS), description="points (default), or resampling: its inverse"
            )
        ],
        responses={(200, "text/plain"): OpenApiTypes.STR},
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        filterset_class=None,
        pagination_class=None,
        content_negotiation_class=AnyNegotiation,
        extra_query_params=("direction",),
    )
    def itk(self, request: Request, pk: str) -> HttpResponseBase:
        """The transform as an ITK transform file, lengths in um; 409 for a displacement field."""
        view: Any = self
        check_query(request, ("direction",))
        direction = request.query_params.get("direction", "points")
        if direction not in DIRECTIONS:
            raise InvalidValueError(f"{shown(direction)} is no direction: {', '.join(DIRECTIONS)}", field="direction")
        transform = view.get_object()
        if transform.matrix is None:
            raise ConflictError("a displacement field is no linear transform; its samples are in its store")
        said = (
            f"transform {transform.pk}: frame {transform.source_id} to frame {transform.target_id}",
            "lengths are micrometres, points (x, y, z); no axis is flipped: these are no LPS coordinates",
            f"{direction}: {_DIRECTION[direction]}",
        )
        matrix = np.array(transform.matrix, np.float64).reshape(4, 4)
        answer = HttpResponse(write_itk(matrix, direction=direction, comments=said), content_type="text/plain")
        answer["Content-Disposition"] = f'attachment; filename="transform-{transform.pk}.tfm"'
        return answer

    @extend_schema(request=ImportInput, filters=False)
    @action(detail=False, methods=["post"], filterset_class=None, url_path="import")
    def import_file(self, request: Request) -> Response:
        """Make a candidate from an ITK transform file or from landmarks of BigWarp."""
        view: Any = self
        made = services.import_transform(actor=view.actor, **view.checked(request, ImportInput))
        return Response(view.represented(made), status=status.HTTP_201_CREATED)
