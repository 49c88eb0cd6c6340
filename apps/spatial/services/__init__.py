"""Changes to frames, mounts, transforms and regions: the only functions that write these rows."""

from apps.spatial.services.calibrated import open_calibrated_frame
from apps.spatial.services.events import record_specimen_event
from apps.spatial.services.frames import ensure_state_frame, open_frame
from apps.spatial.services.mounts import create_mount, end_mount
from apps.spatial.services.rois import create_roi
from apps.spatial.services.transforms import accept_transform, add_transform, create_transform, withdraw_transform

__all__ = [
    "accept_transform",
    "add_transform",
    "create_mount",
    "create_roi",
    "create_transform",
    "end_mount",
    "ensure_state_frame",
    "open_calibrated_frame",
    "open_frame",
    "record_specimen_event",
    "withdraw_transform",
]
