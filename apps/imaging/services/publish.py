"""Rows and lineage for images: of what an ingest read, and of what an analysis made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.catalog.models import Calibration, Specimen, State
from apps.core.models import Store
from apps.imaging.choice import the_calibration
from apps.imaging.models import Acquisition, Image, Modality, SourceFile
from apps.imaging.scale import describe_frame, extent_um, missing_axes
from apps.imaging.services.place import place_image
from apps.imaging.services.relate import Made, on_one_grid, relate_image
from apps.jobs.models import Job
from apps.jobs.registry import ChildResult, JobFailure
from apps.projects.models import Project
from apps.provenance import record
from apps.spatial.models import Frame, FrameExtent, Transform
from apps.spatial.services import open_calibrated_frame

_MAX_NAME = 255
_MAX_FRAME_NAME = 200


def create_frame(*, act: record.Act, image: Image) -> Frame:
    """Open the frame of a calibrated image: origin at the centre of its first sample, micrometres."""
    frame = Frame.objects.create(
        project_id=image.project_id,
        kind=Frame.Kind.IMAGE,
        name=image.name[:_MAX_FRAME_NAME],
        description=describe_frame(image.handedness),
        specimen_id=image.specimen_id,
        state_id=image.state_id,
    )
    FrameExtent.objects.create(frame=frame, **extent_um(image.axes, image.shape, image.spacing or {}))
    act.created(frame, attributes={"corr:kind": frame.kind})
    return frame


def image_attributes(image: Image) -> dict[str, Any]:
    """What the record keeps of an image."""
    known = {
        "corr:kind": image.kind,
        "corr:axes": list(image.axes),
        "corr:shape": list(image.shape),
        "corr:dtype": image.dtype,
        "corr:digest": image.store.digest,
        "corr:spacing": image.spacing,
        "corr:handedness": image.handedness,
        "corr:signal": image.signal,
        "corr:frame": str(image.frame_id) if image.frame_id else None,
        "corr:version": image.version,
        "corr:calibration": str(image.calibration_id) if image.calibration_id else None,
        "corr:calibratedFrame": str(image.calibrated_frame_id) if image.calibrated_frame_id else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _scale(description: Mapping[str, Any], like: Image | None) -> dict[str, Any]:
    """Spacing, frame and handedness: taken over whole from ``like``, else as described."""
    if like is not None:
        return {
            "spacing": like.spacing,
            "calibrated": like.calibrated,
            "frame_id": like.frame_id,
            "calibrated_frame_id": like.calibrated_frame_id,
            "calibration_id": like.calibration_id,
            "calibration_flags": like.calibration_flags,
            "handedness": like.handedness,
        }
    given = description.get("spacing") or {}
    spacing = given if any(given.values()) else None
    return {
        "spacing": spacing,
        "calibrated": spacing is not None and not missing_axes(description["axes"], description["shape"], spacing),
        "handedness": description.get("handedness", Image.Handedness.UNKNOWN),
    }


def _modality(description: Mapping[str, Any], acquisition: Acquisition | None, like: Image | None) -> str:
    """The image's own: a session of one microscope leaves images of several kinds."""
    if description.get("modality") in Modality.values:
        return str(description["modality"])
    if acquisition is not None:
        return acquisition.modality
    return like.modality if like is not None else ""


def _area(like: Image | None, shown: Image | None) -> Any:
    """Samples that show the specimen; a data bar stays behind where content is moved from another image."""
    return like.specimen_area if like is not None and shown in (None, like) else None


def create_image(
    *,
    act: record.Act,
    job: Job,
    project: Project,
    specimen: Specimen,
    state: State,
    store: Store,
    description: Mapping[str, Any],
    name: str,
    acquisition: Acquisition | None = None,
    like: Image | None = None,
    beside: Image | None = None,
    shown: Image | None = None,
) -> Image:
    """Write the row of an image that a job made, in the act that publishes the job.

    Parameters
    ----------
    store : Store
        Ready, with its digest.
    description : mapping
        ``kind``, ``axes``, ``shape``, ``dtype``; optional ``channels``, ``signal`` (needed by a spectrum image),
        ``levels``, ``facts``, ``specimen_area``, ``modality`` (else the acquisition's, or that of ``like``); and,
        without ``like``, ``spacing`` (axis -> {value, unit, source, u} or None) and ``handedness``.
    like : Image, optional
        The image whose samples these lie on: spacing with its sources, frame and handedness are taken over, so that
        both stand in the same frame.
    beside : Image, optional
        Another image of the same file on the same grid, whose frame serves this one too.
    shown : Image, optional
        The image whose content the samples show, where that is another than ``like``: the modality is of this one, the
        part of the samples that shows the specimen is not that of ``like``, and ``handedness`` may be described.

    Returns
    -------
    Image
        With a frame of its own if it is calibrated and ``like`` is not given.
    """
    image = Image(
        project=project,
        acquisition=acquisition,
        specimen=specimen,
        state=state,
        job=job,
        name=(name.strip() or description["kind"])[:_MAX_NAME],
        kind=description["kind"],
        modality=_modality(description, acquisition, shown or like),
        store=store,
        axes=list(description["axes"]),
        shape=list(description["shape"]),
        dtype=description["dtype"],
        channels=list(description.get("channels") or ()),
        signal=description.get("signal") or None,
        levels=list(description.get("levels") or ()),
        specimen_area=description.get("specimen_area") or _area(like, shown),
        facts=dict(description.get("facts") or {}),
        created_by=job.created_by,
        **_scale(description, like),
    )
    if shown is not None and description.get("handedness"):
        image.handedness = description["handedness"]
    if image.calibrated and image.frame_id is None:
        image.frame = create_frame(act=act, image=image) if beside is None else beside.frame
    edge = _calibrate(image) if acquisition is not None else None
    if acquisition is not None:
        place_image(image, beside)
    image.save(force_insert=True)
    act.created(image, attributes=image_attributes(image), erasable={"name": image.name})
    if edge is not None and image.calibration is not None:
        act.derived(image, image.calibration)
        act.derived(image, edge)
    return image


