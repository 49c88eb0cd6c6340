"""A small world: a project, a specimen, images with and without scale, jobs in every state, numbers of every form."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.utils import timezone

from analyses.sdk.omezarr import write_image
from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import Image
from apps.imaging.services import create_acquisition
from apps.jobs import dispatch
from apps.jobs.models import Job, JobAttempt, JobLogLine
from apps.provenance import record
from apps.results.models import Property, Table
from apps.spatial.models import Frame
from tests.factories import MaterialFactory, ProjectFactory, SpecimenEventFactory, SpecimenFactory, UserFactory, member

SHAPE = (12, 20, 24)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "ring", lambda job_id: True)


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, settings: Any) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    settings.CORR_DATA_ROOT = root
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # nobody guesses at these
    return root


def zarr_store(array: np.ndarray, kind: str = "intensity") -> Store:
    key = storage.new_key("zarr")
    path = storage.path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, array, axes=("z", "y", "x"), spacing_um={}, kind=kind)
    return Store.objects.create(
        kind="zarr", key=key, state="ready", digest=f"sha256:{key}", manifest="{}", size_bytes=1, file_count=1
    )


def spacing(value: float, source: str = "user", u: float | None = 0.05) -> dict[str, Any]:
    return {axis: {"value": value, "unit": "um", "source": source, "u": u} for axis in ("z", "y", "x")}


class World:
    """Rows as jobs leave them, made without running any."""

    def __init__(self) -> None:
        self.project = ProjectFactory(name="Fibres")
        self.manager = self.project.created_by
        self.viewer = member(self.project, "viewer")
        self.contributor = member(self.project, "contributor")
        self.outsider = UserFactory()
        self.specimen = SpecimenFactory(project=self.project, name="Coupon", material=MaterialFactory(name="Composite"))
        self.event = SpecimenEventFactory(specimen=self.specimen, conditions={"time": {"value": 24.0, "unit": "h"}})
        self.acquisition = create_acquisition(
            actor=self.manager, project=self.project, specimen=self.specimen, modality="xrm"
        )
        self.state = self.acquisition.state

    def recorded(self, row: Any) -> Any:
        with record.act("test", actor=self.manager, project=self.project.pk) as act:
            act.created(row)
        return row

    def frame(self, **more: Any) -> Frame:
        words = {"kind": "image", "name": "frame", "description": "made for a test"}
        return Frame.objects.create(project=self.project, **words | more)

    def image(self, *, scale: dict[str, Any] | None = None, kind: str = "intensity", **more: Any) -> Image:
        array = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
        labels = kind == "labels"
        row = {
            "project": self.project,
            "specimen": self.specimen,
            "state": self.state,
            "acquisition": self.acquisition,
            "name": f"volume {Image.objects.count()}",
            "kind": kind,
            "modality": "xrm",
            "store": zarr_store((array % 3).astype(np.uint8) if labels else array, kind),
            "axes": ["z", "y", "x"],
            "shape": list(SHAPE),
            "dtype": "uint8" if labels else "uint16",
            "spacing": scale,
            "calibrated": scale is not None,
            "frame": self.frame() if scale else None,
            "levels": [{"path": "0", "shape": list(SHAPE)}],
            "facts": {"grey": {"value": 3.5, "unit": "1", "source": "file"}, "pages": 12},
            "created_by": self.manager,
        }
        return self.recorded(Image.objects.create(**row | more))

    def job(self, status: str = "succeeded", plugin: str = "bulk.conductivity", **more: Any) -> Job:
        now = timezone.now()
        ended = {"finished_at": now} if status in ("succeeded", "failed", "errored", "cancelled") else {}
        if status in ("failed", "errored"):
            ended |= {"exit_code": "not_converged", "message": "there is change left"}
        if status == "running":
            ended |= {"worker": "w", "attempt": 1, "lease_until": now + dt.timedelta(minutes=1), "progress": 0.25}
        row = {"project": self.project, "created_by": self.manager, "kind": "analysis", "plugin": plugin}
        more = {"plugin_version": "1.0.0", "status": status, "timings": {"run": 1.5}} | ended | more
        job = self.recorded(Job.objects.create(**row | more))
        JobAttempt.objects.create(job=job, number=1, worker="w", started_at=now)
        JobLogLine.objects.create(job=job, attempt=1, at=now, text="iteration 1 <script>")
        return job

    def number(self, name: str, value: Any, *, plugin: str = "bulk.conductivity", **more: Any) -> Property:
        row = {"project": self.project, "name": name, "value": value, "unit": "W/(m.K)", "scale_exponent": 0}
        if "job" not in more:
            row["job"] = self.job(plugin=plugin, params=more.pop("params", {}))
        return self.recorded(Property.objects.create(**row | more))

    def table(self, rows: int = 3, **more: Any) -> Table:
        key = storage.new_key("file")
        path = storage.path(key)
        path.mkdir(parents=True)
        pq.write_table(pa.table({"name": ["a"] * rows, "size": [1.5] * rows}), path / "table.parquet")
        store = Store.objects.create(kind="file", key=key, state="ready", digest=f"sha256:{key}", size_bytes=1)
        columns = [
            {"name": "name", "unit": "1", "scale_exponent": 0, "description": ""},
            {"name": "size", "unit": "um3", "scale_exponent": 3, "description": "volume"},
        ]
        job = more.pop("job", None) or self.job(plugin="segmentation.measure")
        row = {"project": self.project, "job": job, "name": "table", "columns": columns, "rows": rows, "store": store}
        return Table.objects.create(**row | more)


@pytest.fixture
def world(db: None) -> World:
    return World()


@pytest.fixture
def seen_by() -> Iterator[Any]:
    """Return the function that gives a logged-in browser."""

    def browser(user: Any) -> Client:
        client = Client(raise_request_exception=True)
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return browser


@pytest.fixture
def everything(world: World) -> SimpleNamespace:
    """One row for every page."""
    image = world.image(scale=spacing(1.0))
    labels = world.image(scale=spacing(1.0), kind="labels", job=world.job(plugin="segmentation.threshold"))
    tensor = [[4.79, -0.045, 0.22], [-0.045, 3.84, -0.046], [0.22, -0.046, 5.15]]
    return SimpleNamespace(
        image=image,
        bare=world.image(),
        labels=labels,
        job=world.job("running"),
        number=world.number("tensor", tensor, image=labels),
        table=world.table(image=labels),
    )
