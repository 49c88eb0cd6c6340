"""Changes to acquisitions, files and images."""

from __future__ import annotations

from apps.imaging.services.acquisitions import create_acquisition, create_series, move_acquisition
from apps.imaging.services.calibrate import calibrate_image
from apps.imaging.services.ingest import follow_retry, start_ingest
from apps.imaging.services.publish import create_image, publish_ingest, record_sources
from apps.imaging.services.receive import Receipt, open_receipt, receive_files
from apps.imaging.services.rescale import register_scale_dependents

__all__ = [
    "Receipt",
    "calibrate_image",
    "create_acquisition",
    "create_image",
    "create_series",
    "follow_retry",
    "move_acquisition",
    "open_receipt",
    "publish_ingest",
    "receive_files",
    "record_sources",
    "register_scale_dependents",
    "start_ingest",
]
