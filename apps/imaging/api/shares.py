"""REST of shares: folders of the server that files can be taken from."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api.filters import check_query
from apps.imaging import services
from apps.imaging.api.caller import caller


class ShareSerializer(serializers.Serializer[Any]):
    """A share by its name."""

    name = serializers.CharField()


class SharesSerializer(serializers.Serializer[Any]):
    """All shares."""

    results = ShareSerializer(many=True)


class ShareFileSerializer(serializers.Serializer[Any]):
    """A file of a share."""

    name = serializers.CharField()
    size = serializers.IntegerField()
    changed_at = serializers.DateTimeField()


class LeftOutSerializer(serializers.Serializer[Any]):
    """Something that is never taken, and why."""

    name = serializers.CharField()
    why = serializers.CharField()


class GroupSerializer(serializers.Serializer[Any]):
    """Files that belong together."""

    primary = serializers.CharField()
    side_cars = serializers.ListField(child=serializers.CharField())
    format = serializers.CharField(help_text="as name and first bytes suggest")
    why = serializers.CharField()


class ListingSerializer(serializers.Serializer[Any]):
    """One folder of a share."""

    share = serializers.CharField()
    path = serializers.CharField()
    folders = serializers.ListField(child=serializers.CharField())
    files = ShareFileSerializer(many=True)
    left_out = serializers.SerializerMethodField()
    groups = GroupSerializer(many=True)

    @extend_schema_field(LeftOutSerializer(many=True))
    def get_left_out(self, row: services.Listing) -> list[dict[str, str]]:
        """Links and what else is never taken."""
        return [{"name": name, "why": why} for name, why in row.left_out]


class SharesView(APIView):
    """The shares of this installation."""

    @extend_schema(operation_id="shares_list", responses={200: SharesSerializer})
    def get(self, request: Request) -> Response:
        """Names of the shares (contributor of any project)."""
        check_query(request)
        return Response({"results": [{"name": name} for name in services.share_names(actor=caller(request))]})


class ShareView(APIView):
    """One share."""

    @extend_schema(
        operation_id="shares_retrieve",
        parameters=[OpenApiParameter("path", str, description="folder below the share; the share itself without")],
        responses={200: ListingSerializer},
    )
    def get(self, request: Request, name: str) -> Response:
        """What lies in a folder, in groups of files that belong together; links are named and never followed."""
        check_query(request, ("path",))
        found = services.list_share(actor=caller(request), share=name, path=request.query_params.get("path", ""))
        return Response(ListingSerializer(found).data)
