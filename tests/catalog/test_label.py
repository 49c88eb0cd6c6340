"""The label of a specimen: readable by people and by cameras, harmless in a browser."""

from __future__ import annotations

import io

import pytest
import segno
from defusedxml import ElementTree
from rest_framework.test import APIClient

from tests.factories import SpecimenFactory, UserFactory

pytestmark = pytest.mark.django_db
SVG = "{http://www.w3.org/2000/svg}"


def client_of(user: object) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_a_label_names_the_specimen_and_leads_to_it() -> None:
    specimen = SpecimenFactory(name="Panel <7> & more")
    answer = client_of(specimen.project.created_by).get(f"/api/v1/specimens/{specimen.pk}/label.svg")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("image/svg+xml")
    assert answer["X-Content-Type-Options"] == "nosniff"
    drawing = ElementTree.fromstring(answer.content)
    texts = [node.text for node in drawing.iter(f"{SVG}text")]
    assert texts == ["Panel <7> & more", specimen.pk.hex[-8:]]
    expected = io.BytesIO()
    segno.make(f"http://testserver/specimens/{specimen.pk}/", error="m", micro=False).save(
        expected, kind="svg", xmldecl=False, border=0, svgclass=None, lineclass=None, omitsize=True
    )
    drawn = [node.get("d") for node in drawing.iter(f"{SVG}path")]
    assert drawn == [node.get("d") for node in ElementTree.fromstring(expected.getvalue()).iter(f"{SVG}path")]


def test_a_label_holds_the_persistent_identifier_where_the_installation_has_one(settings: object) -> None:
    specimen = SpecimenFactory()
    client = client_of(specimen.project.created_by)
    here = client.get(f"/api/v1/specimens/{specimen.pk}/label.svg").content
    settings.CORR_BASE_URI = "https://lab.example/id/"  # type: ignore[attr-defined]
    assert client.get(f"/api/v1/specimens/{specimen.pk}/label.svg").content != here


def test_a_name_that_xml_cannot_hold_still_gives_a_label() -> None:
    specimen = SpecimenFactory(name="a\x01b\u202e" + "long " * 38)
    answer = client_of(specimen.project.created_by).get(f"/api/v1/specimens/{specimen.pk}/label.svg")
    texts = [node.text for node in ElementTree.fromstring(answer.content).iter(f"{SVG}text")]
    assert len(texts) == 4
    assert texts[0].startswith("ablong")
    assert texts[2].endswith("\N{HORIZONTAL ELLIPSIS}")


def test_who_may_not_see_a_specimen_gets_no_label() -> None:
    specimen = SpecimenFactory()
    assert client_of(UserFactory()).get(f"/api/v1/specimens/{specimen.pk}/label.svg").status_code == 404