def _calibrate(image: Image) -> Transform | None:
    """Put an image not saved yet under the one calibration that holds for it, if there is exactly one.

    An act of its own says so, and not the job: a job gives several images, and not all need to rest on the calibration.
    """
    found = the_calibration(image)
    if found is None or image.frame is None:
        return None
    active = Calibration.objects.select_for_update().filter(pk=found.pk, status=Calibration.Status.ACTIVE)
    calibration = active.first()
    if calibration is None:  # withdrawn meanwhile
        return None
    with record.act("apply_calibration", actor=None, project=image.project_id, on_behalf_of=image.created_by) as act:
        edge = open_calibrated_frame(act=act, nominal=image.frame, calibration=calibration, actor=image.created_by)
    image.calibration, image.calibrated_frame = calibration, edge.target
    return edge


def publish_ingest(*, job: Job, result: ChildResult, act: record.Act) -> dict[str, Any]:
    """Write images, header, facts and lineage of a finished ingest; runs inside the job's final transaction.

    Returns
    -------
    dict
        ``image``, ``image_2``, ... -> ``{"type": "image", "id": ...}``.

    Raises
    ------
    JobFailure
        The acquisition has images already: another ingest of it was first.
    """
    acquisition = (
        Acquisition.objects.select_for_update(of=("self",))
        .select_related("project", "specimen", "state")
        .get(pk=job.inputs["acquisition"])
    )
    if acquisition.images.exists():
        raise JobFailure(
            "already_ingested", "another ingest of this acquisition was first; nothing was published twice"
        )
    sources = {str(row.pk): row for row in record_sources(job=job, act=act)}
    for reader in result.value["readers"]:
        act.associated(record.software_agent(reader["name"], reader["version"]), role="reader")
    outputs: dict[str, Any] = {}
    made: list[Made] = []
    for number, described in enumerate(result.value["images"], 1):
        beside = on_one_grid(described, made)
        image = _publish_image(acquisition, job, result, described, sources, act, beside)
        if beside is None:
            relate_image(Made(described, image), made)
        made.append(Made(described, image))
        outputs["image" if number == 1 else f"image_{number}"] = {"type": "image", "id": str(image.pk)}
    acquisition.header = result.value["header"]
    acquisition.facts = result.value["facts"]
    acquisition.ingest_job = job
    acquisition.save(update_fields=["header", "facts", "ingest_job"])
    return outputs


def record_sources(*, job: Job, act: record.Act) -> list[SourceFile]:
    """Say which source files an ingest used, whatever came of it."""
    rows = list(SourceFile.objects.filter(pk__in=job.inputs["files"]))
    for row in rows:
        act.used(row, role="source file")
    return rows


def _publish_image(
    acquisition: Acquisition,
    job: Job,
    result: ChildResult,
    described: Mapping[str, Any],
    sources: Mapping[str, SourceFile],
    act: record.Act,
    beside: Image | None,
) -> Image:
    image = create_image(
        act=act,
        job=job,
        project=acquisition.project,
        specimen=acquisition.specimen,
        state=acquisition.state,
        acquisition=acquisition,
        store=result.stores[described["store"]].store,
        description=described,
        name=described["name"],
        beside=beside,
    )
    act.derived(image, sources[described["file"]], relation="primary_source")
    for pk in described.get("side_cars", ()):
        act.derived(image, sources[pk])
    typed = {axis: entry for axis, entry in (image.spacing or {}).items() if entry and entry["source"] == "user"}
    if typed:
        act.asserted(image, "spacing", typed)
    if job.params.get("handedness"):
        act.asserted(image, "handedness", {"value": image.handedness, "source": "user"})
    return image
