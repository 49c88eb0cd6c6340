"""REST of targeting: where to drive a stage for a region."""

from __future__ import annotations

import math
import uuid
from typing import Any, Final

import numpy as np
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import check_query
from apps.core.api.negotiation import AnyNegotiation
from apps.core.api.serializers import StrictSerializer
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.spatial import selectors, services
from apps.spatial.api.found import TargetedListSerializer, TargetedSerializer
from apps.spatial.api.frames import StepSerializer
from apps.spatial.api.told import clean_uuid
from apps.spatial.exchange.navigator import write_nav
from apps.spatial.exchange.positions import StagePosition, write_csv, write_fibsemos
from apps.spatial.models import Mount, Roi
from apps.spatial.targeting import Target, Verdict, check_surface, target_roi

_FORMATS: Final = {
    "csv": "text/csv; charset=utf-8",
    "fibsemos": "application/yaml; charset=utf-8",
    "nav": "text/plain; charset=utf-8",
}
WARNINGS: Final = "Corr-Warnings"  # header of files, which have no place for them
_HEADER: Final = 4_000  # characters: servers in front refuse more than some thousands
_ENDINGS: Final = {"csv": "csv", "fibsemos": "yaml", "nav": "nav"}


class PositionSerializer(serializers.Serializer[Any]):
    """What the stage shows: x, y, z, working distance in um, angles in degrees; null where it is not known."""

    x = serializers.FloatField()
    y = serializers.FloatField()
    z = serializers.FloatField()
    rotation = serializers.FloatField(allow_null=True)
    tilt = serializers.FloatField(allow_null=True)
    working_distance = serializers.FloatField(allow_null=True)


class DepthSerializer(serializers.Serializer[Any]):
    """How deep below the surface, along the beam."""

    depth_um = serializers.FloatField(allow_null=True, help_text="positive below; null without a surface")
    u95_um = serializers.FloatField(allow_null=True)
    surface = serializers.UUIDField(allow_null=True)
    entry = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="in the stage frame")
    entry_position = PositionSerializer(allow_null=True)
    reason = serializers.CharField(allow_blank=True, help_text="why there is no depth")


class NearLandmarkSerializer(serializers.Serializer[Any]):
    """A landmark near the entry, or near the place without a surface."""

    transform = serializers.UUIDField()
    number = serializers.IntegerField()
    point = serializers.ListField(child=serializers.FloatField(), help_text="in the stage frame")
    position = PositionSerializer()
    distance_um = serializers.FloatField()
    height_um = serializers.FloatField(allow_null=True, help_text="above the surface")


class FitsSerializer(serializers.Serializer[Any]):
    """Whether the region with its error fits the largest field of view; null = not known."""

    fits = serializers.BooleanField(allow_null=True)
    needed_um = serializers.FloatField(allow_null=True)
    field_of_view_um = serializers.FloatField(allow_null=True)
    reason = serializers.CharField()


class ReachSerializer(serializers.Serializer[Any]):
    """Whether the stage reaches the position; null = not known."""

    within = serializers.BooleanField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)


class TargetSerializer(serializers.Serializer[Any]):
    """Where to drive the stage of a mount so that a region is looked at."""

    roi = serializers.UUIDField()
    mount = serializers.UUIDField()
    instrument = serializers.UUIDField()
    frame = serializers.UUIDField(help_text="stage frame of the mount")
    position = PositionSerializer()
    pose_reason = serializers.CharField(allow_blank=True, help_text="why rotation or tilt is not known")
    point = serializers.ListField(child=serializers.FloatField(), help_text="in the stage frame")
    covariance = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), allow_null=True, help_text="of the point, um^2"
    )
    degrees_of_freedom = serializers.FloatField(allow_null=True, help_text="null where all errors were given")
    u95_um = serializers.FloatField(allow_null=True, help_text="longest half axis of the 95 % ellipsoid")
    factor = serializers.FloatField(allow_null=True, help_text="half axis / standard error along it")
    depth = DepthSerializer()
    landmarks = NearLandmarkSerializer(many=True)
    field = FitsSerializer()
    reach = ReachSerializer()
    path = StepSerializer(many=True)
    length_unit = serializers.CharField()
    angle_unit = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class SendInput(StrictSerializer):
    """Which mount, and why this region."""

    mount = serializers.UUIDField()
    reason = serializers.CharField(max_length=20_000, allow_blank=True, required=False)


