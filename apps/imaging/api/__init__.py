"""REST of acquisitions, series, files and images."""

from __future__ import annotations

from django.urls import path

from apps.imaging.api.acquisitions import AcquisitionViewSet, SeriesViewSet
from apps.imaging.api.answers import AnyNegotiation
from apps.imaging.api.attachments import AttachmentViewSet
from apps.imaging.api.calibrations import CalibrationApplyView
from apps.imaging.api.coverage import FrameNearView, RoiCoverageView
from apps.imaging.api.images import ImageViewSet
from apps.imaging.api.napari import ImageNapariView
from apps.imaging.api.shares import SharesView, ShareView
from apps.imaging.api.uploads import UploadViewSet

ROUTES = [
    ("acquisitions", AcquisitionViewSet, "acquisition"),
    ("images", ImageViewSet, "image"),
    ("series", SeriesViewSet, "series"),
    ("attachments", AttachmentViewSet, "attachment"),
    ("uploads", UploadViewSet, "upload"),
]
# Without the router: these addresses end without a slash.
URLS = [
    path("shares/", SharesView.as_view(), name="share-list"),
    path("shares/<str:name>/", ShareView.as_view(), name="share-detail"),
    path("rois/<uuid:pk>/coverage/", RoiCoverageView.as_view(), name="roi-coverage"),
    path("images/<uuid:pk>/napari/", ImageNapariView.as_view(), name="image-napari"),
    path("frames/<uuid:pk>/near/", FrameNearView.as_view(), name="frame-near"),
    path("calibrations/<uuid:pk>/apply/", CalibrationApplyView.as_view(), name="calibration-apply"),
    path(
        "images/<uuid:pk>/zarr/<path:key>",
        ImageViewSet.as_view({"get": "zarr"}, content_negotiation_class=AnyNegotiation, filterset_class=None),
        name="image-zarr",
    ),
    path(
        "attachments/<uuid:pk>/file",
        AttachmentViewSet.as_view({"get": "file"}, content_negotiation_class=AnyNegotiation, filterset_class=None),
        name="attachment-file",
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
