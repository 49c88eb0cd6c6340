"""No upload makes a 5xx, or leaves a row, a byte or a staged file where it is refused."""

from __future__ import annotations

import pytest

from apps.core import storage
from tests.contract.refusals import problem

pytestmark = pytest.mark.django_db


def part(name: str = "file", filename: str | None = "a.tif", body: bytes = b"bytes", extra: str = "") -> bytes:
    shown = "" if filename is None else f'; filename="{filename}"'
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\nContent-Type: image/tiff{extra}\r\n\r\n'
    return head.encode("utf-8", "surrogateescape") + body + b"\r\n"


END = b"--x--\r\n"
UPLOADS = {
    "nothing": b"",
    "no file": END,
    "an empty file": part(body=b"") + END,
    "no closing boundary": part(),
    "half a part": part()[:40],
    "another boundary": part().replace(b"--x", b"--y") + b"--y--\r\n",
    "another field": part(name="image") + END,
    "a field that is no file": part(filename=None) + END,
    "an empty file name": part(filename="") + END,
    "a path": part(filename="../../etc/passwd") + END,
    "an absolute path": part(filename="/etc/passwd") + END,
    "a path of another system": part(filename="..\\..\\a.tif") + END,
    "two dots": part(filename="..") + END,
    "a NUL in the name": part(filename="a\x00.tif") + END,
    "a line end in the name": part(filename="a\x0b.tif") + END,
    "a name turned round": part(filename="a\u202efit.exe") + END,
    "bytes that are no text in the name": part(filename="a\udcff.tif") + END,
    "a long name": part(filename="a" * 5000) + END,
    "the same file twice": part() + part(filename="b.tif") + END,
    "the same name twice": part() + part(body=b"others") + END,
    "a huge header": part(extra="\r\nX-Odd: " + "a" * 200_000) + END,
    "many headers": part(extra="".join(f"\r\nX-{n}: 1" for n in range(2000))) + END,
    "a huge field": part(name="a" * 100_000) + END,
    "many files": b"".join(part(filename=f"{n}.tif", body=f"{n}".encode()) for n in range(150)) + END,
    "base64 that is none": part(extra="\r\nContent-Transfer-Encoding: base64", body=b"?=") + END,
}


@pytest.mark.parametrize("name", UPLOADS)
def test_odd_uploads_leave_nothing(world, manager, nothing_stored, name):
    url = f"/api/v1/acquisitions/{world.id('empty')}/files/"
    response = manager.generic("POST", url, UPLOADS[name], content_type="multipart/form-data; boundary=x")
    assert problem(response) == ""


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 5000,
        "multipart/form-data; boundary=\xff",
        "multipart/mixed; boundary=x",
        "application/json",
        "text/plain",
        "",
    ],
)
def test_odd_media_types_of_uploads_leave_nothing(world, manager, nothing_stored, content_type):
    url = f"/api/v1/acquisitions/{world.id('empty')}/files/"
    assert problem(manager.generic("POST", url, part() + END, content_type=content_type)) == ""


def test_bytes_that_are_there_already_are_refused(world, manager, nothing_stored):
    """The same bytes twice in one acquisition: 409."""
    body = world.things["waiting"].files.get()
    data = storage.path(body.store.key).read_bytes()
    url = f"/api/v1/acquisitions/{world.id('waiting')}/files/"
    response = manager.generic("POST", url, part(body=data) + END, content_type="multipart/form-data; boundary=x")
    assert (response.status_code, problem(response)) == (409, "")


def test_staging_is_empty(world):
    assert not list(storage.job_folders())
    assert not list(storage.upload_folders())
