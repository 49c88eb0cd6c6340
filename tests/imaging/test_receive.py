"""Receiving source files: streamed, hashed, all or nothing, and never the same bytes twice in one acquisition."""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from rest_framework.test import APIClient

from apps.catalog.services import create_specimen
from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import Acquisition, SourceFile
from apps.imaging.services import create_acquisition, receive_files
from apps.imaging.services.receive import check_file_name
from apps.projects.models import User
from apps.projects.services import create_project
from apps.provenance.models import Edge, ErasableText, Node
from tests.imaging.conftest import client_of, upload

pytestmark = pytest.mark.django_db
Check = Callable[[], None]


def problem(response: Any, status: int, field: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/problem+json")
    body: dict[str, Any] = response.json()
    if field is not None:
        assert field in body["errors"], body
    return body


def test_file_is_stored_as_it_came(client: APIClient, acquisition: Acquisition, nothing_left: Check) -> None:
    data = bytes(range(256)) * 9000  # 2.3 MB: more than one piece
    response = upload(client, acquisition, ("scan 1.tif", data), ("scan 1.txt", b"kV = 80\n"))
    assert response.status_code == 201
    first, second = response.json()["files"]
    assert first == {"name": "scan 1.tif", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert second["name"] == "scan 1.txt"
    row = SourceFile.objects.select_related("store").get(name="scan 1.tif")
    assert storage.path(row.store.key).read_bytes() == data
    assert (row.store.state, row.store.digest) == ("ready", f"sha256:{first['sha256']}")
    assert row.store.lease_until is None
    nothing_left()


def test_lineage_names_digest_and_keeps_the_name_erasable(client: APIClient, acquisition: Acquisition) -> None:
    upload(client, acquisition, ("ada's scan.tif", b"bytes"))
    row = SourceFile.objects.get()
    node = Node.objects.get(pk=row.pk)
    assert node.attributes["corr:sha256"] == row.sha256
    assert "ada" not in str(node.attributes)
    assert ErasableText.objects.get(node=node, name="file_name").text == "ada's scan.tif"
    act = Edge.objects.get(subject=node, relation="wasGeneratedBy").object_id
    assert Edge.objects.filter(subject_id=act, relation="wasInformedBy", object_id=acquisition.pk).exists()


def test_same_bytes_twice_is_a_conflict(client: APIClient, acquisition: Acquisition, nothing_left: Check) -> None:
    upload(client, acquisition, ("a.tif", b"same"))
    body = problem(upload(client, acquisition, ("b.tif", b"same")), 409, "file")
    assert "a.tif" in body["detail"]
    problem(upload(client, acquisition, ("c.tif", b"twin"), ("d.tif", b"twin")), 409, "file")
    problem(upload(client, acquisition, ("a.tif", b"other bytes")), 409, "file")
    assert SourceFile.objects.count() == Store.objects.count() == 1
    nothing_left()


def test_same_bytes_elsewhere_in_the_project_are_linked(
    client: APIClient, ada: User, acquisition: Acquisition, nothing_left: Check
) -> None:
    upload(client, acquisition, ("a.tif", b"same"))
    other = create_acquisition(actor=ada, project=acquisition.project, specimen=acquisition.specimen, modality="sem")
    assert upload(client, other, ("b.tif", b"same")).status_code == 201
    assert len(set(SourceFile.objects.values_list("store", flat=True))) == 1
    assert Store.objects.count() == 1
    nothing_left()


def test_same_bytes_in_another_project_say_nothing(
    client: APIClient, outsider: User, acquisition: Acquisition, nothing_left: Check
) -> None:
    upload(client, acquisition, ("a.tif", b"same"))
    project = create_project(actor=outsider, name="elsewhere")
    specimen = create_specimen(actor=outsider, project=project, name="other")
    other = create_acquisition(actor=outsider, project=project, specimen=specimen, modality="xrm")
    assert upload(client_of(outsider), other, ("a.tif", b"same")).status_code == 201
    assert Store.objects.count() == 2
    nothing_left()


@pytest.mark.parametrize(
    "name",
    ["../x.tif", "a/b.tif", "a\\b.tif", "..", "bell\x07.tif", "\u202egpj.exe", " x.tif", "x" * 256, "half\ufffd.tif"],
)
def test_name_that_cannot_stand_is_refused(acquisition: Acquisition, ada: User, name: str, nothing_left: Check) -> None:
    with pytest.raises(Exception, match="file name") as caught:
        receive_files(actor=ada, acquisition=acquisition, files=[(name, "", [b"x"])])
    assert caught.value.field == "file"  # type: ignore[attr-defined]
    assert not Store.objects.exists()
    nothing_left()


def test_name_is_kept_as_it_came() -> None:
    for name in ("Probe µ-CT 3°.tif", "a&amp;b.tif", ".hidden", "日本.tif"):
        assert check_file_name(name) == name


def raw_upload(client: APIClient, acquisition: Acquisition, body: bytes, content_type: str = MULTIPART_CONTENT) -> Any:
    return client.generic("POST", f"/api/v1/acquisitions/{acquisition.pk}/files/", body, content_type)


def part(disposition: str, data: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
    return head + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("disposition", "field"),
    [
        ('name="file"; filename="../../etc/passwd"', "file"),
        ('name="file"; filename="a/b.tif"', "file"),
        ('name="file"; filename=""', "file"),
        ('name="image"; filename="a.tif"', "image"),
        ('name="note"', "note"),
    ],
)
def test_form_that_cannot_stand_is_refused(
    client: APIClient, acquisition: Acquisition, disposition: str, field: str, nothing_left: Check
) -> None:
    problem(raw_upload(client, acquisition, part(disposition, b"some bytes")), 400, field)
    assert not Store.objects.exists()
    nothing_left()


def test_body_that_is_no_form_is_refused(client: APIClient, acquisition: Acquisition, nothing_left: Check) -> None:
    problem(raw_upload(client, acquisition, b'{"file": "x"}', "application/json"), 400, "file")
    problem(raw_upload(client, acquisition, b"some text", "text/plain"), 415)
    problem(raw_upload(client, acquisition, b"no boundary here"), 400, "file")
    problem(raw_upload(client, acquisition, b"", MULTIPART_CONTENT), 400, "file")
    problem(upload(client, acquisition, ("empty.tif", b"")), 400, "file")
    nothing_left()


def test_upload_that_breaks_off_leaves_nothing(
    client: APIClient, acquisition: Acquisition, nothing_left: Check
) -> None:
    whole = part('name="file"; filename="a.tif"', b"\x00" * 3_000_000)
    for cut in (200, 1_000_000, len(whole) - 10):
        response = client.generic(
            "POST",
            f"/api/v1/acquisitions/{acquisition.pk}/files/",
            whole,
            MULTIPART_CONTENT,
            **{"wsgi.input": io.BytesIO(whole[:cut])},
        )
        assert problem(response, 400, "file")["code"] == "broken_upload"
        assert not Store.objects.exists()
        nothing_left()


def test_lost_connection_leaves_nothing(client: APIClient, acquisition: Acquisition, nothing_left: Check) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1_000_000:
                raise ConnectionResetError(errno.ECONNRESET, "gone")
            return super().read(size)

    whole = part('name="file"; filename="a.tif"', b"\x00" * 3_000_000)
    response = client.generic(
        "POST",
        f"/api/v1/acquisitions/{acquisition.pk}/files/",
        whole,
        MULTIPART_CONTENT,
        **{"wsgi.input": Breaking(whole)},
    )
    problem(response, 400, "file")
    assert not Store.objects.exists()
    nothing_left()


def test_too_many_bytes_are_refused(
    client: APIClient, acquisition: Acquisition, settings: Any, nothing_left: Check
) -> None:
    settings.CORR_MAX_UPLOAD_BYTES = 1000
    assert upload(client, acquisition, ("a.tif", b"x" * 1000)).status_code == 201
    assert problem(upload(client, acquisition, ("b.tif", b"x" * 1001)), 413, "file")["code"] == "too_large"
    problem(upload(client, acquisition, ("c.tif", b"x" * 600), ("d.tif", b"y" * 600)), 413, "file")
    announced = client.generic(
        "POST",
        f"/api/v1/acquisitions/{acquisition.pk}/files/",
        b"x",
        MULTIPART_CONTENT,
        CONTENT_LENGTH=str(10**12),
    )
    problem(announced, 413, "file")
    assert SourceFile.objects.count() == 1
    nothing_left()


@pytest.mark.parametrize("call", ["write", "publish"])
def test_full_disk_leaves_nothing(
    client: APIClient, acquisition: Acquisition, monkeypatch: pytest.MonkeyPatch, call: str, nothing_left: Check
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "publish":
        monkeypatch.setattr(storage, "_fsync", full)
    else:
        monkeypatch.setattr("apps.imaging.services.receive.Path.open", full)
    assert problem(upload(client, acquisition, ("a.tif", b"x")), 507)["code"] == "storage_full"
    monkeypatch.undo()
    assert not SourceFile.objects.exists()
    assert not Store.objects.exists()


def test_lease_that_ran_out_stores_nothing(
    ada: User, acquisition: Acquisition, settings: Any, nothing_left: Check
) -> None:
    def pieces() -> Any:
        yield b"one"
        Store.objects.filter(state="staged").delete()  # what the sweeper does
        yield b"two"

    with pytest.raises(Exception, match="send it again") as caught:
        receive_files(actor=ada, acquisition=acquisition, files=[("a.tif", "", pieces())])
    assert caught.value.status == 503  # type: ignore[attr-defined]
    assert not SourceFile.objects.exists()
    nothing_left()


def test_who_may_send(acquisition: Acquisition, viewer: User, outsider: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the body of a stranger was read")

    monkeypatch.setattr("apps.imaging.api.acquisitions.receive_multipart", read)
    for user, status in ((None, 401), (outsider, 404), (viewer, 403)):
        problem(upload(client_of(user), acquisition, ("a.tif", b"x")), status)
    assert not Store.objects.exists()


def test_session_needs_its_token_in_the_header_and_reads_no_body_before(
    ada: User, acquisition: Acquisition, nothing_left: Check
) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(ada)
    body = encode_multipart(BOUNDARY, {"csrfmiddlewaretoken": "x" * 32, "file": io.BytesIO(b"bytes")})
    problem(raw_upload(client, acquisition, body), 403)
    assert not Store.objects.exists()
    nothing_left()


def test_no_files_after_the_ingest_was_asked_for(client: APIClient, acquisition: Acquisition) -> None:
    upload(client, acquisition, ("a.tif", b"x"))
    assert client.post(f"/api/v1/acquisitions/{acquisition.pk}/ingest/").status_code == 202
    body = problem(upload(client, acquisition, ("b.tif", b"y")), 409)
    assert "queued" in body["detail"]
