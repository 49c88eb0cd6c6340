"""Instruments: site-wide, written by staff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from apps.catalog.models import Instrument
from apps.core.clean import clean_key_values, clean_text, constraint_refuses
from apps.core.errors import ConflictError, InvalidValueError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

_LENGTHS: Final = {
    "modality": 16,
    "manufacturer": 200,
    "model": 200,
    "serial_number": 100,
    "software": 200,
    "responsible": 200,
}
_MAX_DETECTORS: Final = 50


def create_instrument(
    *,
    actor: User,
    name: str,
    detectors: Sequence[Any] = (),
    stage_axes: Mapping[str, Any] | None = None,
    **words: str,
) -> Instrument:
    """Make an instrument.

    Parameters
    ----------
    actor : User
        Staff.
    name : str
        Unique on this site.
    detectors : sequence, optional
        Names, or objects of name -> value.
    stage_axes : mapping, optional
        Sense of each stage axis, once measured; None means that it is not known.
    **words : str
        ``modality``, ``manufacturer``, ``model``, ``serial_number``, ``software``, ``responsible`` (the group that
        answers for it).

    Raises
    ------
    PermissionRefusedError
        The actor is not staff.
    InvalidValueError
        A value cannot be taken.
    ConflictError
        There is an instrument of this name.
    """
    access.require_staff(actor)
    for key in words:
        if key not in _LENGTHS:
            raise InvalidValueError(f"an instrument has no {key}", field=key)
    instrument = Instrument(
        name=clean_text(name, field="name", required=True),
        detectors=_clean_detectors(detectors),
        stage_axes=None if stage_axes is None else clean_key_values(stage_axes, field="stage_axes"),
        created_by=actor,
        **{key: clean_text(value, field=key, max_length=_LENGTHS[key]) for key, value in words.items()},
    )
    taken = ConflictError(f"there is an instrument {instrument.name!r} already", field="name")
    with (
        constraint_refuses("catalog_instrument_name", "catalog_instrument.name", error=taken),
        record.act("create_instrument", actor=actor, project=None) as act,
    ):
        if Instrument.objects.filter(name=instrument.name).exists():
            raise taken
        instrument.save(force_insert=True)
        _say(act, instrument)
    return instrument


def _clean_detectors(value: object) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidValueError("must be a list of names or objects", field="detectors")
    if len(value) > _MAX_DETECTORS:
        raise InvalidValueError(f"{len(value)} detectors; at most {_MAX_DETECTORS} fit", field="detectors")
    return [
        clean_text(item, field=f"detectors.{index}", required=True)
        if isinstance(item, str)
        else clean_key_values(item, field=f"detectors.{index}")
        for index, item in enumerate(value)
    ]


def _say(act: record.Act, instrument: Instrument) -> None:
    facts = {
        "corr:modality": instrument.modality,
        "corr:manufacturer": instrument.manufacturer,
        "corr:model": instrument.model,
        "corr:serialNumber": instrument.serial_number,
        "corr:software": instrument.software,
        "corr:detectors": instrument.detectors,
        "corr:stageAxes": instrument.stage_axes,
    }
    act.created(
        instrument,
        attributes={key: value for key, value in facts.items() if value},
        erasable={"name": instrument.name},
    )
    if instrument.stage_axes:
        act.asserted(instrument, "stage_axes", instrument.stage_axes)
    if instrument.responsible:
        act.attributed(instrument, record.organisation_agent(instrument.responsible), role="responsible")
