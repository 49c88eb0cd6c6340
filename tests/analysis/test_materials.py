"""Phases that name a material get its value, unit checked; the value row is what the job used."""

from __future__ import annotations

import uuid

import pytest

from apps.analysis import services
from apps.catalog.models import Material, MaterialProperty
from apps.core.errors import CorrError, InvalidValueError
from tests.factories import StaffFactory
from tests.study import Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def epoxy(study: Study) -> Material:
    staff = StaffFactory()
    material = Material.objects.create(name=f"epoxy {uuid.uuid4().hex[:6]}", created_by=staff)
    MaterialProperty.objects.create(
        material=material, quantity="thermal_conductivity", value=0.25, u=0.02, unit="W/(m.K)", source="data sheet"
    )
    return material


def bounds(study: Study, phase: dict[str, object], unit: str = "W/(m.K)") -> dict[str, object]:
    job, _ = services.submit(
        actor=study.maker,
        project=study.project,
        plugin="bulk.bounds",
        params={"phases": {"0": phase, "1": {"k": 10.0}}, "unit": unit},
        inputs={"labels": str(study.labels.pk)},
    )
    return dict(job.params["phases"]["0"])


def test_the_value_of_a_material_is_taken_with_its_uncertainty_and_source(study: Study, epoxy: Material) -> None:
    phase = bounds(study, {"material": str(epoxy.pk)})
    value = MaterialProperty.objects.get(material=epoxy)
    assert (phase["k"], phase["u"], phase["source"]) == (0.25, 0.02, "data sheet")
    assert phase["material_property"] == str(value.pk)


def test_another_unit_is_refused(study: Study, epoxy: Material) -> None:
    with pytest.raises(CorrError) as caught:
        bounds(study, {"material": str(epoxy.pk)}, unit="S/m")
    assert "params.phases.0.material" in caught.value.errors


def test_value_and_material_together_are_refused(study: Study, epoxy: Material) -> None:
    with pytest.raises(InvalidValueError, match="not both"):
        bounds(study, {"material": str(epoxy.pk), "k": 1.0})


def test_an_unknown_material_is_named(study: Study) -> None:
    with pytest.raises(CorrError, match="there is no material"):
        bounds(study, {"material": str(uuid.uuid4())})
