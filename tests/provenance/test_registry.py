"""Every model of the project is a thing of the record, or says why it is none."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models
from django.urls import NoReverseMatch, reverse

from apps.provenance import registry
from tests.provenance.things import Image, Member, Run, Specimen, Unregistered

PROJECT_MODELS = [model for model in apps.get_models() if model.__module__.startswith("apps.")]


def test_every_model_is_registered_or_exempt_with_a_reason():
    known = set(registry.registered_models()) | set(registry.exempt_models())
    missing = sorted(model._meta.label for model in PROJECT_MODELS if model not in known)
    assert missing == [], "call registry.register or registry.exempt in AppConfig.ready"


def test_no_model_is_both():
    both = set(registry.registered_models()) & set(registry.exempt_models())
    assert sorted(model._meta.label for model in both) == []


def real_registrations() -> list[registry.Registration]:
    return [entry for model, entry in registry.registered_models().items() if model in PROJECT_MODELS]


def test_registered_models_have_uuid_keys_and_paths_that_lead_to_a_project():
    for entry in real_registrations():
        assert isinstance(entry.model._meta.pk, models.UUIDField), entry
        if entry.project is not None:
            assert _leads_to_a_uuid(entry.model, entry.project), entry


def _leads_to_a_uuid(model: type[models.Model], path: str) -> bool:
    *steps, last = path.split("__")
    try:
        for step in steps:
            model = model._meta.get_field(step).related_model
        field = model._meta.get_field(last) if last in {f.name for f in model._meta.fields} else None
        field = field or next(f for f in model._meta.fields if f.attname == last)
    except (FieldDoesNotExist, AttributeError, StopIteration):
        return False
    target = field.target_field if field.is_relation else field
    return isinstance(target, models.UUIDField)


def test_detail_routes_exist():
    missing = []
    for entry in real_registrations():
        if entry.url_name is not None:
            try:
                reverse(entry.url_name, args=["00000000-0000-0000-0000-000000000001"])
            except NoReverseMatch:
                missing.append(entry.url_name)
    assert missing == []


def test_a_registration_knows_kind_type_and_project(project):
    entry = registry.registration_of(Specimen(project_id=project))
    assert (entry.kind, entry.type, entry.project_of(Specimen(project_id=project))) == (
        "entity",
        "test:Specimen",
        project,
    )
    assert registry.registration_of(Run).kind == "activity"
    assert registry.registration_of(Member()).project_of(Member()) is None
    assert entry.project_of(Specimen()) is None
    assert registry.registration_of_type("test:Image").model is Image
    assert registry.registration_of_type("test:None") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "thing"}, "is not one of"),
        ({"type": "Unregistered"}, "needs a prefix"),
        ({"type": "test:Image"}, "contradicts"),
        ({"model": Image}, "contradicts"),
    ],
)
def test_bad_registrations_are_refused(change, message):
    given = {"model": Unregistered, "kind": "entity", "type": "test:New", "url_name": None, "project": None} | change
    with pytest.raises(ImproperlyConfigured, match=message):
        registry.register(given.pop("model"), **given)


def test_an_exemption_needs_a_reason():
    with pytest.raises(ImproperlyConfigured):
        registry.exempt(Unregistered, " ")
