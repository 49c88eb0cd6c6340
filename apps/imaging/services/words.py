"""What is said of an acquisition beside what was measured: tags, key-values, ids that others gave it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from apps.core.clean import clean_key_values, clean_tags, clean_texts
from apps.core.errors import InvalidValueError
from apps.imaging.models import Acquisition
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

_CLEANERS: Final[dict[str, Callable[[Any], Any]]] = {
    "tags": clean_tags,
    "key_values": clean_key_values,
    "external_ids": lambda value: clean_texts(value, field="external_ids"),
}


def clean_acquisition_words(words: dict[str, Any]) -> dict[str, Any]:
    """Return the describing fields, each checked; InvalidValueError names the field at fault."""
    for name in words:
        if name not in _CLEANERS:
            raise InvalidValueError(f"{name} does not change; what changes: {', '.join(_CLEANERS)}", field=name)
    return {name: _CLEANERS[name](value) for name, value in words.items()}


def erasable_words(acquisition: Acquisition, fields: Iterable[str] = tuple(_CLEANERS)) -> dict[str, str]:
    """Return the describing fields that say something, as texts that can be erased: people's names stand in them."""
    said = {name: getattr(acquisition, name) for name in fields}
    return {name: json.dumps(value, sort_keys=True, ensure_ascii=False) for name, value in said.items() if value}


def update_acquisition(*, actor: User, acquisition: Acquisition, **changes: Any) -> Acquisition:
    """Change what is said of an acquisition: tags, key_values, external_ids; what was measured does not change.

    The former words stay in the record beside the new ones.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the acquisition, or may not contribute.
    InvalidValueError
        A field that does not change, or a value that cannot be taken.
    """
    access.require(actor, access.Action.CONTRIBUTE, acquisition)
    words = clean_acquisition_words(changes)
    with record.act("update_acquisition", actor=actor, project=acquisition.project_id) as act:
        locked = Acquisition.objects.select_for_update().get(pk=acquisition.pk)
        changed = {name: value for name, value in words.items() if value != getattr(locked, name)}
        for name, value in changed.items():
            setattr(locked, name, value)
        if changed:
            locked.save(update_fields=list(changed))
        fields = sorted(changed)
        act.informed(locked)
        act.changed(
            locked, before={"fields": fields}, after={"fields": fields}, erasable=erasable_words(locked, fields)
        )
    return locked
