"""A small installation with one of each thing: accounts of every role, a project, real bytes, jobs in every state.

What belongs to the project carries ``CANARY`` in its name: an answer to somebody who may not see the project must not
hold that word.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from django.contrib.auth.models import Group
from django.db.models import Model
from django.utils import timezone

from apps.analysis.services import create_outside_activity, open_outside_receipt, submit
from apps.catalog.services import add_material_property
from apps.core import storage
from apps.core.ids import new_id
from apps.imaging.models import Acquisition, Attachment, Image
from apps.imaging.services import (
    begin_upload,
    create_acquisition,
    create_series,
    open_attachment,
    receive_files,
    start_ingest,
)
from apps.imaging.services.receipts import take_files
from apps.jobs import runner
from apps.jobs.models import Job, JobLogLine
from apps.projects.access import AUDITOR_GROUP
from apps.projects.models import ApiToken, Membership, Project, User
from apps.projects.services import issue_token, set_member
from apps.results.models import Property
from apps.results.services import release_result, review_result
from apps.spatial.services import accept_transform, record_found
from tests.factories import (
    CalibrationFactory,
    InstrumentFactory,
    MaterialFactory,
    MountFactory,
    ProjectFactory,
    RoiFactory,
    SpecimenEventFactory,
    SpecimenFactory,
    StaffFactory,
    TransformFactory,
    UserFactory,
    member,
)

CANARY = "canarybird"
ROLES = (
    "anonymous",
    "outsider",
    "viewer",
    "contributor",
    "manager",
    "auditor",
    "site_auditor",
    "staff",
    "superuser",
    "staff_manager",
    "read_token",
)
SPECTRUM = (
    "".join(
        f"#{key:<12}: {value}\r\n"
        for key, value in (
            ("FORMAT", "EMSA/MAS Spectral Data File"),
            ("VERSION", "1.0"),
            ("TITLE", CANARY),
            ("NPOINTS", "40"),
            ("NCOLUMNS", "1"),
            ("XUNITS", "keV"),
            ("YUNITS", "counts"),
            ("DATATYPE", "Y"),
            ("XPERCHAN", "0.01"),
            ("OFFSET", "0.0"),
            ("SPECTRUM", "40 values"),
        )
    ).encode()
    + b"".join(b"%d,\r\n" % value for value in range(40))
    + b"#ENDOFDATA   : \r\n"
)
SPACING = {"spacing_um": {"x": 0.5, "y": 0.5, "z": 0.5}, "spacing_u_um": 0.01}


@dataclass
class World:
    """Everything that a request may need an id of."""

    users: dict[str, User]
    project: Project
    foreign: dict[str, str]
    read_key: str
    things: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["things"][name]
        except KeyError as error:
            raise AttributeError(f"the world has no {name}") from error

    @property
    def store_path(self) -> Path:
        """Folder of the image's store."""
        return storage.path(self.things["image"].store.key)

    def id(self, name: str) -> str:
        """Id of a thing as text."""
        return str(self.things[name].pk)


def tiff_bytes(seed: int) -> bytes:
    """A volume of two phases with some noise, (z, y, x) = (4, 12, 16), that differs with the seed."""
    rng = np.random.default_rng(seed)
    samples = np.where(rng.random((4, 12, 16)) > 0.5, 180, 40) + rng.integers(0, 9, (4, 12, 16))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples.astype(np.uint8), photometric="minisblack")
    return buffer.getvalue()


def _accounts(project: Project) -> tuple[dict[str, User], str]:
    """Make the accounts of the roles; returns them and the key of the manager's read-only token."""
    users = {"outsider": UserFactory(username="outsider"), "manager": project.created_by}
    for role in ("viewer", "contributor", "auditor"):
        users[role] = member(project, role, username=role)
    users["site_auditor"] = UserFactory(username="site_auditor")
    users["site_auditor"].groups.add(Group.objects.get_or_create(name=AUDITOR_GROUP)[0])
    users["staff"] = StaffFactory(username="staff")
    users["superuser"] = StaffFactory(username="superuser", is_superuser=True)
    users["staff_manager"] = member(project, "manager", username="staff_manager", is_staff=True)
    _, key = issue_token(user=users["manager"], name="reads", scope=ApiToken.Scope.READ)
    return users, key


def _foreign() -> dict[str, str]:
    """Ids of another project, whose manager is nobody here."""
    mount = MountFactory(
        specimen=SpecimenFactory(project=ProjectFactory(actor=UserFactory(username="neighbour"), name="Elsewhere"))
    )
    specimen = mount.specimen
    roi = RoiFactory(frame=mount.frame)
    transform = TransformFactory(source=mount.frame)
    acquisition = create_acquisition(
        actor=specimen.project.created_by, project=specimen.project, specimen=specimen, modality="sem"
    )
    rows = {
        "project": specimen.project,
        "specimen": specimen,
        "parent": specimen,
        "child": specimen,
        "state": specimen.current_state,
        "mount": mount,
        "frame": mount.frame,
        "source": mount.frame,
        "target": mount.frame,
        "to": mount.frame,
        "replaces": transform,
        "roi": roi,
        "transform": transform,
        "acquisition": acquisition,
    }
    return {name: str(row.pk) for name, row in rows.items()}


