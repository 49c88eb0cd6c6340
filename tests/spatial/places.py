"""Images and accepted transforms of a specimen, for the tests of what is where."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile

from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import Image
from apps.imaging.services import create_acquisition, create_image, receive_files, start_ingest
from apps.provenance import record
from apps.spatial import services
from apps.spatial.models import Frame, Transform
from tests.factories import TransformFactory

SENSES = {"x": 1, "y": -1, "z": 1}


def stored() -> Store:
    """A store whose bytes nobody asks for."""
    row = Store(kind="zarr", key=storage.new_key("zarr"), state="ready", digest="sha256:0", manifest="{}", size_bytes=1)
    row.save()
    return row


def make_image(specimen: Any, shape: tuple[int, ...], spacing: tuple[float, ...], **acquired: Any) -> Image:
    """An image of a specimen with its frame, axes z, y, x and spacing in um, as an ingest publishes it."""
    actor = specimen.project.created_by
    given = {"modality": "sem", "acquired_at": "2024-08-01T10:00:00"} | acquired
    acquisition = create_acquisition(actor=actor, project=specimen.project, specimen=specimen, **given)
    picture = io.BytesIO()
    tifffile.imwrite(picture, np.full((2, 2), int(acquisition.pk.int % 60_000), np.uint16))
    receive_files(actor=actor, acquisition=acquisition, files=[("a.tif", "image/tiff", [picture.getvalue()])])
    job = start_ingest(actor=actor, acquisition=acquisition)
    lengths = {
        axis: {"value": step, "unit": "um", "source": "file", "u": None}
        for axis, step in zip("zyx", spacing, strict=True)
    }
    described = {"kind": "intensity", "axes": ["z", "y", "x"], "shape": list(shape), "dtype": "uint16"}
    with record.act("publish", actor=actor, project=specimen.project_id, activity=job) as act:
        return create_image(
            act=act,
            job=job,
            project=specimen.project,
            specimen=specimen,
            state=acquisition.state,
            acquisition=acquisition,
            store=stored(),
            description={**described, "spacing": lengths},
            name=f"{given['modality']}.tif",
        )


def spread(sigma_um: float) -> list[list[float]]:
    """The covariance of a matrix whose shift alone is uncertain."""
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = sigma_um**2
    return covariance.tolist()


def moved(shift: Any = (0, 0, 0), linear: Any = None) -> list[float]:
    """A matrix, row by row."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if linear is None else linear
    matrix[:3, 3] = shift
    return matrix.ravel().tolist()


def join(
    source: Frame, target: Frame, matrix: Any = None, sigma_um: float | None = 1.0, replaces: Any = None, **values: Any
) -> Transform:
    """An accepted transform."""
    transform = TransformFactory(
        source=source,
        target=target,
        matrix=moved() if matrix is None else matrix,
        covariance=None if sigma_um is None else spread(sigma_um),
        **values,
    )
    services.accept_transform(
        actor=source.project.created_by, transform=transform, no_residual_reason="made", replaces=replaces
    )
    transform.refresh_from_db()
    return transform
