"""Where things are: frames, mounts, transforms and regions, and the loop from a prediction to what was found."""

from apps.spatial.models.loop import Found, Targeting
from apps.spatial.models.places import (
    Frame,
    FrameExtent,
    Landmark,
    Mount,
    Roi,
    Transform,
    TransformDecision,
    TransformOverride,
)

__all__ = [
    "Found",
    "Frame",
    "FrameExtent",
    "Landmark",
    "Mount",
    "Roi",
    "Targeting",
    "Transform",
    "TransformDecision",
    "TransformOverride",
]
