"""Which model is which kind of thing in the provenance record.  Each app says so in ``AppConfig.ready``."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from apps.provenance.relations import Kind


@dataclass(frozen=True)
class Registration:
    """How rows of a model stand in the record.

    Attributes
    ----------
    model : type
        The model.
    kind : str
        ``entity``, ``activity`` or ``agent``.
    type : str
        Type in exports, with prefix, e.g. ``corr:Specimen``.
    url_name : str or None
        Name of the detail route; None where there is none.
    project : str or None
        Attribute path to the project's id, e.g. ``acquisition__project_id``; None for site-wide things.
    """

    model: type[Model]
    kind: str
    type: str
    url_name: str | None
    project: str | None

    def project_of(self, obj: Model) -> uuid.UUID | None:
        """Return the id of the project of an object, None where it is site-wide."""
        if self.project is None:
            return None
        value: object = obj
        for step in self.project.split("__"):
            value = getattr(value, step)
            if value is None:
                return None
        if not isinstance(value, uuid.UUID):
            raise ImproperlyConfigured(f"{self.model.__name__}.{self.project} is {value!r}, it must lead to a UUID")
        return value


class NotRegisteredError(LookupError):
    """A model takes part in an act and was never registered: a bug in its app's configuration."""


_REGISTERED: dict[type[Model], Registration] = {}
_EXEMPT: dict[type[Model], str] = {}


def register(
    model: type[Model],
    *,
    kind: str,
    type: str,  # noqa: A002 - the word of PROV, and of every caller
    url_name: str | None,
    project: str | None,
) -> None:
    """Say what rows of a model are in the record.

    Parameters
    ----------
    model : type
        The model; its primary key is a UUID and becomes the id of the node.
    kind : {"entity", "activity", "agent"}
        PROV kind.
    type : str
        Type with prefix, unique among registrations, e.g. ``corr:Specimen``.
    url_name : str or None
        Name of the API's detail route.
    project : str or None
        Attribute path to the project's id; None for site-wide things.

    Raises
    ------
    ImproperlyConfigured
        Unknown kind, a type without prefix, or a model or type registered twice differently.
    """
    if kind not in Kind.values:
        raise ImproperlyConfigured(f"{model.__name__}: kind {kind!r} is not one of {Kind.values}")
    if type.count(":") != 1:
        raise ImproperlyConfigured(f"{model.__name__}: type {type!r} needs a prefix, e.g. 'corr:{model.__name__}'")
    new = Registration(model, kind, type, url_name, project)
    for old in _REGISTERED.values():
        if old != new and (old.model is model or old.type == type):
            raise ImproperlyConfigured(f"{new} contradicts {old}")
    _REGISTERED[model] = new


def exempt(model: type[Model], reason: str) -> None:
    """Say that rows of a model are no things of the record, and why (a token, a membership, a log line)."""
    if not reason.strip():
        raise ImproperlyConfigured(f"{model.__name__}: exempt for which reason?")
    _EXEMPT[model] = reason


def registered_models() -> dict[type[Model], Registration]:
    """Return all registrations by model."""
    return dict(_REGISTERED)


def exempt_models() -> dict[type[Model], str]:
    """Return the models that are no things of the record, with the reason."""
    return dict(_EXEMPT)


def registration_of(obj_or_model: Model | type[Model]) -> Registration:
    """Return the registration of a model or of the model of an object.

    Raises
    ------
    NotRegisteredError
        The model was never registered.
    """
    model = obj_or_model if isinstance(obj_or_model, type) else type(obj_or_model)
    concrete = model._meta.concrete_model or model
    try:
        return _REGISTERED[concrete]
    except KeyError:
        raise NotRegisteredError(
            f"{model.__name__} is not registered; call registry.register in AppConfig.ready"
        ) from None


def registration_of_type(type_name: str) -> Registration | None:
    """Return the registration under a type as nodes hold it, None for types that no model has."""
    return next((entry for entry in _REGISTERED.values() if entry.type == type_name), None)
