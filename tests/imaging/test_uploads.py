"""Files that come piece by piece: tus 1.0, as its clients speak it."""

from __future__ import annotations

import base64
import fcntl
import hashlib
from typing import Any

import pytest
from django.http import UnreadablePostError
from rest_framework.test import APIClient

from apps.core import storage
from apps.core.clock import DbNow
from apps.core.models import Store
from apps.imaging.models import Acquisition, SourceFile, Upload
from apps.imaging.services import begin_upload, create_acquisition, receive_piece, take_uploads
from apps.jobs.sweep import sweep_storage
from apps.projects.models import User
from tests.factories import UserFactory, member
from tests.imaging.conftest import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("project")]

TUS = {"Tus-Resumable": "1.0.0"}
WHOLE = bytes(range(256)) * 40
PIECES = (WHOLE[:4000], WHOLE[4000:4001], WHOLE[4001:])


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def began(client: APIClient, size: int = len(WHOLE), name: str = "scan.raw", **headers: str) -> Any:
    words = {"Upload-Length": str(size), "Upload-Metadata": f"filename {coded(name)},filetype {coded('image/x-raw')}"}
    return client.post("/api/v1/uploads/", headers={**TUS, **words, **headers})


def sent(client: APIClient, place: str, piece: bytes, offset: int, **headers: str) -> Any:
    more = {**TUS, "Upload-Offset": str(offset), **headers}
    return client.generic("PATCH", place, piece, content_type="application/offset+octet-stream", headers=more)


def kept(client: APIClient, place: str) -> int:
    answer = client.head(place, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def taken(client: APIClient, acquisition: Acquisition, **body: Any) -> Any:
    return client.post(f"/api/v1/acquisitions/{acquisition.pk}/files/", body, format="json")


@pytest.fixture
def whole(ada: User) -> Upload:
    upload = begin_upload(actor=ada, name="scan.raw", size=len(WHOLE))
    stream = iter([WHOLE, b""])
    receive_piece(actor=ada, upload=upload, offset=0, read=lambda count: next(stream), length=len(WHOLE))
    return upload


def test_a_file_comes_in_pieces_and_becomes_a_source_file(ada: User, acquisition: Acquisition) -> None:
    client = client_of(ada)
    answer = began(client)
    assert answer.status_code == 201, answer.content
    place, told = answer.headers["Location"], answer.json()
    assert place == f"http://testserver/api/v1/uploads/{told['id']}/"
    assert (told["name"], told["size"], told["offset"]) == ("scan.raw", len(WHOLE), 0)
    there = 0
    for piece in PIECES:
        assert kept(client, place) == there
        answer = sent(client, place, piece, there)
        there += len(piece)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(there))
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.headers["Upload-Expires"].endswith("GMT")
    answer = taken(client, acquisition, upload=told["id"])
    assert answer.status_code == 201, answer.content
    assert answer.json()["files"] == [
        {"name": "scan.raw", "sha256": hashlib.sha256(WHOLE).hexdigest(), "size": len(WHOLE)}
    ]
    row = SourceFile.objects.get()
    assert row.media_type == "image/x-raw"
    assert storage.path(row.store.key).read_bytes() == WHOLE
    assert client.get("/api/v1/uploads/").json()["results"] == []
    assert list(storage.upload_folders()) == []
    assert not len(sweep_storage())


def test_the_server_says_what_it_speaks(ada: User, settings: Any) -> None:
    settings.CORR_MAX_UPLOAD_BYTES = 5000
    answer = client_of(ada).options("/api/v1/uploads/")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,checksum,expiration,termination"
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
    assert answer.headers["Tus-Max-Size"] == "5000"


@pytest.mark.parametrize("offset", [0, 3999, 4001, len(WHOLE)])
def test_a_piece_that_begins_elsewhere_is_refused_with_the_offset(ada: User, offset: int) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    sent(client, place, PIECES[0], 0)
    answer = sent(client, place, b"x", offset)
    assert answer.status_code == 409
    assert answer.json()["details"] == {"offset": 4000, "size": len(WHOLE)}
    assert kept(client, place) == 4000


