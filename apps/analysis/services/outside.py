"""Work done in other programs: entered as what somebody asserts, with the files it left."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from apps.analysis.services.outside_publish import follow_retry, publish_outside
from apps.catalog.models import Specimen, State
from apps.core.clean import TEXT_LENGTH, clean_object, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging.models import Acquisition, Image, OutsideActivity, SourceFile
from apps.imaging.services.acquisitions import check_local_time
from apps.imaging.services.ingest import check_overrides
from apps.imaging.services.receipts import create_source_files
from apps.imaging.services.receive import Receipt
from apps.jobs import services as jobs
from apps.projects import access
from apps.projects.models import Project, User
from apps.provenance import graph, record
from apps.provenance.canonical import plain

__all__ = ["KIND", "create_outside_activity", "follow_retry", "open_outside_receipt", "publish_outside"]

KIND = "outside"
MAX_INPUTS = 1000
_CLOSURE = 100_000
_READ_ANEW = (OutsideActivity.Kind.SEGMENTATION, OutsideActivity.Kind.MEASUREMENT)
_INPUTS: dict[str, type[Model]] = {"image": Image, "acquisition": Acquisition, "file": SourceFile}


@dataclass
class _Work:
    """A checked request: the unsaved row and the rows it names."""

    row: OutsideActivity
    inputs: list[tuple[str, Any]]
    received: list[SourceFile]
    overrides: dict[str, Any] = field(default_factory=dict)


def open_outside_receipt(*, actor: User, project: Project) -> Receipt:
    """Begin to receive the files of outside work; the caller must be allowed to contribute."""
    access.require(actor, access.Action.CONTRIBUTE, project)
    return Receipt(actor=actor, project_id=project.pk)


def create_outside_activity(
    *,
    actor: User,
    project: Project,
    kind: str,
    software: str,
    version: str,
    parameters: Mapping[str, Any] | None = None,
    operator: User | None = None,
    operator_name: str = "",
    performed_at: str = "",
    performed_zone: str = "",
    inputs: Sequence[uuid.UUID | str] = (),
    files: Sequence[uuid.UUID | str] = (),
    specimen: Specimen | None = None,
    state: State | None = None,
    like: Image | None = None,
    overrides: Mapping[str, Any] | None = None,
    note: str = "",
    receipt: Receipt | None = None,
) -> OutsideActivity:
    """Enter work that was done in another program, and have its files read.

    Parameters
    ----------
    actor : User
        Who asserts it.  Never taken for the operator.
    kind : str
        One of ``OutsideActivity.Kind``.
    software, version : str
        The program; both are needed.
    parameters : mapping
        What it was told to do, as JSON.
    operator, operator_name
        Who did the work: an account, or a person by name; neither = not stated.
    performed_at, performed_zone : str
        When, as text; see ``check_local_time``.
    inputs : sequence of id
        Images, acquisitions and source files of the project that it worked on; none: from nothing recorded.
    files : sequence of id
        Source files of acquisitions that this work had made.  They are not read again, but for labels and tables.
    specimen, state : optional
        Those of the inputs and files by default.
    like : Image, optional
        The image on whose grid labels lie; the only image among the inputs by default.
    overrides : mapping, optional
        ``spacing_um``, ``spacing_u_um``, ``handedness``, ``name``, as for an ingest.
    receipt : Receipt, optional
        Files that came with the request.

    Returns
    -------
    OutsideActivity
        With ``job`` where there is something to read.

    Raises
    ------
    InvalidValueError
        A value that cannot be, things that do not belong together, or no files at all.
    ConflictError
        A file is what other outside work made already.
    """
    access.require(actor, access.Action.CONTRIBUTE, project)
    row = _checked_row(project, kind, software, version, parameters, note, actor)
    row.performed_at, row.performed_zone = check_local_time(performed_at, performed_zone, field="performed_at")
    row.operator, row.operator_name = operator, clean_text(operator_name, field="operator")
    work = _Work(row, _find_inputs(actor, project, inputs), _find_files(actor, project, files))
    row.inputs = [{"type": name, "id": str(found.pk)} for name, found in work.inputs]
    _check_apart(work)
    row.specimen, row.state = _place(work, specimen, state)
    row.like = _grid(work, like)
    work.overrides = _checked_overrides(row, overrides or {})
    if receipt is None or not receipt.incoming:
        if not work.received:
            raise InvalidValueError(
                "outside work leaves files: send `file` parts, or ids of received files as `files`", field="files"
            )
        return _write(work, actor, None)
    return receipt.publish(lambda: _write(work, actor, receipt))


def _checked_row(
    project: Project,
    kind: str,
    software: str,
    version: str,
    parameters: Mapping[str, Any] | None,
    note: str,
    actor: User,
) -> OutsideActivity:
    if kind not in OutsideActivity.Kind.values:
        raise InvalidValueError(f"{kind!r} is not one of {', '.join(OutsideActivity.Kind.values)}", field="kind")
    return OutsideActivity(
        project=project,
        kind=kind,
        software=clean_text(software, field="software", required=True),
        version=clean_text(version, field="version", max_length=100, required=True),
        parameters=clean_object(parameters or {}, field="parameters"),
        note=clean_text(note, field="note", max_length=TEXT_LENGTH),
        created_by=actor,
    )


def _ids(given: Sequence[uuid.UUID | str], field: str) -> list[uuid.UUID]:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise InvalidValueError("must be a list of ids", field=field)
    if len(given) > MAX_INPUTS:
        raise InvalidValueError(f"{len(given)} ids; at most {MAX_INPUTS} are taken", field=field)
    found: list[uuid.UUID] = []
    for number, value in enumerate(given):
        try:
            pk = uuid.UUID(str(value))
        except ValueError as error:
            raise InvalidValueError(f"{str(value)[:80]!r} is no id", field=f"{field}.{number}") from error
        if pk in found:
            raise InvalidValueError(f"{pk} stands twice", field=f"{field}.{number}")
        found.append(pk)
    return found


def _find_inputs(actor: User, project: Project, given: Sequence[uuid.UUID | str]) -> list[tuple[str, Any]]:
    """The rows of the ids, of whichever kind each is; one statement a kind."""
    ids = _ids(given, "inputs")
    rows: dict[uuid.UUID, tuple[str, Any]] = {}
    for name, model in _INPUTS.items():
        visible = access.visible(model._default_manager.filter(pk__in=ids, project=project), actor)
        rows |= {row.pk: (name, row) for row in visible}
    for number, pk in enumerate(ids):
        if pk not in rows:
            raise InvalidValueError(
                f"{pk} is no image, acquisition or source file of the project", field=f"inputs.{number}"
            )
    return [rows[pk] for pk in ids]


def _find_files(actor: User, project: Project, given: Sequence[uuid.UUID | str]) -> list[SourceFile]:
    ids = _ids(given, "files")
    mine = SourceFile.objects.select_related("acquisition").filter(project=project, acquisition__isnull=False)
    rows = {row.pk: row for row in access.visible(mine.filter(pk__in=ids), actor)}
    for number, pk in enumerate(ids):
        if pk not in rows:
            raise InvalidValueError(f"{pk} is no file of an acquisition of the project", field=f"files.{number}")
    claimed = OutsideActivity.objects.filter(received__in=ids).values_list("received", "pk").first()
    if claimed is not None:
        raise ConflictError(f"file {claimed[0]} was made by the outside activity {claimed[1]} already", field="files")
    return [rows[pk] for pk in ids]


def _check_apart(work: _Work) -> None:
    """Nothing is made of itself: no input is among what came out, or rests on it."""
    made = {file.pk for file in work.received}
    rests = set(graph.descendants(made, limit=_CLOSURE)) if made else set()
    for number, (name, row) in enumerate(work.inputs):
        if row.pk in made:
            raise InvalidValueError(f"file {row.pk} is named as input and as what came out", field=f"inputs.{number}")
        if row.pk in rests:
            raise InvalidValueError(
                f"{name} {row.pk} was itself made from what came out; name what the work began with",
                field=f"inputs.{number}",
            )


def _place(work: _Work, specimen: Specimen | None, state: State | None) -> tuple[Specimen, State]:
    """The specimen and its state: as stated, else those of everything named, if that is one."""
    project_id = work.row.project_id
    if state is not None and specimen is None:
        specimen = state.specimen
    if specimen is not None:
        if specimen.project_id != project_id:
            raise InvalidValueError(f"specimen {specimen.pk} belongs to another project", field="specimen")
        if state is not None and state.specimen_id != specimen.pk:
            raise InvalidValueError(f"state {state.pk} is one of another specimen", field="state")
    known = {(row.specimen_id, row.state_id) for row in _placed(work)}
    if specimen is not None:
        known = {pair for pair in known if pair[0] == specimen.pk}
    if state is None and len(known) == 1:
        state = State.objects.select_related("specimen").get(pk=next(iter(known))[1])
    if state is None and specimen is not None:
        state = specimen.current_state
    if state is None:
        raise InvalidValueError(
            "the inputs are of no one specimen in one state; say which `specimen` this is of", field="specimen"
        )
    return state.specimen, state


def _placed(work: _Work) -> list[Any]:
    """Everything named that says of which specimen it is."""
    rows: list[Any] = [row for name, row in work.inputs if name != "file"]
    files = [row for name, row in work.inputs if name == "file"] + work.received
    return rows + [file.acquisition or file.outside_activity for file in files]


def _grid(work: _Work, like: Image | None) -> Image | None:
    if work.row.kind != OutsideActivity.Kind.SEGMENTATION:
        if like is not None:
            raise InvalidValueError(
                f"labels lie on the grid of an image; {work.row.kind} leaves no labels", field="like"
            )
        return None
    images = [row for name, row in work.inputs if name == "image"]
    if like is not None and like.pk not in {image.pk for image in images}:
        raise InvalidValueError(f"image {like.pk} is none of the inputs", field="like")
    if like is None and len(images) > 1:
        raise InvalidValueError(
            f"{len(images)} images are inputs; say by `like` on whose grid the labels lie", field="like"
        )
    return like or next(iter(images), None)


def _checked_overrides(row: OutsideActivity, given: Mapping[str, Any]) -> dict[str, Any]:
    checked = check_overrides(given)
    for name in ("spacing", "handedness"):
        if row.like is not None and name in checked:
            field = "overrides.spacing_um" if name == "spacing" else "overrides.handedness"
            raise InvalidValueError(
                f"labels take the {name} of image {row.like.pk}, on whose grid they lie", field=field
            )
    return checked


# ------------------------------------------------------------------------------------------------------------- writing


def _write(work: _Work, actor: User, receipt: Receipt | None) -> OutsideActivity:
    row = work.row
    with record.act("record_outside_activity", actor=actor, project=row.project_id) as act:
        # An upload may take hours: what was allowed at its beginning is asked again.
        access.require(User.objects.get(pk=actor.pk), access.Action.CONTRIBUTE, row.project)
        row.save(force_insert=True)
        row.received.set(work.received)
        stated = {"corr:kind": row.kind, "corr:software": row.software, "corr:version": row.version}
        act.created(row, attributes=stated | {"corr:performedOutside": True}, erasable=_words(row))
        came = []
        if receipt is not None:
            with record.act("receive_files", actor=actor, project=row.project_id) as reception:
                came = create_source_files(reception, receipt, outside_activity=row)
        _record_performance(work, came)
        act.asserted(row, "performed outside", {"kind": row.kind, "software": row.software, "version": row.version})
        _ask_to_read(work, actor, came, act)
    return row


def _words(row: OutsideActivity) -> dict[str, str]:
    """What may name a person: kept beside the record, where it can be erased."""
    said = {"parameters": json.dumps(row.parameters, sort_keys=True) if row.parameters else "", "note": row.note}
    return {name: text for name, text in said.items() if text}


def _record_performance(work: _Work, came: list[SourceFile]) -> None:
    """Say of the work itself what it used and left, and who did it with which program; nobody where nobody is stated.

    What the program left is a thing of its own, of which the file that was handed in here is a copy: the file itself
    was made by its being received.
    """
    row = work.row
    program = record.software_agent(row.software, row.version)
    operator: Any = row.operator or (record.person_agent(row.operator_name) if row.operator_name else None)
    with record.act("perform_outside", actor=operator or program, project=row.project_id, activity=row) as did:
        if operator is not None:
            did.associated(program, role="software")
        did.used(row.specimen, role="specimen")
        did.used(row.state, role="state")
        used = _record_inputs(did, work)
        for file in [*came, *work.received]:
            left = did.entity("corr:OutsideOutput", attributes={"corr:sha256": file.sha256}, role="result")
            did.specialization(file, left)
            for source in used:
                did.derived(left, source)


def _record_inputs(did: record.Act, work: _Work) -> list[Any]:
    made = {file.pk for file in work.received}
    used: dict[uuid.UUID, Any] = {}
    for name, thing in work.inputs:
        if name == "acquisition":
            used |= {file.pk: file for file in thing.files.all() if file.pk not in made}
            did.communicated(thing)
        else:
            used[thing.pk] = thing
    for thing in used.values():
        did.used(thing, role="input")
    return list(used.values())


def _ask_to_read(work: _Work, actor: User, came: list[SourceFile], act: record.Act) -> None:
    """Queue the job that reads what came; a received file has its images from the ingest of its acquisition."""
    row = work.row
    anew = work.received if row.kind in _READ_ANEW else []
    files = [str(file.pk) for file in [*came, *anew]]
    if not files:
        return
    row.job = jobs.create_job(
        actor=actor,
        project=row.project,
        kind=KIND,
        params=plain(work.overrides),
        inputs={"outside_activity": str(row.pk), "files": files},
        act=act,
    )
    row.save(update_fields=["job"])
