"""Files beside a specimen or an acquisition, the words said of an acquisition, and the bytes all of it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.catalog.models import Specimen
from apps.catalog.services import create_specimen
from apps.core.models import Store
from apps.imaging.models import Acquisition, Attachment, Image
from apps.imaging.services import create_acquisition, receive_files
from apps.projects.models import Project, User
from apps.projects.selectors import bytes_used
from apps.provenance.models import Annotation, Edge
from tests.imaging.conftest import client_of

URL = "/api/v1/attachments/"
PAGE = b"<html><script>alert(1)</script></html>"
Check = Callable[[], None]


def attach(client: APIClient, name: str = "certificate.html", data: bytes = PAGE, **owner: Any) -> Any:
    sent = {field: str(row.pk) for field, row in owner.items()}
    return client.post(URL, sent | {"file": SimpleUploadedFile(name, data, "text/html")}, format="multipart")


def test_an_attachment_is_given_back_as_a_download_and_never_shown(
    client: APIClient, specimen: Specimen, viewer: User, nothing_left: Check
) -> None:
    answer = attach(client, specimen=specimen)
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["specimen"], body["acquisition"], body["size"]) == (str(specimen.pk), None, len(PAGE))
    file = client_of(viewer).get(f"{URL}{body['id']}/file")
    assert b"".join(file.streaming_content) == PAGE
    assert file["Content-Type"] == "application/octet-stream"
    assert file["Content-Disposition"].startswith("attachment")
    assert file["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in file["Content-Security-Policy"]
    assert Edge.objects.filter(subject_id=body["id"], relation="wasGeneratedBy").exists()
    nothing_left()


def test_an_acquisition_has_attachments_too_and_its_name_is_never_replaced(
    client: APIClient, acquisition: Acquisition, specimen: Specimen
) -> None:
    assert attach(client, acquisition=acquisition).status_code == 201
    assert attach(client, data=b"other", acquisition=acquisition).status_code == 409
    assert attach(client, specimen=specimen).status_code == 201
    listed = client.get(URL, {"acquisition": str(acquisition.pk)}).json()["results"]
    assert [row["name"] for row in listed] == ["certificate.html"]
    assert Store.objects.count() == 1, "the same bytes in one project are linked"


def test_an_attachment_belongs_to_one_thing(
    client: APIClient, acquisition: Acquisition, specimen: Specimen, nothing_left: Check
) -> None:
    for owner in ({}, {"acquisition": acquisition, "specimen": specimen}):
        assert attach(client, **owner).status_code == 400
    parts = {"specimen": str(specimen.pk), "surprise": "1", "file": SimpleUploadedFile("a.txt", b"x")}
    assert "surprise" in client.post(URL, parts, format="multipart").json()["errors"]
    two = {"specimen": str(specimen.pk), "file": [SimpleUploadedFile(n, b"x" + n.encode()) for n in ("a", "b")]}
    assert client.post(URL, two, format="multipart").status_code == 400
    assert not Attachment.objects.exists()
    nothing_left()


def test_who_may_attach_and_fetch(client: APIClient, specimen: Specimen, viewer: User, outsider: User) -> None:
    for user, status in ((viewer, 403), (outsider, 400), (None, 401)):
        assert attach(client_of(user), specimen=specimen).status_code == status
    pk = attach(client, specimen=specimen).json()["id"]
    assert client_of(outsider).get(f"{URL}{pk}/file").status_code == 404
    assert client_of(outsider).get(f"{URL}{pk}/").status_code == 404
    assert client_of(None).get(f"{URL}{pk}/file").status_code == 401


# ------------------------------------------------------------------------------------------------------------- words


def test_tags_of_an_acquisition_change_and_the_record_keeps_both(
    client: APIClient, acquisition: Acquisition, ada: User
) -> None:
    url = f"/api/v1/acquisitions/{acquisition.pk}/"
    body = {"tags": ["pilot", "Öl"], "key_values": {"batch": 7}, "external_ids": {"notebook": "AD-12"}}
    answer = client.patch(url, body, format="json")
    assert answer.status_code == 200, answer.content
    assert {name: answer.json()[name] for name in body} == body
    assert client.patch(url, {"tags": []}, format="json").json()["tags"] == []
    said = [row.attributes["corr:changed"][0]["corr:after"] for row in Annotation.objects.filter(node=acquisition.pk)]
    assert said == [{"fields": ["external_ids", "key_values", "tags"]}, {"fields": ["tags"]}]


def test_what_was_measured_is_no_word(client: APIClient, acquisition: Acquisition, viewer: User) -> None:
    url = f"/api/v1/acquisitions/{acquisition.pk}/"
    assert "modality" in client.patch(url, {"modality": "sem"}, format="json").json()["errors"]
    assert "key_values.a" in client.patch(url, {"key_values": {"a": []}}, format="json").json()["errors"]
    assert client_of(viewer).patch(url, {"tags": ["x"]}, format="json").status_code == 403


@pytest.mark.parametrize("tag", ["pilot", "Öl", 'a "quoted" % tag_', "ünïcode \N{MICROSCOPE}"])
def test_a_tag_is_found_as_it_is_spelled(client: APIClient, project: Project, specimen: Specimen, tag: str) -> None:
    made = {"project": str(project.pk), "specimen": str(specimen.pk), "modality": "sem", "tags": ["other", tag]}
    pk = client.post("/api/v1/acquisitions/", made, format="json").json()["id"]
    client.post("/api/v1/acquisitions/", made | {"tags": [f"{tag} 2", tag.upper() + "X"]}, format="json")
    piece = create_specimen(actor=project.created_by, project=project, name="piece", tags=[tag])
    for things, key in (("acquisitions", pk), ("specimens", str(piece.pk))):
        found = client.get(f"/api/v1/{things}/", {"tag": tag}).json()["results"]
        assert [row["id"] for row in found] == [key]
        assert client.get(f"/api/v1/{things}/", {"tag": "none"}).json()["results"] == []


# ------------------------------------------------------------------------------------------------------------- bytes


def test_bytes_of_a_project_are_counted_by_stores_and_linked_ones_once(
    image: Image, client: APIClient, project: Project, specimen: Specimen, acquisition: Acquisition, ada: User
) -> None:
    attach(client, specimen=specimen)
    before = bytes_used(project)
    assert before == sum(Store.objects.values_list("size_bytes", flat=True))
    data = (acquisition.files.get().store.size_bytes, PAGE)
    again = create_acquisition(actor=ada, project=project, specimen=specimen, modality="xrm")
    receive_files(actor=ada, acquisition=again, files=[("same.html", "", [data[1]])])
    with CaptureQueriesContext(connection) as asked:
        assert bytes_used(project) == before
    assert len(asked) == 1
    assert client.get(f"/api/v1/projects/{project.pk}/").json()["bytes_used"] == before
    assert "bytes_used" not in client.get("/api/v1/projects/").json()["results"][0]
