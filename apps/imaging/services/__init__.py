"""Changes to acquisitions, files and images."""

from __future__ import annotations

from apps.imaging.services.acquisitions import create_acquisition, create_series, move_acquisition
from apps.imaging.services.attachments import AttachmentReceipt, open_attachment
from apps.imaging.services.calibrate import calibrate_image
from apps.imaging.services.calibrations import Applied, apply_calibration, apply_to_instrument
from apps.imaging.services.ingest import follow_retry, start_ingest
from apps.imaging.services.preview import start_preview
from apps.imaging.services.publish import create_image, publish_ingest, record_sources
from apps.imaging.services.receipts import AcquisitionReceipt, open_receipt, receive_files
from apps.imaging.services.receive import Receipt
from apps.imaging.services.rescale import register_scale_dependents
from apps.imaging.services.shares import Listing, import_files, list_share, share_names
from apps.imaging.services.uploads import (
    CHECKSUMS,
    MOST_OPEN,
    Checksum,
    begin_upload,
    receive_piece,
    remove_upload,
    take_uploads,
)
from apps.imaging.services.words import update_acquisition

__all__ = [
    "CHECKSUMS",
    "MOST_OPEN",
    "AcquisitionReceipt",
    "Applied",
    "AttachmentReceipt",
    "Checksum",
    "Listing",
    "Receipt",
    "apply_calibration",
    "apply_to_instrument",
    "begin_upload",
    "calibrate_image",
    "create_acquisition",
    "create_image",
    "create_series",
    "follow_retry",
    "import_files",
    "list_share",
    "move_acquisition",
    "open_attachment",
    "open_receipt",
    "publish_ingest",
    "receive_files",
    "receive_piece",
    "record_sources",
    "register_scale_dependents",
    "remove_upload",
    "share_names",
    "start_ingest",
    "start_preview",
    "take_uploads",
    "update_acquisition",
]
