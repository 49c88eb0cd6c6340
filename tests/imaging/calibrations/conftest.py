"""An instrument with a calibration, and images acquired with it on a date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from analyses.sdk.omezarr import write_image
from apps.catalog.models import Calibration, Instrument, Specimen
from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import Image
from apps.imaging.services import (
    create_acquisition,
    create_image,
    receive_files,
    start_ingest,
)
from apps.projects.models import Project, User
from apps.provenance import record
from tests.factories import CalibrationFactory, InstrumentFactory
from tests.imaging.conftest import ramp, tiff_bytes

FACTOR, U = 1.02, 0.004
MAGNIFICATION = {"magnification": {"value": 1000.0, "unit": "1"}}


@pytest.fixture
def instrument(db: None) -> Instrument:
    return InstrumentFactory()


@pytest.fixture
def calibration(instrument: Instrument) -> Calibration:
    return calibration_of(instrument)


def calibration_of(instrument: Instrument, **change: Any) -> Calibration:
    given = {
        "factor": FACTOR,
        "u_factor": U,
        "measured_at": dt.date(2024, 5, 1),
        "due_at": dt.date(2025, 5, 1),
        "valid_range": {"magnification": [500, 2000]},
    }
    return CalibrationFactory(instrument=instrument, **given | change)


FILE_SPACING = {"z": 2.0, "y": 0.5, "x": 0.5}


def stored(shape: tuple[int, ...]) -> Store:
    """A store of a few samples."""
    key = storage.new_key("zarr")
    info = write_image(storage.path(key), ramp(shape), axes=("z", "y", "x"), spacing_um={}, kind="intensity")
    return Store.objects.create(
        kind="zarr",
        key=key,
        state="ready",
        digest=info.digest,
        manifest=info.manifest.to_bytes().decode(),
        size_bytes=info.size,
        file_count=len(info.manifest.entries),
    )


def spacing_of(source: str, u: float | None, lengths: dict[str, float]) -> dict[str, Any]:
    return {axis: {"value": value, "unit": "um", "source": source, "u": u} for axis, value in lengths.items()}


@pytest.fixture
def measured(ada: User, project: Project, specimen: Specimen) -> Callable[..., Image]:
    """Acquire with an instrument on a date, and publish what the ingest of a file gives."""

    def make(instrument: Instrument | None, date: str = "2024-08-01T10:00:00", **options: Any) -> Image:
        acquisition = create_acquisition(
            actor=ada,
            project=project,
            specimen=specimen,
            modality="sem",
            instrument=instrument,
            acquired_at=date,
            settings=options.pop("settings", MAGNIFICATION),
        )
        shape = options.pop("shape", (6, 40, 50))
        receive_files(actor=ada, acquisition=acquisition, files=[("sem.tif", "image/tiff", [tiff_bytes(ramp(shape))])])
        job = start_ingest(actor=ada, acquisition=acquisition)
        spacing = options.pop("spacing", spacing_of("file", None, FILE_SPACING))
        described = {"kind": "intensity", "axes": ["z", "y", "x"], "shape": shape, "dtype": "uint16"}
        with record.act("publish", actor=ada, project=project.pk, activity=job) as act:
            for source in acquisition.files.all():
                act.used(source)
            image = create_image(
                act=act,
                job=job,
                project=project,
                specimen=specimen,
                state=acquisition.state,
                acquisition=acquisition,
                store=stored(shape),
                description={**described, "spacing": spacing, **options},
                name="sem.tif",
            )
        rows = Image.objects.select_related("store", "calibration", "frame", "calibrated_frame")
        return rows.get(pk=image.pk)

    return make


def shown(client: APIClient, image: Any) -> Any:
    return client.get(f"/api/v1/images/{getattr(image, 'pk', image)}/").json()


def apply(client: APIClient, image: Any, calibration: Calibration | None, reason: str = "the grating") -> Any:
    key = None if calibration is None else str(calibration.pk)
    body = {"calibration": key, "reason": reason}
    return client.post(f"/api/v1/images/{getattr(image, 'pk', image)}/apply-calibration/", body, format="json")
