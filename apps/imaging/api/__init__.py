"""REST of acquisitions, series, files and images."""

from __future__ import annotations

from django.urls import path

from apps.imaging.api.acquisitions import AcquisitionViewSet, SeriesViewSet
from apps.imaging.api.images import AnyNegotiation, ImageViewSet

ROUTES = [
    ("acquisitions", AcquisitionViewSet, "acquisition"),
    ("images", ImageViewSet, "image"),
    ("series", SeriesViewSet, "series"),
]
# Without the router: these addresses end without a slash.
URLS = [
    path(
        "images/<uuid:pk>/zarr/<path:key>",
        ImageViewSet.as_view({"get": "zarr"}, content_negotiation_class=AnyNegotiation, filterset_class=None),
        name="image-zarr",
    ),
    path(
        "images/<uuid:pk>/thumbnail.png",
        ImageViewSet.as_view(
            {"get": "thumbnail"},
            content_negotiation_class=AnyNegotiation,
            filterset_class=None,
            extra_query_params=("size",),
        ),
        name="image-thumbnail",
    ),
]
