"""The admin shows what the account may see, and writes through the services."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse

from apps.catalog.models import Calibration, Instrument, Material, MaterialProperty, Specimen, SpecimenEvent, State
from apps.core.admin import ServiceAdmin
from apps.provenance.models import Event, Node
from apps.spatial.models import Frame, FrameExtent, Landmark, Mount, Roi, Transform, TransformDecision
from tests.factories import (
    CalibrationFactory,
    InstrumentFactory,
    MaterialFactory,
    ProjectFactory,
    RoiFactory,
    SpecimenEventFactory,
    SpecimenFactory,
    TransformFactory,
    UserFactory,
    member,
)

pytestmark = pytest.mark.django_db
MODELS = [
    *(Calibration, Instrument, Material, MaterialProperty, Specimen, SpecimenEvent, State),
    *(Frame, FrameExtent, Landmark, Mount, Roi, Transform, TransformDecision),
]


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def logged_in(client):
    def log_in(user):
        client.force_login(user)
        return client

    return log_in


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_an_admin_that_neither_saves_nor_deletes(model, rf):
    site = admin.site._registry[model]
    request = rf.get("/")
    request.user = UserFactory(is_staff=True, is_superuser=True)
    assert isinstance(site, ServiceAdmin)
    assert site.get_actions(request) == {}
    assert not site.has_delete_permission(request)
    for refused in (lambda: site.delete_model(request, None), lambda: site.delete_queryset(request, None)):
        with pytest.raises(Exception, match="not deleted"):
            refused()


def test_a_superuser_sees_project_data_only_as_a_member(logged_in):
    roi, transform, event = RoiFactory(), TransformFactory(), SpecimenEventFactory()
    rows = [roi, roi.frame, roi.frame.mount, transform, event, event.specimen, event.opens]
    outsider = logged_in(UserFactory(is_staff=True, is_superuser=True))
    for row in rows:
        assert str(row.pk) not in outsider.get(url(type(row), "changelist")).content.decode()
        assert outsider.get(url(type(row), "change", row.pk)).status_code == 302
        assert outsider.get(url(type(row), "history", row.pk)).status_code == 302
    for row in rows:
        project = getattr(row, "project", None) or row.specimen.project
        staff = logged_in(member(project, "viewer", is_staff=True))
        assert str(row.pk) in staff.get(url(type(row), "changelist")).content.decode()
        assert staff.get(url(type(row), "change", row.pk)).status_code == 200


@pytest.mark.parametrize("factory", [MaterialFactory, InstrumentFactory, CalibrationFactory])
def test_what_is_site_wide_is_shown_to_all_staff(logged_in, factory):
    row = factory()
    staff = logged_in(UserFactory(is_staff=True))
    assert staff.get(url(type(row), "change", row.pk)).status_code == 200
    assert staff.get(url(type(row), "add")).status_code == 200
    assert staff.post(url(type(row), "change", row.pk), {"name": "other", "factor": 2}).status_code == 403
    assert staff.post(url(type(row), "delete", row.pk), {"post": "yes"}).status_code == 403
    assert logged_in(UserFactory()).get(url(type(row), "changelist")).status_code == 302


def test_adding_a_specimen_goes_through_the_service(logged_in):
    project = ProjectFactory()
    client = logged_in(member(project, "contributor", is_staff=True))
    answer = client.post(url(Specimen, "add"), {"project": project.pk, "name": "A1", "tags": '["fibre"]'})
    assert answer.status_code == 302, answer.context["errors"]
    specimen = Specimen.objects.get()
    assert (specimen.name, specimen.tags, specimen.current_state.number) == ("A1", ["fibre"], 0)
    assert Node.objects.filter(id=specimen.pk, type="corr:Specimen").exists()


def test_a_refusal_of_the_service_is_an_error_of_the_form(logged_in):
    specimen = SpecimenFactory()
    project = specimen.project
    events = Event.objects.count()
    client = logged_in(project.created_by)
    project.created_by.is_staff = True
    project.created_by.save()
    answer = client.post(url(Specimen, "add"), {"project": project.pk, "name": specimen.name})
    assert answer.status_code == 200
    assert "already" in answer.context["adminform"].form.errors["name"][0]
    answer = client.post(url(Specimen, "add"), {"project": project.pk, "name": "b", "key_values": '{"a": [1]}'})
    assert "key_values.a" in answer.context["adminform"].form.non_field_errors()[0]
    assert (Specimen.objects.count(), Event.objects.count()) == (1, events)


def test_a_viewer_on_the_staff_adds_nothing(logged_in):
    project = ProjectFactory()
    client = logged_in(member(project, "viewer", is_staff=True, is_superuser=True))
    answer = client.post(url(Specimen, "add"), {"project": project.pk, "name": "A1"})
    assert "contributor" in answer.context["adminform"].form.non_field_errors()[0]
    hidden = ProjectFactory()
    answer = client.post(url(Specimen, "add"), {"project": hidden.pk, "name": "A1"})
    assert "project" in answer.context["adminform"].form.errors
    assert hidden.name not in answer.content.decode()
    assert not Specimen.objects.exists()


def test_changing_a_specimen_goes_through_the_service(logged_in):
    specimen = SpecimenFactory(name="old", description="as it was")
    client = logged_in(member(specimen.project, "contributor", is_staff=True))
    assert client.get(url(Specimen, "change", specimen.pk)).status_code == 200
    body = {"name": "new", "description": "", "tags": "[]", "key_values": "{}", "external_ids": "{}"}
    answer = client.post(url(Specimen, "change", specimen.pk), body)
    assert answer.status_code == 302, answer.context["errors"]
    specimen.refresh_from_db()
    assert (specimen.name, specimen.description) == ("new", "")
    assert Event.objects.filter(verb="update_specimen").count() == 1


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Material, {"name": "epoxy"}),
        (Instrument, {"name": "SEM 1", "detectors": '["SE"]'}),
    ],
)
def test_staff_add_what_is_site_wide(logged_in, model, values):
    answer = logged_in(UserFactory(is_staff=True)).post(url(model, "add"), values)
    assert answer.status_code == 302, answer.context["errors"]
    assert Node.objects.filter(id=model.objects.get().pk).exists()


def test_staff_add_values_and_calibrations(logged_in):
    material, instrument = MaterialFactory(), InstrumentFactory()
    client = logged_in(UserFactory(is_staff=True))
    value = {"material": material.pk, "quantity": "density", "value": "1.2", "unit": "kV"}
    answer = client.post(url(MaterialProperty, "add"), value)
    assert "kg/m3" in answer.context["adminform"].form.errors["unit"][0]
    assert client.post(url(MaterialProperty, "add"), value | {"unit": "g/cm3"}).status_code == 302
    body = {"instrument": instrument.pk, "factor": 1.01, "u_factor": 0, "standard": "a", "measured_at": "2024-05-01"}
    answer = client.post(url(Calibration, "add"), body)
    assert answer.status_code == 302, answer.context["errors"]
    assert Calibration.objects.get().u_factor == 0.0


def test_spatial_rows_are_added_through_services(logged_in):
    transform = TransformFactory()
    frame = transform.source
    client = logged_in(member(frame.project, "contributor", is_staff=True))
    body = {"frame": frame.pk, "name": "spot", "geometry": '{"type": "point", "coordinates": [1, 2, 3]}'}
    assert client.post(url(Roi, "add"), body).status_code == 302
    assert Roi.objects.get().x_max == 1.0
    answer = client.post(url(Roi, "add"), body | {"geometry": '{"type": "point", "coordinates": [1, 2]}'})
    assert "geometry.coordinates" in answer.context["adminform"].form.non_field_errors()[0]
    body = {
        "source": frame.pk,
        "target": transform.target.pk,
        "kind": "rigid",
        "method": "manual",
        "matrix": "[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]",
    }
    assert client.post(url(Transform, "add"), body).status_code == 302
    assert Transform.objects.count() == 2
    mount = {"specimen": frame.specimen.pk, "instrument": frame.mount.instrument.pk}
    mount |= {"mounted_at_0": "2024-05-01", "mounted_at_1": "12:00:00"}
    answer = client.post(url(Mount, "add"), mount)
    assert answer.status_code == 302, answer.context["errors"]
    event = {
        "specimen": frame.specimen.pk,
        "kind": "polish",
        "occurred_at_0": "2024-05-01",
        "occurred_at_1": "12:00:00",
    }
    answer = client.post(url(SpecimenEvent, "add"), event)
    assert answer.status_code == 302, answer.context["errors"]
    assert SpecimenEvent.objects.get().opens.number == 1


def test_lists_take_a_constant_number_of_queries(logged_in, django_assert_max_num_queries):
    specimen = SpecimenFactory()
    for _ in range(5):
        SpecimenEventFactory(specimen=specimen)
        TransformFactory(source__specimen=specimen)
    client = logged_in(member(specimen.project, "viewer", is_staff=True))
    for model in (Specimen, SpecimenEvent, State, Frame, Mount, Transform):
        with django_assert_max_num_queries(8):
            assert client.get(url(model, "changelist")).status_code == 200
