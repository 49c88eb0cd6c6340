"""Do applied calibrations agree with what was made of them, and did no result go out when it was stale already?"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from django.db.models import Min, OuterRef, Subquery

from apps.catalog.models import Calibration
from apps.imaging.models import Acquisition, Image
from apps.provenance.models import Node, Stale
from apps.results.models import Release
from apps.spatial.models import Frame, FrameExtent, Transform
from apps.spatial.services.calibrated import calibration_covariance, calibration_matrix

_BATCH: Final = 500
_SLACK: Final = 1e-12  # of the larger number: what a change of representation may cost
_AXES: Final = "xyz"


def calibration_findings() -> Iterator[str]:
    """Frames, maps and instruments of images under calibrations."""
    yield from _transform_findings()
    rows = Image.objects.filter(calibration__isnull=False).select_related(
        "calibration", "acquisition", "frame__extent", "calibrated_frame__extent"
    )
    for image in rows.defer("store__manifest", "facts").iterator(chunk_size=_BATCH):
        yield from _image_findings(image)


def _transform_findings() -> Iterator[str]:
    """The map of a calibration is its factor along its axes, with the covariance of one factor."""
    rows = Transform.objects.filter(calibration__isnull=False).select_related("calibration")
    for row in rows.iterator(chunk_size=_BATCH):
        said = f"transform {row.pk} of calibration {row.calibration_id}"
        if row.calibration is None:  # what the filter rules out
            continue
        if not _equal(row.matrix or (), calibration_matrix(row.calibration)):
            yield f"{said}: its matrix is not that of the factor {row.calibration.factor:.6g}"
        if not _equal(chain(*(row.covariance or ())), chain(*calibration_covariance(row.calibration))):
            yield f"{said}: its covariance is not that of the factor's uncertainty {row.calibration.u_factor:.6g}"


def _equal(found: Iterable[float], wanted: Iterable[float]) -> bool:
    one, two = list(found), list(wanted)
    return len(one) == len(two) and all(map(_close, one, two))


def _close(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=_SLACK, abs_tol=0.0)


def _image_findings(image: Image) -> Iterator[str]:
    calibration, nominal, calibrated = image.calibration, image.frame, image.calibrated_frame
    if calibration is None or nominal is None or calibrated is None:
        yield f"image {image.pk}: it is under a calibration and lacks a frame"
        return
    said = f"image {image.pk} under calibration {calibration.pk}"
    if calibrated.kind != Frame.Kind.CALIBRATED:
        yield f"{said}: its calibrated frame {calibrated.pk} is of kind {calibrated.kind}"
    edges = Transform.objects.filter(source=nominal, target=calibrated, calibration=calibration)
    if not edges.exists():
        yield f"{said}: no transform of the calibration leads from frame {nominal.pk} to {calibrated.pk}"
    elif not _extent_agrees(nominal, calibrated, calibration):
        yield f"{said}: frame {calibrated.pk} is not as large as the calibrated image"
    if others := _other_instruments(image, calibration):
        yield f"{said}: it belongs to instrument {calibration.instrument_id}, the image to {', '.join(others)}"


def _extent_agrees(nominal: Frame, calibrated: Frame, calibration: Calibration) -> bool:
    """True if the box of the calibrated frame is that of the nominal one times the factor; or neither has one."""
    boxes = [getattr(frame, "extent", None) for frame in (nominal, calibrated)]
    if None in boxes:
        return boxes == [None, None]
    pairs = [(_ends(boxes[0], axis), _ends(boxes[1], axis), axis in calibration.axes) for axis in _AXES]
    return all(
        _close(two, one * (calibration.factor if moved else 1.0))
        for ones, twos, moved in pairs
        for one, two in zip(ones, twos, strict=True)
    )


def _ends(extent: FrameExtent | None, axis: str) -> tuple[float, float]:
    return float(getattr(extent, f"{axis}_min")), float(getattr(extent, f"{axis}_max"))


def _other_instruments(image: Image, calibration: Calibration) -> list[str]:
    """Instruments stated for an image, where the calibration's is not among them.

    What a job made has no acquisition: those of the acquired images in its nominal frame count.
    """
    if image.acquisition is not None:
        stated: set[uuid.UUID | None] = {image.acquisition.instrument_id}
    else:
        rows = Acquisition.objects.filter(images__frame=image.frame)
        stated = set(rows.values_list("instrument_id", flat=True))
    stated.discard(None)
    return sorted(map(str, stated)) if stated and calibration.instrument_id not in stated else []


def release_findings() -> Iterator[str]:
    """No result was released when the record had it as stale already; what went stale afterwards is another matter."""
    recorded = Node.objects.filter(pk=OuterRef("pk")).values("seq")
    for row in Release.objects.annotate(seq=Subquery(recorded)).iterator(chunk_size=_BATCH):
        thing = row.property_id or row.table_id
        marked = Stale.objects.filter(thing=thing).aggregate(first=Min("seq"))["first"]
        if marked is not None and marked < row.seq:
            yield f"release {row.pk}: event {row.seq} releases {thing}, which event {marked} had marked as stale"
