"""Files taken from folders of the server: only what lies there, only as it stood, never through a link."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from rest_framework.test import APIClient

from apps.core import storage
from apps.imaging.models import Acquisition, SourceFile
from apps.imaging.services import shares
from apps.projects.models import Project, User
from corr_project import env
from tests.imaging.conftest import client_of, ramp, tiff_bytes

pytestmark = pytest.mark.django_db
Check = Callable[[], None]
JEOL = b"$SEM_DATA_VERSION 1\n$CM_SIGNAL_NAME SEI\n"


@pytest.fixture
def share(tmp_path: Path, settings: Any, project: Project) -> Path:
    root = tmp_path / "scope"
    (root / "monday" / "deep").mkdir(parents=True)
    (root / "monday" / "a.tif").write_bytes(tiff_bytes(ramp((4, 5))))
    (root / "monday" / "a.txt").write_bytes(JEOL)
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"not for you")
    (root / "monday" / "link.txt").symlink_to(secret)
    (root / "monday" / "way").symlink_to(tmp_path)
    os.mkfifo(root / "monday" / "pipe")
    settings.CORR_SHARES = {"scope": root}
    return root


def take(client: APIClient, acquisition: Acquisition, *paths: Any) -> Any:
    body = {"path": paths[0]} if len(paths) == 1 else {"paths": list(paths)}
    return client.post(f"/api/v1/acquisitions/{acquisition.pk}/files/", body, format="json")


def test_a_folder_is_listed_in_groups_and_links_are_named(client: APIClient, share: Path) -> None:
    assert client.get("/api/v1/shares/").json() == {"results": [{"name": "scope"}]}
    assert client.get("/api/v1/shares/scope/").json()["folders"] == ["monday"]
    found = client.get("/api/v1/shares/scope/", {"path": "monday"}).json()
    assert [entry["name"] for entry in found["files"]] == ["a.tif", "a.txt"]
    assert found["files"][1]["size"] == len(JEOL)
    assert found["folders"] == ["deep"]
    assert found["groups"][0]["primary"] == "a.tif"
    assert found["groups"][0]["side_cars"] == ["a.txt"]
    assert {entry["name"]: entry["why"] for entry in found["left_out"]} == {
        "link.txt": "a symbolic link",
        "pipe": "no plain file",
        "way": "a symbolic link",
    }


def test_a_project_is_seen_with_its_parts_in_folders_below(
    client: APIClient, project: Project, settings: Any, shared_data: Path
) -> None:
    settings.CORR_SHARES = {"eds": shared_data / "microscopy" / "eds-jeol"}
    (group,) = client.get("/api/v1/shares/eds/").json()["groups"]
    assert group["primary"] == "rawdata.ASW"
    assert "Sample/00_View000/View000_0000006.pts" in group["side_cars"]


def test_files_are_copied_with_their_digest(
    client: APIClient, share: Path, acquisition: Acquisition, nothing_left: Check
) -> None:
    answer = take(client, acquisition, "scope/monday/a.tif", "scope/monday/a.txt")
    assert answer.status_code == 201, answer.content
    assert [entry["name"] for entry in answer.json()["files"]] == ["a.tif", "a.txt"]
    row = SourceFile.objects.select_related("store").get(name="a.txt")
    assert storage.path(row.store.key).read_bytes() == JEOL
    assert row.store.digest == f"sha256:{row.sha256}"
    assert (share / "monday" / "a.txt").read_bytes() == JEOL
    nothing_left()


REFUSED = {
    "scope/monday/link.txt": "symbolic link",
    "scope/monday/way/secret.txt": "symbolic link",
    "scope/monday/pipe": "no plain file",
    "scope/monday": "no plain file",
    "scope/monday/none.tif": "there is no",
    "scope/monday/a.tif/b": "no folder",
    "scope/../secret.txt": "no path below a share",
    "scope/monday/../../secret.txt": "no path below a share",
    "scope//monday/a.tif": "no path below a share",
    "/etc/passwd": "no path below a share",
    "scope/./monday/a.tif": "no path below a share",
    "scope/monday\\a.tif": "no path below a share",
    "scope": "names no file",
    "other/a.tif": "no share",
    "scope/" + "d/" * 40 + "a": "no path below a share",
    "scope/" + "n" * 300: "no path below a share",
}


def test_no_path_leads_out_of_a_share(
    client: APIClient, share: Path, acquisition: Acquisition, nothing_left: Check
) -> None:
    for path, said in REFUSED.items():
        answer = take(client, acquisition, path)
        assert answer.status_code == 400, (path, answer.content)
        assert said in answer.json()["errors"]["path"][0], (path, answer.json())
    for path in ("..", "monday/..", "/", "monday/way", "monday/a.tif", "nowhere", "a\0b"):
        assert client.get("/api/v1/shares/scope/", {"path": path}).status_code == 400, path
    assert client.get("/api/v1/shares/other/").status_code == 404
    assert not SourceFile.objects.exists()
    nothing_left()


def test_one_refused_file_takes_none(
    client: APIClient, share: Path, acquisition: Acquisition, nothing_left: Check
) -> None:
    assert take(client, acquisition, "scope/monday/a.tif", "scope/monday/link.txt").status_code == 400
    assert not SourceFile.objects.exists()
    nothing_left()


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def _shrink(path: Path) -> None:
    os.truncate(path, 3)


def _overwrite(path: Path) -> None:
    data = path.read_bytes()
    with path.open("r+b") as stream:
        stream.write(data[::-1])


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def _remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [_grow, _shrink, _overwrite, _replace, _remove])
def test_a_file_that_changes_while_it_is_read_is_refused(
    client: APIClient,
    share: Path,
    acquisition: Acquisition,
    nothing_left: Check,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    path = share / "monday" / "a.tif"
    path.write_bytes(tiff_bytes(ramp((64, 64))))
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr(shares, "_BLOCK", 1024)
    write = shares.Receipt.account
    seen: Iterator[int] = iter(range(10_000))

    def account(self: Any, count: int) -> None:
        if next(seen) == 2:
            change(path)
        write(self, count)

    monkeypatch.setattr(shares.Receipt, "account", account)
    answer = take(client, acquisition, "scope/monday/a.tif")
    assert answer.status_code == 409, answer.content
    assert "changed while it was read" in answer.json()["detail"]
    assert not SourceFile.objects.exists()
    nothing_left()


def test_who_may_look_and_who_may_take(
    client: APIClient, share: Path, acquisition: Acquisition, viewer: User, outsider: User
) -> None:
    for url in ("/api/v1/shares/", "/api/v1/shares/scope/"):
        assert client_of(None).get(url).status_code == 401
        assert client_of(outsider).get(url).status_code == 403
        assert client_of(viewer).get(url).status_code == 403
        assert client.get(url).status_code == 200
    path = "scope/monday/a.tif"
    assert [take(client_of(user), acquisition, path).status_code for user in (None, outsider, viewer)] == [
        401,
        404,
        403,
    ]


def test_a_body_names_one_path_or_several(client: APIClient, share: Path, acquisition: Acquisition) -> None:
    url = f"/api/v1/acquisitions/{acquisition.pk}/files/"
    for body in ({}, {"path": "a", "paths": ["b"]}, {"paths": []}, {"path": 7}, {"file": "scope/monday/a.tif"}):
        assert client.post(url, body, format="json").status_code == 400, body


def test_the_setting_names_absolute_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORR_SHARES", "scope=/srv/scope,eds-2=/srv/eds")
    assert env._shares() == {"scope": Path("/srv/scope"), "eds-2": Path("/srv/eds")}
    for wrong in ("scope", "scope=relative", "Big=/srv", "a=/x,a=/y", "../a=/x", "=/x"):
        monkeypatch.setenv("CORR_SHARES", wrong)
        with pytest.raises(ImproperlyConfigured, match="name=/absolute/folder"):
            env._shares()