def test_a_piece_beyond_the_end_is_refused_whole(ada: User) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    assert sent(client, place, WHOLE + b"x", 0).status_code == 413
    assert kept(client, place) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_checksum_is_held_against_what_came(ada: User, algorithm: str) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    digest = base64.b64encode(hashlib.new(algorithm, PIECES[0]).digest()).decode()
    said = {"Upload-Checksum": f"{algorithm} {digest}"}
    wrong = sent(client, place, PIECES[0][:-1] + b"?", 0, **said)
    assert (wrong.status_code, wrong.json()["code"]) == (460, "checksum_mismatch")
    assert kept(client, place) == 0
    assert sent(client, place, PIECES[0], 0, **said).status_code == 204
    assert kept(client, place) == 4000


@pytest.mark.parametrize("checksum", ["md5 AAAA", "sha256", "sha256 ???"])
def test_a_checksum_that_is_none_is_refused_by_name(ada: User, checksum: str) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    answer = sent(client, place, PIECES[0], 0, **{"Upload-Checksum": checksum})
    # a digest of no bytes is one that does not agree
    assert answer.status_code == (460 if checksum == "sha256" else 400), answer.content
    assert kept(client, place) == 0


def test_a_piece_that_cannot_be_held_or_kept_is_refused(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    monkeypatch.setattr("apps.imaging.services.uploads.MOST_CHECKED", 10)
    assert sent(client, place, PIECES[0], 0, **{"Upload-Checksum": f"sha1 {coded('x')}"}).status_code == 413
    monkeypatch.setattr(storage, "free_bytes", lambda: len(PIECES[0]))
    assert sent(client, place, PIECES[0], 0).status_code == 507
    assert kept(client, place) == 0


def test_what_came_before_the_line_broke_is_kept(ada: User, data_root: Any) -> None:
    upload = begin_upload(actor=ada, name="scan.raw", size=len(WHOLE))
    parts = iter([WHOLE[:1000], WHOLE[1000:1500]])

    def read(count: int) -> bytes:
        try:
            return next(parts)
        except StopIteration:
            raise UnreadablePostError("the line broke") from None

    with pytest.raises(UnreadablePostError):
        receive_piece(actor=ada, upload=upload, offset=0, read=read, length=len(WHOLE))
    client = client_of(ada)
    assert kept(client, f"/api/v1/uploads/{upload.pk}/") == 1500
    assert sent(client, f"/api/v1/uploads/{upload.pk}/", WHOLE[1500:], 1500).status_code == 204
    assert storage.staged_file(upload.store_id).read_bytes() == WHOLE


def test_one_sends_at_a_time(ada: User) -> None:
    client = client_of(ada)
    answer = began(client)
    upload = Upload.objects.get(pk=answer.json()["id"])
    with storage.staged_file(upload.store_id).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert sent(client, answer.headers["Location"], PIECES[0], 0).status_code == 423
        assert client.delete(answer.headers["Location"], headers=TUS).status_code == 423
    assert sent(client, answer.headers["Location"], PIECES[0], 0).status_code == 204


def test_another_version_of_the_protocol_is_named(ada: User) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    for given in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = client.generic(
            "PATCH",
            place,
            b"x",
            content_type="application/offset+octet-stream",
            headers={"Upload-Offset": "0", **given},
        )
        assert answer.status_code == 412
        assert answer.headers["Tus-Version"] == "1.0.0"
    assert client.post("/api/v1/uploads/", headers={"Upload-Length": "1"}).status_code == 412
    assert client.head(place).status_code == 412
    assert client.get(place).status_code == 200


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Upload-Length": "many"}, "Upload-Length"),
        ({"Upload-Length": "-1"}, "Upload-Length"),
        ({"Upload-Length": "0"}, "size"),
        ({"Upload-Metadata": ""}, "Upload-Metadata"),
        ({"Upload-Metadata": "filename ***"}, "Upload-Metadata"),
        ({"Upload-Metadata": f"filename {coded('a')},filename {coded('b')}"}, "Upload-Metadata"),
        ({"Upload-Metadata": f"filename {coded('../../etc/passwd')}"}, "file"),
        ({"Upload-Metadata": f"filename {coded('a' * 300)}"}, "file"),
    ],
)
def test_what_cannot_begin_is_refused_by_name(ada: User, headers: dict[str, str], field: str) -> None:
    answer = began(client_of(ada), **headers)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert not Upload.objects.exists()
    assert not Store.objects.filter(state=Store.State.STAGED).exists()


