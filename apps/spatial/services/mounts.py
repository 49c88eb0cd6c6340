"""Mounts: a specimen on a stage, from when to when, with the stage frame that means something only in between."""

from __future__ import annotations

import datetime as dt

from apps.catalog.models import Instrument, Specimen, State
from apps.catalog.selectors import current_state
from apps.core.clean import TEXT_LENGTH, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.models import Frame, Mount
from apps.spatial.services.frames import open_frame


def create_mount(
    *,
    actor: User,
    specimen: Specimen,
    instrument: Instrument,
    mounted_at: dt.datetime,
    unmounted_at: dt.datetime | None = None,
    state: State | None = None,
    holder: str = "",
    note: str = "",
) -> Mount:
    """Record that a specimen is on a stage; opens the stage frame of this mount.

    Parameters
    ----------
    actor : User
        A contributor of the specimen's project.
    specimen : Specimen
        What is mounted.
    instrument : Instrument
        Whose stage it is on.
    mounted_at, unmounted_at : datetime
        Claimed times, with zone; no end means that it is still there.
    state : State, optional
        State of the specimen; the present one by default.
    holder, note : str
        Free words.

    Returns
    -------
    Mount
        With ``frame``.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the specimen, or may not contribute.
    InvalidValueError
        A value cannot be taken.
    """
    access.require(actor, access.Action.CONTRIBUTE, specimen)
    _check_times(mounted_at, unmounted_at)
    if state is not None and state.specimen_id != specimen.pk:
        raise InvalidValueError(f"the state {state.pk} is of another specimen", field="state")
    mount = Mount(
        specimen=specimen,
        instrument=instrument,
        holder=clean_text(holder, field="holder"),
        mounted_at=mounted_at,
        unmounted_at=unmounted_at,
        note=clean_text(note, field="note", max_length=TEXT_LENGTH),
        created_by=actor,
    )
    with record.act("create_mount", actor=actor, project=specimen.project_id, started_at=mounted_at) as act:
        mount.state = state or current_state(Specimen.objects.select_for_update().get(pk=specimen.pk))
        mount.frame = open_frame(act, _stage_frame(mount))
        mount.save(force_insert=True)
        _say(act, mount)
    return mount


def _check_times(mounted_at: dt.datetime, unmounted_at: dt.datetime | None) -> None:
    for field, value in (("mounted_at", mounted_at), ("unmounted_at", unmounted_at)):
        if value is not None and value.tzinfo is None:
            raise InvalidValueError(f"{value.isoformat()} has no zone; write e.g. 2024-05-01T12:00:00Z", field=field)
    if unmounted_at is not None and unmounted_at < mounted_at:
        raise InvalidValueError(
            f"{unmounted_at.isoformat()} is before {mounted_at.isoformat()}, when it was mounted", field="unmounted_at"
        )


def _stage_frame(mount: Mount) -> Frame:
    instrument = mount.instrument
    senses = "as recorded of the instrument" if instrument.stage_axes else "not known"
    return Frame(
        project=mount.specimen.project,
        kind=Frame.Kind.STAGE,
        name=f"{instrument.name[:90]}: {mount.specimen.name[:90]}",
        description=(
            f"Stage of {instrument.name} during this mount, in micrometres, right-handed, z towards the source: origin "
            f"where its readings are 0, axes along those of its readings, turned by their senses: {senses}."
        ),
        specimen=mount.specimen,
        state=mount.state,
    )


def _say(act: record.Act, mount: Mount) -> None:
    act.used(mount.specimen, role="specimen")
    act.used(mount.state, role="state")
    act.used(mount.instrument, role="instrument")
    texts = {"holder": mount.holder, "note": mount.note}
    act.created(mount, erasable={name: text for name, text in texts.items() if text})
    act.derived(mount.frame, mount)
    times = {"mounted_at": mount.mounted_at, "unmounted_at": mount.unmounted_at}
    act.asserted(mount, "times", {name: value for name, value in times.items() if value is not None})


def end_mount(*, actor: User, mount: Mount, unmounted_at: dt.datetime) -> Mount:
    """Record when the specimen came off the stage; from then on its stage frame takes no new positions.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the mount, or may not contribute.
    InvalidValueError
        The time has no zone, or is before the mounting.
    ConflictError
        The mount has an end already.
    """
    access.require(actor, access.Action.CONTRIBUTE, mount)
    _check_times(mount.mounted_at, unmounted_at)
    with record.act("end_mount", actor=actor, project=mount.specimen.project_id, ended_at=unmounted_at) as act:
        ended = Mount.objects.filter(pk=mount.pk, unmounted_at__isnull=True).update(unmounted_at=unmounted_at)
        if ended != 1:
            raise ConflictError("the mount has an end already")
        act.changed(mount, before={"unmounted_at": None}, after={"unmounted_at": unmounted_at})
    mount.unmounted_at = unmounted_at
    return mount
