"""Images, labels and tables of what another program left; within the transaction that ends their job."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from apps.core.errors import ConflictError, InvalidValueError
from apps.core.units import parse_unit
from apps.imaging.models import Acquisition, Image, OutsideActivity, SourceFile
from apps.imaging.services.publish import create_image, record_sources
from apps.jobs.models import Job
from apps.jobs.registry import ChildResult, JobFailure
from apps.provenance import record
from apps.results.services import create_table

_MAX_TABLE_NAME = 100


def publish_outside(*, job: Job, result: ChildResult, act: record.Act) -> dict[str, Any]:
    """Write the rows of everything that was read, with their lineage.

    Returns
    -------
    dict
        ``image``, ``image_2``, ..., ``table``, ``table_2``, ... -> ``{"type": ..., "id": ...}``.

    Raises
    ------
    JobFailure
        There was nothing to read in the files, or another job read them first.
    """
    row = (
        OutsideActivity.objects.select_for_update(of=("self",))
        .select_related("project", "specimen", "state", "like")
        .get(pk=job.inputs["outside_activity"])
    )
    if row.job_id != job.pk:
        raise JobFailure("already_read", "another job reads the files of this outside activity")
    sources = {str(file.pk): file for file in record_sources(job=job, act=act)}
    for reader in result.value["readers"]:
        act.associated(record.software_agent(reader["name"], reader["version"]), role="reader")
    inputs = _input_images(row)
    made: list[tuple[str, Any]] = [("image", _make_image(row, job, result, d, act)) for d in result.value["images"]]
    made += [("table", _make_table(row, job, result, d, inputs, act)) for d in result.value["tables"]]
    for (_, thing), described in zip(made, [*result.value["images"], *result.value["tables"]], strict=True):
        _record_origin(thing, described, sources, inputs, act)
        if isinstance(thing, Image) and job.params.get("handedness"):
            act.asserted(thing, "handedness", {"value": thing.handedness, "source": "user"})
    act.inherit_stale(
        [thing.pk for _, thing in made], [image.pk for image in inputs], "an input was stale when this was taken in"
    )
    row.header = result.value["header"]
    row.save(update_fields=["header"])
    return _outputs(made)


def _outputs(made: list[tuple[str, Any]]) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    for name, thing in made:
        number = sum(port.split("_")[0] == name for port in outputs) + 1
        outputs[name if number == 1 else f"{name}_{number}"] = {"type": name, "id": str(thing.pk)}
    return outputs


def _input_images(row: OutsideActivity) -> list[Image]:
    ids = [uuid.UUID(entry["id"]) for entry in row.inputs if entry["type"] == "image"]
    return list(Image.objects.filter(pk__in=ids))


def _record_origin(
    thing: Any, described: Mapping[str, Any], sources: Mapping[str, SourceFile], inputs: list[Image], act: record.Act
) -> None:
    act.derived(thing, sources[described["file"]], relation="primary_source")
    for pk in described.get("side_cars", ()):
        act.derived(thing, sources[pk])
    for image in inputs:  # by somebody's word, as the file's own origin is
        act.derived(thing, image)
    if not isinstance(thing, Image) or thing.frame_id is None:
        return
    typed = {axis: entry for axis, entry in (thing.spacing or {}).items() if entry and entry["source"] == "user"}
    if typed and thing.frame_id not in {image.frame_id for image in inputs}:
        act.asserted(thing, "spacing", typed)


def _make_image(
    row: OutsideActivity, job: Job, result: ChildResult, described: Mapping[str, Any], act: record.Act
) -> Image:
    like = row.like if described["kind"] == Image.Kind.LABELS else None
    return create_image(
        act=act,
        job=job,
        project=row.project,
        specimen=row.specimen,
        state=row.state,
        store=result.stores[described["store"]].store,
        description={**described, "modality": described.get("modality") or _modality(row)},
        name=described["name"],
        like=like,
    )


def _modality(row: OutsideActivity) -> str:
    """That of the acquisitions and images worked on, if they agree."""
    ids: dict[str, list[uuid.UUID]] = {"image": [], "acquisition": [], "file": []}
    for entry in row.inputs:
        ids[entry["type"]].append(uuid.UUID(entry["id"]))
    found = set(Image.objects.filter(pk__in=ids["image"]).values_list("modality", flat=True))
    measured = Acquisition.objects.filter(pk__in=ids["acquisition"]).values_list("modality", flat=True)
    filed = Acquisition.objects.filter(files__in=[*ids["file"], *row.received.values_list("pk", flat=True)])
    found |= {*measured, *filed.values_list("modality", flat=True)}
    return str(found.pop()) if len(found) == 1 else ""


def _make_table(
    row: OutsideActivity,
    job: Job,
    result: ChildResult,
    described: Mapping[str, Any],
    inputs: list[Image],
    act: record.Act,
) -> Any:
    return create_table(
        act=act,
        job=job,
        name=described["name"][:_MAX_TABLE_NAME] or "table",
        columns=[_checked_column(column) for column in described["columns"]],
        rows=described["rows"],
        store=result.stores[described["store"]].store,
        image=inputs[0] if len(inputs) == 1 else None,
        outside_activity=row,
    )


def _checked_column(column: Mapping[str, Any]) -> dict[str, Any]:
    """A unit that is none of UCUM stays part of the heading, as it was written."""
    if not column["unit"]:
        return dict(column)
    try:
        return {**column, "unit": parse_unit(column["unit"]).code}
    except InvalidValueError:
        return {**column, "name": f"{column['name']} [{column['unit']}]", "unit": ""}


def follow_retry(*, old: Job, new: Job) -> None:
    """Point the outside activity of a retried job to the new job.

    Raises
    ------
    ConflictError
        Another job reads its files already.
    """
    rows = OutsideActivity.objects.filter(pk=old.inputs["outside_activity"], job=old).update(job=new)
    if not rows:
        raise ConflictError("another job reads the files of this outside activity; this one is not retried")
