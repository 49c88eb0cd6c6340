"""Acquisitions and series: what was measured, of which specimen in which state, with what and by whom."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings as django_settings
from django.db.models import Max

from apps.catalog.models import Instrument, Specimen, State
from apps.core.clean import TEXT_LENGTH, clean_number, clean_quantities, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging.models import Acquisition, AcquisitionMove, Image, OutsideActivity, Series
from apps.imaging.services.words import clean_acquisition_words, erasable_words
from apps.projects import access
from apps.projects.models import Project, User
from apps.provenance import graph, record
from apps.provenance.registry import registration_of
from apps.spatial.models import Frame, Mount

_OFFSET = re.compile(r"^[+-]\d{2}:\d{2}$")
_BATCH = 1000
_POSITION_KEYS = ("x", "y", "z", "rotation", "tilt")


def check_local_time(text: str, zone: str = "", *, field: str = "acquired_at") -> tuple[str, str]:
    """Check an instrument's local time and its zone.

    Parameters
    ----------
    text : str
        ISO 8601, with or without an offset; kept as it is.
    zone : str
        IANA name or ``+hh:mm``; empty = unknown, or the offset of the text.
    field : str
        What a refusal names; the zone's field is named alike.

    Returns
    -------
    tuple of str
        Text and zone, the zone taken from the text where it has an offset.

    Raises
    ------
    InvalidValueError
        No such time or zone, a zone without a time, or an offset that contradicts the zone.
    """
    zone_field = f"{field.removesuffix('_at')}_zone"
    if not text:
        if zone:
            raise InvalidValueError(f"a zone without a time says nothing; give {field}", field=zone_field)
        return "", ""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidValueError(
            f"{text!r} is no ISO 8601 time, such as 2024-05-03T14:07:09 or 2024-05-03T14:07:09+02:00", field=field
        ) from error
    offset = moment.utcoffset()
    if zone:
        stated = _zone_offset(zone, moment, zone_field)
        if offset is not None and offset != stated:
            raise InvalidValueError(f"{field} has another offset than {zone!r} had then", field=zone_field)
        return text, zone
    return text, _offset_text(offset) if offset is not None else ""


def _zone_offset(zone: str, moment: dt.datetime, field: str) -> dt.timedelta | None:
    try:
        if _OFFSET.match(zone):
            return dt.datetime.strptime(zone, "%z").utcoffset()
        return moment.replace(tzinfo=ZoneInfo(zone)).utcoffset()
    except (ValueError, LookupError, OSError) as error:
        raise InvalidValueError(
            f"{zone!r} is no time zone; give an IANA name such as Europe/Vienna, or +hh:mm", field=field
        ) from error


def _offset_text(offset: dt.timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def check_position(given: Mapping[str, Any]) -> dict[str, float]:
    """Check a stage reading: x, y, z in um, rotation and tilt in degrees, each optional."""
    for name in given:
        if name not in _POSITION_KEYS:
            raise InvalidValueError(
                f"{name!r} is no part of a position; parts are {', '.join(_POSITION_KEYS)}", field=f"position.{name}"
            )
    if not given:
        raise InvalidValueError("a position has at least one of x, y, z, rotation, tilt", field="position")
    return {name: clean_number(value, field=f"position.{name}") for name, value in given.items()}


def _check_specimen(specimen: Specimen, project_id: uuid.UUID) -> None:
    if specimen.project_id != project_id:
        raise InvalidValueError(f"specimen {specimen.pk} belongs to another project", field="specimen")


def _state_of(specimen: Specimen, state: State | None) -> State:
    if state is None:
        if specimen.current_state is None:
            raise ConflictError(f"specimen {specimen.pk} has no state yet", field="specimen")
        return specimen.current_state
    if state.specimen_id != specimen.pk:
        raise InvalidValueError(f"state {state.pk} is one of another specimen", field="state")
    return state


def _instrument_of(specimen: Specimen, instrument: Instrument | None, mount: Mount | None) -> Instrument | None:
    """The instrument stated, or that of the mount; the two must agree, and the mount must hold the specimen."""
    if mount is None:
        return instrument
    if mount.specimen_id != specimen.pk:
        raise InvalidValueError(f"mount {mount.pk} holds another specimen", field="mount")
    if instrument is not None and instrument.pk != mount.instrument_id:
        raise InvalidValueError(f"mount {mount.pk} is on another instrument", field="mount")
    return mount.instrument


def _series_place(series: Series | None, specimen: Specimen, index: int | None) -> int | None:
    if series is None:
        if index is not None:
            raise InvalidValueError("an index needs a series", field="series_index")
        return None
    if series.specimen_id != specimen.pk:
        raise InvalidValueError(f"series {series.pk} is one of another specimen", field="series")
    Series.objects.select_for_update().get(pk=series.pk)
    if index is None:
        last = series.acquisitions.aggregate(last=Max("series_index"))["last"]
        return 0 if last is None else int(last) + 1
    if series.acquisitions.filter(series_index=index).exists():
        raise ConflictError(f"place {index} of the series is taken", field="series_index")
    return index


def create_acquisition(
    *,
    actor: User,
    project: Project,
    specimen: Specimen,
    modality: str,
    state: State | None = None,
    instrument: Instrument | None = None,
    mount: Mount | None = None,
    operator: User | None = None,
    operator_name: str = "",
    acquired_at: str = "",
    acquired_zone: str = "",
    clock_uncertainty_s: float | None = None,
    settings: Mapping[str, Any] | None = None,
    position: Mapping[str, Any] | None = None,
    series: Series | None = None,
    series_index: int | None = None,
    elapsed_h: float | None = None,
    tags: Sequence[str] = (),
    key_values: Mapping[str, Any] | None = None,
    external_ids: Mapping[str, str] | None = None,
) -> Acquisition:
    """Record an act of measuring; its files follow.

    Parameters
    ----------
    actor : User
        Who records it.  Never taken for the operator.
    operator, operator_name
        Who stood at the instrument: an account, or a person by name; neither = not stated.
    state : State, optional
        The specimen's current one by default.
    acquired_at, acquired_zone : str
        The instrument's local time and its zone; see ``check_local_time``.
    settings : mapping
        Name -> ``{value, unit}``.
    position : mapping
        Stage reading: x, y, z (um), rotation, tilt (deg).
    series_index : int, optional
        Place in the series; the next free one by default.
    tags, key_values, external_ids : optional
        Labels, facts without a field of their own, and ids by scheme.

    Raises
    ------
    InvalidValueError
        Things that do not belong together, or values that cannot be.
    ConflictError
        The specimen has no state, or the place in the series is taken.
    """
    access.require(actor, access.Action.CONTRIBUTE, project)
    _check_specimen(specimen, project.pk)
    text, zone = check_local_time(acquired_at, acquired_zone)
    acquisition = Acquisition(
        project=project,
        specimen=specimen,
        state=_state_of(specimen, state),
        modality=modality,
        instrument=_instrument_of(specimen, instrument, mount),
        mount=mount,
        operator=operator,
        operator_name=clean_text(operator_name, field="operator"),
        acquired_at=text,
        acquired_zone=zone,
        clock_uncertainty_s=clock_uncertainty_s,
        settings=clean_quantities(settings or {}, field="settings"),
        position=check_position(position) if position is not None else None,
        series=series,
        elapsed_h=elapsed_h,
        created_by=actor,
        **clean_acquisition_words({"tags": tags, "key_values": key_values or {}, "external_ids": external_ids or {}}),
    )
    with record.act("create_acquisition", actor=actor, project=project.pk) as act:
        acquisition.series_index = _series_place(series, specimen, series_index)
        acquisition.save(force_insert=True)
        act.created(acquisition, attributes=_facts(acquisition), erasable=erasable_words(acquisition))
        for thing in (specimen, acquisition.state, acquisition.instrument, mount):
            if thing is not None:
                act.used_in(acquisition, thing, role=str(thing._meta.verbose_name))
        _record_operator(acquisition)
    return acquisition


def _facts(acquisition: Acquisition) -> dict[str, Any]:
    # Settings that are texts may name a person; the row has them, the record keeps what can stay for ever.
    measured = {name: entry for name, entry in acquisition.settings.items() if "unit" in entry}
    known = {
        "corr:modality": acquisition.modality,
        "corr:specimen": str(acquisition.specimen_id),
        "corr:state": str(acquisition.state_id),
        "corr:acquiredAt": acquisition.acquired_at,
        "corr:acquiredZone": acquisition.acquired_zone,
        "corr:settings": measured,
        "corr:position": acquisition.position,
    }
    return {name: value for name, value in known.items() if value not in ("", None, {})}


def _record_operator(acquisition: Acquisition) -> None:
    """Associate the operator with the measuring itself; where none is stated, nobody is."""
    operator: Any  # an account or an agent; the record takes either
    if acquisition.operator is not None:
        operator = acquisition.operator
    elif acquisition.operator_name:
        operator = record.person_agent(acquisition.operator_name)
    else:
        return
    with record.act("measure", actor=operator, project=acquisition.project_id, activity=acquisition):
        pass


def create_series(*, actor: User, project: Project, specimen: Specimen, kind: str, name: str) -> Series:
    """Open a series of one specimen: time points, a tilt or a depth series."""
    access.require(actor, access.Action.CONTRIBUTE, project)
    _check_specimen(specimen, project.pk)
    title = clean_text(name, field="name", required=True)
    with record.act("create_series", actor=actor, project=project.pk) as act:
        series = Series.objects.create(project=project, specimen=specimen, kind=kind, name=title, created_by=actor)
        act.created(series, attributes={"corr:kind": kind}, erasable={"name": series.name})
        act.used(specimen, role="specimen")
    return series


def move_acquisition(
    *, actor: User, acquisition: Acquisition, specimen: Specimen, reason: str, state: State | None = None
) -> Acquisition:
    """Put an acquisition to the right specimen.

    Its images follow, and so do the images made from them; mount and series stay with the specimen whose they are.

    Raises
    ------
    InvalidValueError
        No reason, another project, a state of another specimen.
    ConflictError
        It is there already.
    """
    access.require(actor, access.Action.CONTRIBUTE, acquisition)
    _check_specimen(specimen, acquisition.project_id)
    target = _state_of(specimen, state)
    why = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    with record.act("move_acquisition", actor=actor, project=acquisition.project_id, reason=why) as act:
        row = Acquisition.objects.select_for_update().get(pk=acquisition.pk)
        if row.state_id == target.pk:
            raise ConflictError("the acquisition is of this specimen in this state already", field="specimen")
        AcquisitionMove.objects.create(
            acquisition=row, from_state_id=row.state_id, to_state=target, reason=why, moved_by=actor
        )
        before, after = _move_row(row, specimen, target)
        act.used(specimen, role="specimen")
        act.used_in(row, specimen, role="specimen")
        act.used_in(row, target, role="state")
        act.informed(row)
        act.changed(row, before=before, after=after)
        _move_images(row, before["state"], specimen, target, act)
    return row


def _move_row(row: Acquisition, specimen: Specimen, state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """Change the row; returns what changed, before and after."""
    moved: dict[str, Any] = {"specimen_id": specimen.pk, "state_id": state.pk}
    if row.specimen_id != specimen.pk:
        moved |= {"mount_id": None, "series_id": None, "series_index": None}
    moved = {name: value for name, value in moved.items() if getattr(row, name) != value}
    before = {name.removesuffix("_id"): _plain(getattr(row, name)) for name in moved}
    for name, value in moved.items():
        setattr(row, name, value)
    row.save(update_fields=[name.removesuffix("_id") for name in moved])
    return before, {name.removesuffix("_id"): _plain(value) for name, value in moved.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else value


def _move_images(row: Acquisition, former: str, specimen: Specimen, state: State, act: record.Act) -> None:
    """Take along the images, their frames, the images that were made from them, and outside work on any of it."""
    change = {"specimen": str(specimen.pk), "state": str(state.pk)}
    moving = _made_from(row)
    for begin in range(0, len(moving), _BATCH):
        images = Image.objects.filter(pk__in=moving[begin : begin + _BATCH], state_id=former)
        frames = {pk for pair in images.values_list("frame_id", "calibrated_frame_id") for pk in pair}
        for image in images:
            act.changed(image, before={"specimen": str(image.specimen_id), "state": str(image.state_id)}, after=change)
        images.update(specimen=specimen, state=state)
        Frame.objects.filter(pk__in=frames - {None}).update(specimen=specimen, state=state)
    left = OutsideActivity.objects.filter(received__acquisition=row).values_list("pk", flat=True)
    for work in OutsideActivity.objects.filter(pk__in={*moving, *left}, state_id=former):
        act.informed(work)
        act.changed(work, before={"specimen": str(work.specimen_id), "state": str(work.state_id)}, after=change)
        work.specimen, work.state = specimen, state
        work.save(update_fields=["specimen", "state"])


def _made_from(row: Acquisition) -> list[uuid.UUID]:
    """Ids of an acquisition's images, of all that were made from them, and of outside work on them.

    Raises
    ------
    ConflictError
        More than one act can take along: to leave some of them with the wrong specimen would be worse.
    """
    own = list(row.images.values_list("pk", flat=True))
    limit = django_settings.CORR_LINEAGE_LIMIT
    kept = graph.Filters(types=[registration_of(model).type for model in (Image, OutsideActivity)])
    made = graph.descendants([row.pk, *own], limit=limit + 1, filters=kept)  # the limit counts these alone
    found = list(dict.fromkeys([*own, *made]))
    if len(found) > limit:
        raise ConflictError(
            f"more than {limit} images and versions of images stem from this acquisition; "
            "so many are not moved at once, and none was"
        )
    return found
