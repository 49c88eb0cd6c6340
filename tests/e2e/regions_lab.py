"""A pit on its way from an X-ray volume to a FIB-SEM: ``python -m tests.e2e.regions_lab ACCOUNT`` beside a server.

All of it is made, the pictures too, and the names of the project and the images say so.  Writes the addresses of the
pages as one JSON object, name -> path.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

import django

django.setup()

import numpy as np  # noqa: E402
from django.urls import reverse  # noqa: E402

from analyses.sdk.omezarr import write_image  # noqa: E402
from apps.catalog.models import Instrument, Specimen  # noqa: E402
from apps.catalog.services import create_instrument, create_specimen  # noqa: E402
from apps.core import storage  # noqa: E402
from apps.core.models import Store  # noqa: E402
from apps.imaging.models import Image  # noqa: E402
from apps.imaging.services import create_acquisition  # noqa: E402
from apps.projects.models import Role, User  # noqa: E402
from apps.projects.services import create_project, create_user, set_member  # noqa: E402
from apps.provenance import record  # noqa: E402
from apps.spatial import services  # noqa: E402
from apps.spatial.models import Frame, FrameExtent, Transform  # noqa: E402
from tests.e2e.regions_data import PASSWORD  # noqa: E402

STAGE = {
    "x": 1,
    "y": -1,
    "z": 1,
    "length_unit": "mm",
    "angle_unit": "deg",
    "field_of_view_um": 900,
    "x_min_um": -50_000,
    "x_max_um": 50_000,
}
NOON = dt.datetime(2024, 8, 1, 12, tzinfo=dt.UTC)


def volume() -> np.ndarray:
    """Fibres across a matrix, (z, y, x), with a dark pit below its surface; samples 10 um apart."""
    z, y, x = np.mgrid[0:48, 0:96, 0:128].astype(np.float32)
    fibres = (np.hypot((y + 0.15 * x) % 16 - 8, z % 16 - 8) < 5).astype(np.float32)
    grey = 18_000 + 22_000 * fibres + np.random.default_rng(1).normal(0, 1500, fibres.shape)
    pit = ((x - 66) / 6) ** 2 + ((y - 42) / 5) ** 2 + ((z - 18) / 4) ** 2 < 1
    return np.where(pit, 2_000, grey).clip(0, 65_535).astype(np.uint16)


def micrograph() -> np.ndarray:
    """The polished surface of it, (1, y, x); samples 2 um apart."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:480, 0:640].astype(np.float32)
    fibres = np.abs((y + 0.15 * x) % 80 - 40) < 24
    grey = np.where(fibres, 170.0, 80.0)[None] + rng.normal(0, 9, (1, 480, 640))
    return grey.clip(0, 255).astype(np.uint8)


class Lab:
    """What the pages are shown of."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.project = create_project(actor=user, name="Pit on its way (made)", description="Everything here is made.")
        self.specimen: Specimen = create_specimen(actor=user, project=self.project, name="Corroded coupon (made)")
        self.xrm = self._instrument("Xradia Versa (made)", "Carl Zeiss X-ray Microscopy", "xrm")
        self.fib = self._instrument("Helios (made)", "Thermo Fisher Scientific", "fib_sem", stage_axes=STAGE)
        self.bare = self._instrument("Old stage (made)", "Nobody", "sem")
        self.mount = services.create_mount(
            actor=user, specimen=self.specimen, instrument=self.fib, mounted_at=NOON, holder="Stub 3"
        )
        self.unknown = services.create_mount(
            actor=user, specimen=self.specimen, instrument=self.bare, mounted_at=NOON + dt.timedelta(days=1)
        )
        self.volume = self._image("Volume (made)", volume(), 10.0, modality="xrm", instrument=self.xrm)
        self.sem = self._image(
            "Surface (made)",
            micrograph(),
            2.0,
            modality="fib_sem",
            instrument=self.fib,
            mount=self.mount,
            acquired_at="2024-08-01T12:30:00",
            position={"x": 3000.0, "y": 0.0, "z": 500.0, "rotation": 15.0, "tilt": 0.0},
            settings={"working_distance": {"value": 4.0, "unit": "mm"}},
        )

    def _instrument(self, name: str, manufacturer: str, modality: str, **more: Any) -> Instrument:
        return create_instrument(actor=self.user, name=name, manufacturer=manufacturer, modality=modality, **more)

    def _image(self, name: str, array: np.ndarray, step: float, **acquired: Any) -> Image:
        acquisition = create_acquisition(actor=self.user, project=self.project, specimen=self.specimen, **acquired)
        key = storage.new_key("zarr")
        path = storage.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, array, axes=("z", "y", "x"), spacing_um=dict.fromkeys("zyx", step))
        store = Store.objects.create(
            kind="zarr", key=key, state="ready", digest=f"sha256:{key}", manifest="{}", size_bytes=1, file_count=1
        )
        frame = Frame(
            project=self.project,
            kind="image",
            name=name,
            description="Origin in the centre of sample 0; x along columns, y along rows, z along planes.",
            specimen=self.specimen,
            state=acquisition.state,
        )
        with record.act("made", actor=self.user, project=self.project.pk) as act:
            services.open_frame(act, frame)
            ends = {}
            for axis, count in zip("zyx", array.shape, strict=True):
                ends |= {f"{axis}_min": -0.5 * step, f"{axis}_max": (count - 0.5) * step}
            FrameExtent.objects.create(frame=frame, **ends)
            image = Image.objects.create(
                project=self.project,
                specimen=self.specimen,
                state=acquisition.state,
                acquisition=acquisition,
                name=name,
                kind="intensity",
                modality=acquisition.modality,
                store=store,
                axes=["z", "y", "x"],
                shape=list(array.shape),
                dtype=str(array.dtype),
                spacing={axis: {"value": step, "unit": "um", "source": "user", "u": None} for axis in "zyx"},
                calibrated=True,
                frame=frame,
                levels=[{"path": "0", "shape": list(array.shape)}],
                facts={},
                created_by=self.user,
            )
            act.created(image)
        return image

    def fitted(self, seed: int, wrong: bool) -> Transform:
        """Pairs between volume and micrograph: the volume's z runs down, that of the stage towards the source."""
        rng = np.random.default_rng(seed)
        source = rng.uniform([50, 50, 0], [1200, 900, 300], (9, 3))
        target = source * [1.0, -1.0, -1.0] + [-20.0, 930.0, 0.0] + rng.normal(0, 1.0, (9, 3))
        if wrong:
            target[4] += [60.0, -20.0, 0.0]
        pairs: list[dict[str, Any]] = [
            {"source": one.tolist(), "target": other.tolist()} for one, other in zip(source, target, strict=True)
        ]
        pairs[8] |= {"state": "held_out"}
        return services.create_transform(
            actor=self.user,
            source=self.volume.frame,
            target=self.sem.frame,
            kind="rigid",
            method="landmarks",
            landmarks=pairs,
            reason="Corners of fibres." if not wrong else "A second try.",
        )

    def placed(self) -> Transform:
        """From the micrograph to the stage, as its stage reading says."""
        matrix = np.eye(4)
        matrix[:3, 3] = [2360.0, 480.0, 500.0]
        covariance = np.zeros((12, 12))
        covariance[[3, 7, 11], [3, 7, 11]] = 9.0
        return services.create_transform(
            actor=self.user,
            source=self.sem.frame,
            target=self.mount.frame,
            kind="rigid",
            method="manual",
            matrix=matrix.ravel().tolist(),
            covariance=covariance.tolist(),
            no_residual_reason="read from the stage",
        )


