"""REST of frames, mounts, transforms and regions, and of specimen events, which open frames."""

from apps.spatial.api.events import SpecimenEventViewSet
from apps.spatial.api.found import FoundViewSet
from apps.spatial.api.frames import FrameViewSet
from apps.spatial.api.mounts import MountViewSet
from apps.spatial.api.rois import RoiViewSet
from apps.spatial.api.transforms import TransformViewSet

ROUTES = [
    ("specimen-events", SpecimenEventViewSet, "specimen-event"),
    ("mounts", MountViewSet, "mount"),
    ("frames", FrameViewSet, "frame"),
    ("transforms", TransformViewSet, "transform"),
    ("rois", RoiViewSet, "roi"),
    ("found", FoundViewSet, "found"),
]
