"""Changes to frames, mounts, transforms and regions: the only functions that write these rows."""

from apps.spatial.services.calibrated import open_calibrated_frame
from apps.spatial.services.decisions import accept_transform, override_transform, withdraw_transform
from apps.spatial.services.events import record_specimen_event
from apps.spatial.services.found import record_found, send_roi
from apps.spatial.services.frames import ensure_state_frame, open_frame
from apps.spatial.services.joins import join_frames
from apps.spatial.services.mounts import create_mount, end_mount
from apps.spatial.services.rois import create_roi
from apps.spatial.services.stage import place_on_stage
from apps.spatial.services.transforms import add_transform, create_transform, prepare_transform

__all__ = [
    "accept_transform",
    "add_transform",
    "create_mount",
    "create_roi",
    "create_transform",
    "end_mount",
    "ensure_state_frame",
    "join_frames",
    "open_calibrated_frame",
    "open_frame",
    "override_transform",
    "place_on_stage",
    "prepare_transform",
    "record_found",
    "record_specimen_event",
    "send_roi",
    "withdraw_transform",
]