def make(user: User) -> dict[str, str]:
    """Make all of it as one account; return the address of each page by name."""
    lab = Lab(user)
    for name, role in (("vera", Role.VIEWER), ("aude", Role.AUDITOR)):
        person = User.objects.filter(username=name).first() or create_user(username=name, password=PASSWORD)
        set_member(actor=user, project=lab.project, username=person.get_username(), role=role)
    first, second, stage = lab.fitted(3, False), lab.fitted(4, True), lab.placed()
    services.accept_transform(actor=user, transform=first, reason="Residuals as the samples are wide.")
    services.accept_transform(actor=user, transform=stage, no_residual_reason="The stage reads to 3 µm.")
    frame = lab.volume.frame
    corners = [[x, y, 0.0] for x, y in ((5, 5), (1270, 5), (1270, 950), (5, 950))]
    services.create_roi(
        actor=user,
        frame=frame,
        name="Polished top",
        purpose="surface",
        geometry={"type": "polygon", "coordinates": corners},
    )
    low, high = [600.0, 370.0, 140.0], [720.0, 470.0, 220.0]
    guess = {"type": "box", "coordinates": [[580.0, 350.0, 120.0], [740.0, 490.0, 240.0]]}
    rough = services.create_roi(actor=user, frame=frame, name="Pit", purpose="Deep attack, first guess", geometry=guess)
    pit = services.create_roi(
        actor=user,
        frame=frame,
        name="Pit",
        purpose="Deepest attack after 12 h: cut it with the FIB",
        geometry={"type": "box", "coordinates": [low, high]},
        supersedes=rough,
        target_instrument=lab.fib,
    )
    for shift in ((4.0, -3.0, 1.0), (6.5, -1.0, -2.0), (2.0, -4.5, 0.5)):
        _found(lab, shift)
    pages = {
        "region": reverse("region", args=[pit.pk]),
        "former region": reverse("region", args=[rough.pk]),
        "sheet": f"{reverse('region-sheet', args=[pit.pk])}?mount={lab.mount.pk}",
        "accepted transform": reverse("transform", args=[first.pk]),
        "candidate": reverse("transform", args=[second.pk]),
        "frames": reverse("specimen-frames", args=[lab.specimen.pk]),
        "specimen of the pit": reverse("specimen", args=[lab.specimen.pk]),
        "volume": reverse("image", args=[lab.volume.pk]),
        "record a mount": reverse("mount-add", args=[lab.specimen.pk]),
        "end a mount": reverse("mount-ended", args=[lab.mount.pk]),
    }
    return pages | {"mount": str(lab.mount.pk), "unknown mount": str(lab.unknown.pk)}


def _found(lab: Lab, shift: tuple[float, float, float]) -> None:
    """An earlier place that was found a little beside where it was predicted to be."""
    point = {"type": "point", "coordinates": [300.0 + 40.0 * shift[0], 500.0, 60.0]}
    row = services.create_roi(actor=lab.user, frame=lab.volume.frame, name=f"Test mark {shift[0]:g}", geometry=point)
    x, y, z = point["coordinates"]
    at = np.array([x - 20.0 + 2360.0, 930.0 - y + 480.0, 500.0 - z]) + shift
    position = {"x": at[0], "y": -at[1], "z": at[2]}
    services.record_found(actor=lab.user, roi=row, mount=lab.mount, position=position, u_um=1.0)


def main() -> None:
    """Make the lab, and say where it is."""
    print(json.dumps(make(User.objects.get(username=sys.argv[1]))))


if __name__ == "__main__":
    main()