def build() -> World:
    """Make the world; jobs run for real, in this process, their work in children."""
    project = ProjectFactory(
        actor=UserFactory(username="manager"), name=f"{CANARY} project", description=f"{CANARY} at work"
    )
    users, key = _accounts(project)
    world = World(users=users, project=project, foreign=_foreign(), read_key=key)
    world.things |= {"project": project, "leaver": UserFactory(username="leaver"), **_site_wide()}
    membership = set_member(actor=users["manager"], project=project, username="leaver", role="viewer")
    world.things |= {"membership": membership}
    world.things |= {f"token_{name}": issue_token(user=user, name="own")[0] for name, user in users.items()}
    _specimens(world)
    _milled(world)
    _images(world)
    _analyses(world)
    _outside(world)
    assert not list(storage.job_folders()), "a job left staging behind"
    return world


def _outside(world: World) -> None:
    """A table measured outside, read by its job, reviewed and released; and an attachment."""
    manager, reviewer = world.users["manager"], world.users["staff_manager"]
    with open_outside_receipt(actor=manager, project=world.project) as receipt:
        take_files(receipt, [(f"{CANARY}.csv", "text/csv", [b"fibre,length [um]\n1,12.5\n2,14\n"])])
        outside = create_outside_activity(
            actor=manager,
            project=world.project,
            kind="measurement",
            software=f"{CANARY} measurer",
            version="2.1",
            inputs=[world.id("image")],
            receipt=receipt,
        )
    _execute(Job.objects.get(pk=outside.job_id), "succeeded")
    with open_attachment(actor=manager, thing=world.specimen) as receipt:
        take_files(receipt, [(f"{CANARY} certificate.txt", "text/plain", [b"2.0 um +- 0.1 um"])])
        attachment = receipt.commit()
    released, table = world.measure.properties.order_by("name").first(), outside.tables.get()
    for row in (world.property, world.table, released, table):
        review_result(actor=reviewer, row=row, verdict="approved", comment=f"{CANARY} agrees")
    for row in (released, table):
        release_result(actor=manager, row=row)
    source_file = world.acquisition.files.get()
    upload = begin_upload(actor=world.users["contributor"], name=f"{CANARY}.raw", size=5)
    world.things |= {
        "outside": outside,
        "attachment": attachment,
        "upload": upload,
        "released": released,
        "released_table": table,
    }
    world.things |= {"source_file": source_file}


def _site_wide() -> dict[str, Model]:
    material = MaterialFactory(name="Epoxy")
    value = add_material_property(
        actor=material.created_by, material=material, quantity="thermal_conductivity", value=0.2, unit="W/(m.K)"
    )
    instrument = InstrumentFactory(name="Microscope", stage_axes={"x": 1, "y": 1, "z": 1})
    return {
        "material": material,
        "material_property": value,
        "instrument": instrument,
        "calibration": CalibrationFactory(instrument=instrument),
    }


def _specimens(world: World) -> None:
    manager = world.users["manager"]
    specimen = SpecimenFactory(project=world.project, name=f"{CANARY} specimen", material=world.material)
    piece = SpecimenFactory(project=world.project, name=f"{CANARY} piece", parent=specimen)
    event = SpecimenEventFactory(specimen=specimen, note=f"{CANARY} polished")
    mount = MountFactory(specimen=specimen, instrument=world.instrument, holder=f"{CANARY} stub")
    transform = TransformFactory(source=mount.frame, reason=f"{CANARY} reason")
    specimen.refresh_from_db()
    seen = RoiFactory(frame=mount.frame, name=f"{CANARY} pit")
    world.things |= {
        "specimen": specimen,
        "piece": piece,
        "event": event,
        "mount": mount,
        "frame": mount.frame,
        "target": transform.target,
        "transform": transform,
        "roi": RoiFactory(frame=mount.frame, name=f"{CANARY} place"),
        "found": record_found(
            actor=manager, roi=seen, mount=mount, position={"x": 1.0, "y": 2.0, "z": 3.0}, note=f"{CANARY} corner"
        ),
        "series": create_series(
            actor=manager, project=world.project, specimen=specimen, kind="time", name=f"{CANARY} series"
        ),
    }


