"""A buried pit on its way to a stage: an X-ray volume, a micrograph taken on the stage, and what joins them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from apps.imaging.models import Image
from apps.imaging.services import create_acquisition
from apps.spatial import services
from apps.spatial.models import Frame, FrameExtent, Mount, Roi, Transform
from tests.factories import InstrumentFactory
from tests.spatial.places import join, moved
from tests.web.conftest import SHAPE, World, spacing

NOON = dt.datetime(2024, 8, 1, 12, tzinfo=dt.UTC)
STAGE = {
    "x": 1,
    "y": -1,
    "z": 1,
    "length_unit": "mm",
    "angle_unit": "deg",
    "field_of_view_um": 400,
    "x_min_um": -50_000,
    "x_max_um": 50_000,
}
# The volume's z runs down into the piece, the stage's z towards the source.
DOWN = np.diag([1.0, -1.0, -1.0])
PIT = (120.0, 80.0, 50.0)


class Places:
    """The world of the pages with a place in it; samples of the volume are 10 um apart, those of the micrograph 5."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.xrm = InstrumentFactory(name="Xradia", manufacturer="Carl Zeiss X-ray Microscopy", modality="xrm")
        self.fib = InstrumentFactory(name="Helios", manufacturer="Thermo Fisher Scientific", stage_axes=dict(STAGE))
        self.mount: Mount = services.create_mount(
            actor=world.manager, specimen=world.specimen, instrument=self.fib, mounted_at=NOON
        )
        self.volume = self.image("volume", 10.0, "xrm", instrument=self.xrm)
        position = {"x": 3000.0, "y": 0.0, "z": 500.0, "rotation": 15.0, "tilt": 0.0}
        settings = {"working_distance": {"value": 4.0, "unit": "mm"}}
        self.sem = self.image(
            "micrograph", 5.0, "sem", instrument=self.fib, mount=self.mount, position=position, settings=settings
        )
        self.first = join(self.volume.frame, self.sem.frame, moved((-100, 120, 0), DOWN), 1.5)
        self.second = join(self.sem.frame, self.mount.frame, moved((2800, 0, 500)), 2.0)
        self.pit = self.roi("pit", {"type": "box", "coordinates": [[110, 70, 40], [130, 90, 60]]}, purpose="corrosion")

    def image(self, name: str, step: float, modality: str, **acquired: Any) -> Image:
        world = self.world
        acquisition = create_acquisition(
            actor=world.manager, project=world.project, specimen=world.specimen, modality=modality, **acquired
        )
        frame = Frame.objects.create(
            project=world.project,
            kind="image",
            name=name,
            description="made for a test",
            specimen=world.specimen,
            state=world.state,
        )
        ends = {}
        for axis, count in zip("zyx", SHAPE, strict=True):
            ends |= {f"{axis}_min": -0.5 * step, f"{axis}_max": (count - 0.5) * step}
        FrameExtent.objects.create(frame=frame, **ends)
        return world.image(
            scale=spacing(step), name=name, modality=modality, acquisition=acquisition, frame=world.recorded(frame)
        )

    def roi(self, name: str, geometry: dict[str, Any], **values: Any) -> Roi:
        frame = values.pop("frame", self.volume.frame)
        return services.create_roi(actor=self.world.manager, frame=frame, geometry=geometry, name=name, **values)

    def surface(self) -> Roi:
        corners = [[0, 0, 0], [230, 0, 0], [230, 190, 0], [0, 190, 0]]
        return self.roi("polished top", {"type": "polygon", "coordinates": corners}, purpose="surface")

    def candidate(self, **values: Any) -> Transform:
        """Six pairs between volume and micrograph, the last one wrong."""
        rng = np.random.default_rng(7)
        points = rng.uniform(10, 200, (7, 3)) * [1.0, 0.8, 0.5]
        matrix = np.array(moved((-100, 120, 0), DOWN)).reshape(4, 4)
        ends = points @ matrix[:3, :3].T + matrix[:3, 3] + rng.normal(0, 0.5, (7, 3))
        ends[5] += [30.0, 0.0, 0.0]
        pairs = [
            {"source": source.tolist(), "target": target.tolist(), "u_um": None}
            for source, target in zip(points, ends, strict=True)
        ]
        pairs[6] |= {"state": "held_out"}
        given = {"kind": "rigid", "method": "landmarks", "landmarks": pairs} | values
        return services.create_transform(
            actor=self.world.manager, source=self.volume.frame, target=self.sem.frame, **given
        )