class TargetingActions:
    """Actions of regions that lead to a stage; a part of the viewset of regions."""

    @extend_schema(
        parameters=[
            OpenApiParameter("mount", uuid.UUID, required=True),
            OpenApiParameter("surface", uuid.UUID, description="region that is the surface; the best drawn by default"),
            OpenApiParameter("format", str, enum=["json", *_FORMATS], description="json by default"),
        ],
        responses={
            (200, "application/json"): TargetSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/yaml"): OpenApiTypes.STR,
            (200, "text/plain"): OpenApiTypes.STR,
        },
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        filterset_class=None,
        pagination_class=None,
        content_negotiation_class=AnyNegotiation,
        extra_query_params=("mount", "surface"),
    )
    def targeting(self, request: Request, pk: str) -> HttpResponseBase:
        """Where to drive the stage of a mount, with depth, entry and 95 % error; 409 says what is not known."""
        view: Any = self
        check_query(request, ("mount", "surface", "format"))
        form = request.query_params.get("format", "json")
        if form != "json" and form not in _FORMATS:
            raise InvalidValueError(f"{shown(form)} is no format: json, {', '.join(_FORMATS)}", field="format")
        roi = view.get_object()
        target = target_roi(
            roi,
            find_mount(request, clean_uuid(request.query_params.get("mount"), "mount")),
            surface=_surface(request, roi),
        )
        if form == "json":
            return Response(told_target(target))
        answer = HttpResponse(_written(target, form), content_type=_FORMATS[form])
        answer["Content-Disposition"] = f'attachment; filename="target-{roi.pk}.{_ENDINGS[form]}"'
        if target.warnings:
            answer[WARNINGS] = _in_header(target.warnings)
        return answer

    @extend_schema(methods=["get"], responses={200: TargetedListSerializer}, filters=False)
    @extend_schema(methods=["post"], request=SendInput, filters=False)
    @action(detail=True, methods=["get", "post"], filterset_class=None, pagination_class=None)
    def target(self, request: Request, pk: str) -> Response:
        """Choose the region for the instrument of a mount: it becomes ``targeted``, and the choice is recorded.

        A GET tells the choices so far, each with the prediction that was seen.
        """
        view: Any = self
        roi = view.get_object()
        if request.method == "GET":
            check_query(request, ())
            return Response({"results": TargetedSerializer(roi.targetings.all(), many=True).data})
        body = SendInput(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        mount = find_mount(request, values.pop("mount"))
        return Response(view.represented(services.send_roi(actor=view.actor, roi=roi, mount=mount, **values)))


def find_mount(request: Request, key: uuid.UUID) -> Mount:
    """Return a mount that the caller sees, with what targeting reads of it."""
    rows = selectors.list_mounts(request.user).select_related("frame", "specimen", "instrument")
    return access.get_visible(rows, request.user, key, field="mount")


def _surface(request: Request, roi: Roi) -> Roi | None:
    given = request.query_params.get("surface")
    if given is None:
        return None
    key = clean_uuid(given, "surface")
    return check_surface(access.get_visible(selectors.list_rois(request.user), request.user, key, field="surface"), roi)


def _written(target: Target, form: str) -> str:
    positions = [target.position] + ([target.entry] if target.entry is not None else [])
    if form == "csv":
        return write_csv(positions, target.stage.units)
    if form == "fibsemos":
        return write_fibsemos(positions)
    error = "95 % error not known" if target.u95_um is None else f"95 % error {target.u95_um:.4g} um"
    depth = "" if target.depth is None else f", depth {target.depth.depth_um:.4g} um"
    said = "".join(f"; {warning}" for warning in target.warnings)
    return write_nav(positions, [f"{error}{depth}{said}", said.removeprefix("; ")])


def _in_header(warnings: list[str]) -> str:
    """One line of ASCII; what is no ASCII is a question mark."""
    text = "; ".join(" ".join(warning.split()) for warning in warnings)
    return "".join(char if char.isprintable() else "?" for char in text.encode("ascii", "replace").decode())[:_HEADER]


def told_target(target: Target) -> dict[str, Any]:
    """Return a target, JSON only."""
    known = target.u95_um is not None
    freedom = target.degrees_of_freedom
    return {
        "roi": str(target.roi.pk),
        "mount": str(target.mount.pk),
        "instrument": str(target.mount.instrument_id),
        "frame": str(target.mount.frame_id),
        "position": told_position(target.position),
        "pose_reason": target.pose_reason,
        "point": target.point.tolist(),
        "covariance": target.covariance.tolist() if known else None,
        "degrees_of_freedom": freedom if known and math.isfinite(freedom) else None,
        "u95_um": target.u95_um,
        "factor": _factor(target),
        "depth": _told_depth(target),
        "landmarks": [
            {
                "transform": str(near.transform),
                "number": near.number,
                "point": near.point.tolist(),
                "position": told_position(StagePosition("", *target.stage.reading(near.point))),
                "distance_um": near.distance_um,
                "height_um": near.height_um,
            }
            for near in target.landmarks
        ],
        "field": _told_field(target.field),
        "reach": {"within": target.reach.holds, "reason": target.reach.reason},
        "path": target.path.steps,
        "length_unit": "um",
        "angle_unit": "deg",
        "warnings": target.warnings,
    }


def _factor(target: Target) -> float | None:
    if target.u95_um is None:
        return None
    largest = float(np.linalg.eigvalsh(target.covariance)[-1])
    return target.u95_um / math.sqrt(largest) if largest > 0.0 else None


def _told_field(verdict: Verdict) -> dict[str, Any]:
    return {
        "fits": verdict.holds,
        "needed_um": verdict.needed_um,
        "field_of_view_um": verdict.limit_um,
        "reason": verdict.reason,
    }


def _told_depth(target: Target) -> dict[str, Any]:
    depth = target.depth
    if depth is None or target.entry is None:
        absent = dict.fromkeys(("depth_um", "u95_um", "surface", "entry", "entry_position"))
        return absent | {"reason": target.no_depth}
    return {
        "depth_um": depth.depth_um,
        "u95_um": depth.u95_um,
        "surface": str(depth.surface.pk),
        "entry": depth.entry.tolist(),
        "entry_position": told_position(target.entry),
        "reason": "",
    }


def told_position(position: StagePosition) -> dict[str, float | None]:
    """Return a stage reading, JSON only."""
    return {name: getattr(position, name) for name in ("x", "y", "z", "rotation", "tilt", "working_distance")}