def _milled(world: World) -> None:
    """An accepted transform of the piece, and the state after milling, for which it does not hold."""
    transform = TransformFactory(source=MountFactory(specimen=world.piece).frame)
    accept_transform(actor=world.users["manager"], transform=transform, reason=f"{CANARY} fits")
    event = SpecimenEventFactory(specimen=world.piece, kind="mill")
    world.things |= {"accepted": transform, "milled": event.opens}


def _acquisition(world: World, name: str | None, seed: int) -> Acquisition:
    """Make an acquisition, with a file unless it has no name."""
    manager = world.users["manager"]
    acquisition = create_acquisition(actor=manager, project=world.project, specimen=world.specimen, modality="xrm")
    if name:
        receive_files(
            actor=manager, acquisition=acquisition, files=[(f"{CANARY}-{name}.tif", "image/tiff", [tiff_bytes(seed)])]
        )
    return acquisition


def _images(world: World) -> None:
    """Three acquisitions: without files, with a file, and with an image that a job made of one."""
    done = _acquisition(world, "volume", seed=1)
    job = start_ingest(actor=world.users["manager"], acquisition=done, overrides=SPACING)
    _execute(job, "succeeded")
    world.things |= {
        "acquisition": done,
        "waiting": _acquisition(world, "waiting", seed=2),
        "empty": _acquisition(world, None, seed=0),
        "ingest": job,
        "image": Image.objects.get(acquisition=done),
    }
    measured = _acquisition(world, None, seed=0)
    receive_files(actor=done.created_by, acquisition=measured, files=[(f"{CANARY}.msa", "text/plain", [SPECTRUM])])
    _execute(start_ingest(actor=world.users["manager"], acquisition=measured), "succeeded")
    world.things |= {"spectrum": Image.objects.get(acquisition=measured)}


def _execute(job: Job, status: str) -> None:
    runner.execute(job.pk)
    job.refresh_from_db()
    assert job.status == status, f"{job.plugin or job.kind}: {job.status} {job.exit_code} {job.message}"


def submission(world: World, plugin: str, inputs: dict[str, str], **params: Any) -> dict[str, Any]:
    """Arguments of a submission."""
    return {"project": world.project, "plugin": plugin, "inputs": inputs, "params": params}


def _analyses(world: World) -> None:
    """Two analyses that succeeded, one that failed, one that waits."""
    manager, image = world.users["manager"], {"image": world.id("image")}

    def ask(plugin: str, inputs: dict[str, str], **params: Any) -> Job:
        return submit(actor=manager, **submission(world, plugin, inputs, **params))[0]

    threshold = ask("segmentation.threshold", image, method="otsu")
    _execute(threshold, "succeeded")
    labels = Image.objects.get(job=threshold)
    JobLogLine.objects.create(job=threshold, attempt=1, at=timezone.now(), text=f"{CANARY} line")
    measure = ask("segmentation.measure", {"labels": str(labels.pk)})
    _execute(measure, "succeeded")
    failed = ask("segmentation.threshold", image, channel=7)
    _execute(failed, "failed")
    world.things |= {
        "threshold": threshold,
        "measure": measure,
        "failed": failed,
        "queued": ask("segmentation.threshold", image, method="fixed", thresholds=[100.0]),
        "labels": labels,
        "table": measure.tables.first(),
        "property": threshold.properties.first(),
    }


def member_of(world: World, username: str) -> Membership:
    """Membership of an account in the project."""
    return Membership.objects.get(project=world.project, user__username=username)


def double(world: World) -> None:
    """Make one more of everything that a list shows, in the same project."""
    manager = world.users["manager"]
    specimen = SpecimenFactory(project=world.project, material=world.material)
    SpecimenFactory(project=world.project, parent=world.specimen)
    SpecimenEventFactory(specimen=world.specimen)
    mount = MountFactory(specimen=world.specimen, instrument=InstrumentFactory())
    CalibrationFactory()
    add_material_property(
        actor=world.users["staff"], material=MaterialFactory(), quantity="density", value=1.0, unit="g/cm3"
    )
    RoiFactory(frame=world.frame)
    TransformFactory(source=mount.frame, target=world.frame)
    create_series(actor=manager, project=world.project, specimen=specimen, kind="time", name="another")
    _acquisition(world, "more", seed=5)
    ProjectFactory(actor=world.users["viewer"])
    issue_token(user=world.users["viewer"], name="more")
    for thing in (world.image, world.labels, world.property, world.table, world.threshold, world.failed):
        _copy(thing)
    for thing in (world.outside, world.attachment):
        _copy(thing)
    begin_upload(actor=world.users["contributor"], name="more.raw", size=5)


def _copy(row: Any) -> None:
    """Add a row like another, as a job of its own would have made it."""
    new = type(row).objects.get(pk=row.pk)
    new.pk = new_id()
    new._state.adding = True
    if isinstance(new, Job):
        new.content_key = ""
    if isinstance(new, Property | Attachment):
        new.name = f"{new.name} again"
    new.save(force_insert=True)