def test_a_file_that_is_too_large_for_limit_or_disk_is_refused(
    ada: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CORR_MAX_UPLOAD_BYTES = 1000
    assert began(client_of(ada), size=1001).status_code == 413
    monkeypatch.setattr(storage, "free_bytes", lambda: 999)
    assert began(client_of(ada), size=1000).status_code == 507
    assert not Upload.objects.exists()


def test_only_so_many_are_open_at_once(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.imaging.services.uploads.MOST_OPEN", 2)
    assert [began(client_of(ada)).status_code for _ in range(3)] == [201, 201, 409]


def test_nobody_else_sees_an_upload(ada: User, acquisition: Acquisition, whole: Upload) -> None:
    other = client_of(member(acquisition.project, "manager"))
    place = f"/api/v1/uploads/{whole.pk}/"
    assert other.get("/api/v1/uploads/").json()["results"] == []
    assert other.head(place, headers=TUS).status_code == 404
    assert sent(other, place, b"", len(WHOLE)).status_code == 404
    assert other.delete(place, headers=TUS).status_code == 404
    answer = taken(other, acquisition, upload=str(whole.pk))
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["upload"])
    assert kept(client_of(ada), place) == len(WHOLE)


def test_who_contributes_nowhere_sends_nothing(acquisition: Acquisition) -> None:
    for user in (UserFactory(), member(acquisition.project, "viewer"), member(acquisition.project, "auditor")):
        assert began(client_of(user)).status_code == 403


def test_half_a_file_is_not_taken(ada: User, acquisition: Acquisition) -> None:
    client = client_of(ada)
    place = began(client).headers["Location"]
    sent(client, place, PIECES[0], 0)
    answer = taken(client, acquisition, upload=place.split("/")[-2])
    assert answer.status_code == 409
    assert "4000 of 10240 bytes are there" in answer.json()["detail"]
    assert kept(client, place) == 4000
    assert not SourceFile.objects.exists()


def test_what_is_refused_stays_to_be_taken_elsewhere(ada: User, acquisition: Acquisition, whole: Upload) -> None:
    client = client_of(ada)
    assert taken(client, acquisition, upload=str(whole.pk)).status_code == 201
    again = begin_upload(actor=ada, name="again.raw", size=len(WHOLE))
    sent(client, f"/api/v1/uploads/{again.pk}/", WHOLE, 0)
    assert taken(client, acquisition, upload=str(again.pk)).status_code == 409  # the same bytes
    assert kept(client, f"/api/v1/uploads/{again.pk}/") == len(WHOLE)
    second = create_acquisition(actor=ada, project=acquisition.project, specimen=acquisition.specimen, modality="sem")
    assert taken(client, second, uploads=[str(again.pk)]).status_code == 201
    first, linked = SourceFile.objects.order_by("created_at")
    assert first.store_id == linked.store_id  # the project has these bytes once
    assert list(storage.upload_folders()) == []


def test_several_are_taken_together_or_not_at_all(ada: User, acquisition: Acquisition, whole: Upload) -> None:
    half = begin_upload(actor=ada, name="scan.txt", size=10)
    client = client_of(ada)
    both = [str(half.pk), str(whole.pk)]
    assert taken(client, acquisition, uploads=both).status_code == 409
    assert not SourceFile.objects.exists()
    sent(client, f"/api/v1/uploads/{half.pk}/", b"0123456789", 0)
    answer = taken(client, acquisition, uploads=both)
    assert [row["name"] for row in answer.json()["files"]] == ["scan.txt", "scan.raw"]


def test_an_upload_can_be_given_up(ada: User, whole: Upload) -> None:
    client = client_of(ada)
    assert client.delete(f"/api/v1/uploads/{whole.pk}/", headers=TUS).status_code == 204
    assert not Store.objects.filter(pk=whole.store_id).exists()
    assert list(storage.upload_folders()) == []


def test_a_sweep_takes_what_has_expired_and_nothing_else(ada: User, whole: Upload) -> None:
    assert not len(sweep_storage())
    assert Upload.objects.filter(pk=whole.pk).exists()
    Store.objects.filter(pk=whole.store_id).update(lease_until=DbNow(-1.0))
    assert len(sweep_storage()) == 2  # row and bytes
    assert not Upload.objects.exists()
    assert list(storage.upload_folders()) == []


def test_a_file_system_without_links_gets_a_copy(
    ada: User, acquisition: Acquisition, whole: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("apps.core.storage.os.link", refused)
    (row,) = take_uploads(actor=ada, acquisition=acquisition, uploads=[whole])
    assert storage.path(row.store.key).read_bytes() == WHOLE
