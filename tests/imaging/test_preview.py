"""Files in groups, shown before they are taken, and read together when they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from apps.imaging import ingest_files, preview_child
from apps.imaging.ingest_child import ingest
from apps.imaging.models import Acquisition, Image
from apps.imaging.readers import ReadImage, UnsupportedFormatError
from apps.imaging.readers.base import fact
from apps.jobs import runner
from apps.jobs.models import Job
from apps.projects.models import User
from tests.imaging.conftest import calibrated_tiff, client_of, ramp, tiff_bytes, upload
from tests.imaging.spectrum_files import zipped_store

JEOL = b"$SEM_DATA_VERSION 1\n$CM_SIGNAL_NAME SEI\n$CM_ACCEL_VOLT 7\n"
LIMITS = {"max_segment_bytes": 1 << 28}


class Context:
    """What a child may ask of its parent, here."""

    def __init__(self, staging: Path) -> None:
        self.staging, self.threads, self.lines = staging, 1, []

    def check_cancelled(self) -> None: ...

    def progress(self, fraction: float, text: str = "") -> None: ...

    def seal(self, name: str, digest: str) -> None: ...

    def log(self, text: str) -> None:
        self.lines.append(text)


def files_in(folder: Path, **contents: bytes) -> list[dict[str, str]]:
    folder.mkdir(exist_ok=True)
    found = []
    for number, (name, data) in enumerate(contents.items()):
        path = folder / str(number)
        path.write_bytes(data)
        found.append({"id": f"id-{name}", "path": str(path), "name": name.replace("__", ".")})
    return found


@pytest.fixture
def jeol_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read an image with the header beside it, as readers of such formats do."""

    class Reader:
        format = "with header"

    def detect(path: Path, name: str) -> Any:
        if name.endswith(".txt"):
            raise UnsupportedFormatError("a text is no image")
        return Reader()

    def read(path: Path, *, name: str, limits: Any, beside: dict[str, Path]) -> list[ReadImage]:
        header = beside[Path(name).stem + ".txt"].read_bytes()
        return [
            ReadImage(
                name=name, axes=("z", "y", "x"), array=ramp((1, 4, 5)), spacing_um={"y": 0.5, "x": 0.5},
                spacing_u_um={"y": 0.005, "x": 0.005}, modality="sem", side_cars=(Path(name).stem + ".txt",),
                facts={"acquired_at": fact("2020-08-31T15:32:31"), "accelerating_voltage": fact(7.0, "kV")},
                header={"side-car": header.decode()},
            )
        ]  # fmt: skip

    monkeypatch.setattr(ingest_files, "detect", detect)
    monkeypatch.setattr(ingest_files, "read", read)


@pytest.mark.usefixtures("jeol_reader")
@pytest.mark.parametrize("order", [("a__txt", "a__tif"), ("a__tif", "a__txt")])
def test_a_side_car_is_read_with_its_image_and_not_again(tmp_path: Path, order: tuple[str, ...]) -> None:
    contents = {"a__tif": tiff_bytes(ramp((4, 5))), "a__txt": JEOL}
    files = files_in(tmp_path / "in", **{name: contents[name] for name in order})
    context: Any = Context(tmp_path / "staging")
    result = ingest({"files": files, "overrides": {}, "limits": LIMITS}, context)
    (image,) = result["images"]
    assert image["file"] == "id-a__tif"
    assert image["side_cars"] == ["id-a__txt"]
    assert image["modality"] == "sem"
    assert image["spacing"]["x"] == {"value": 0.5, "unit": "um", "source": "file", "u": 0.005}
    assert result["header"]["a.txt"] == {"side_car_of": "a.tif"}
    assert "$CM_ACCEL_VOLT 7" in result["header"]["a.tif"]["images"][0]["side-car"]
    assert result["facts"]["side_car_files"]["value"] == ["a.txt"]
    assert result["facts"]["acquired_at"]["source"] == "file"
    assert context.lines[0].startswith("a.tif"), "nothing was said of a file that could not be read"


@pytest.mark.usefixtures("jeol_reader")
def test_a_preview_shows_a_group_with_its_side_car(tmp_path: Path) -> None:
    files = files_in(tmp_path / "in", a__txt=JEOL, a__tif=tiff_bytes(ramp((4, 5))))
    (group,) = preview_child.preview({"files": files, "limits": LIMITS}, Context(tmp_path))["groups"]
    assert (group["primary"], group["side_cars"], group["format"]) == ("a.tif", ["a.txt"], "JEOL SEM image")
    (image,) = group["images"]
    assert (image["modality"], image["calibrated"], image["spacing"]["x"]["u"]) == ("sem", True, 0.005)
    assert image["facts"]["accelerating_voltage"]["value"] == 7.0
    assert (image["warnings"], group["refusals"]) == ([], [])


def test_a_preview_says_what_is_missing_and_what_is_refused(tmp_path: Path) -> None:
    files = files_in(
        tmp_path / "in",
        plain__tif=tiff_bytes(ramp((4, 5))),
        stack__tif=calibrated_tiff(ramp()),
        broken__tif=b"II*\0\xff\xff\xff\xff",
        notes__txt=b"on a Tuesday",
        wrong__czi=tiff_bytes(ramp((4, 5))),
    )
    groups = preview_child.preview({"files": files, "limits": LIMITS}, Context(tmp_path))["groups"]
    shown = {group["primary"]: group for group in groups}
    assert shown["plain.tif"]["images"][0]["warnings"] == ["uncalibrated: no length in the file along x, y"]
    assert shown["stack.tif"]["images"][0]["warnings"] == []
    assert shown["stack.tif"]["images"][0]["spacing"]["z"]["value"] == 2.0
    assert [r["code"] for r in shown["notes.txt"]["refusals"]] == ["unsupported_format"]
    assert [r["code"] for r in shown["wrong.czi"]["refusals"]] == ["content_mismatch"]
    assert shown["broken.tif"]["images"] == []
    assert shown["broken.tif"]["refusals"]
    assert not (tmp_path / "staging").exists()


def test_a_preview_of_a_cube_names_its_energy_axis(tmp_path: Path) -> None:
    cube = np.ones((128, 1, 3, 4), "u2")
    files = files_in(tmp_path / "in", map__zip=zipped_store(tmp_path, cube))
    (group,) = preview_child.preview({"files": files, "limits": LIMITS}, Context(tmp_path))["groups"]
    image = group["images"][0]
    assert (image["kind"], image["axes"], image["signal"][0]["unit"]) == ("spectrum", ["e", "z", "y", "x"], "keV")
    assert image["warnings"] == ["uncalibrated: no length in the file along x, y"]


REAL = {
    "sem-jeol/2020-08-31": ("image000.tif", ["image000.txt"], "sem", "intensity"),
    "sem-tescan": ("tescan-pfib_dataZeroed.tif", ["tescan-pfib_dataZeroed.hdr"], "sem", "intensity"),
    "eds-edax": ("leo_edax_test.msa", [], "eds", "spectrum"),
}


@pytest.mark.parametrize("folder", REAL)
def test_real_files_come_in_with_what_belongs_to_them(tmp_path: Path, shared_data: Path, folder: str) -> None:
    name, side_cars, modality, kind = REAL[folder]
    paths = sorted((shared_data / "microscopy" / folder).iterdir())
    files = [{"id": path.name, "path": str(path), "name": path.name} for path in paths]
    context: Any = Context(tmp_path / "staging")
    shown = {
        group["primary"]: group
        for group in preview_child.preview({"files": files, "limits": LIMITS}, context)["groups"]
    }
    assert shown[name]["side_cars"] == side_cars
    assert shown[name]["refusals"] == []
    result = ingest({"files": files, "overrides": {}, "limits": LIMITS}, context)
    image = next(image for image in result["images"] if image["file"] == name)
    assert (image["modality"], image["kind"], image["side_cars"]) == (modality, kind, side_cars)
    (seen,) = shown[name]["images"]
    assert (seen["shape"], seen["dtype"], seen["signal"]) == (image["shape"], image["dtype"], image["signal"])
    assert {axis: entry and entry["value"] for axis, entry in image["spacing"].items()} == {
        axis: entry and entry["value"] for axis, entry in seen["spacing"].items()
    }


@pytest.mark.django_db
def test_preview_is_a_job_and_leaves_no_image(
    client: APIClient, acquisition: Acquisition, nothing_left: Callable[[], None], transactional_db: None
) -> None:
    upload(client, acquisition, ("fibres.tif", calibrated_tiff(ramp())), ("notes.txt", b"on a Tuesday"))
    answer = client.post(f"/api/v1/acquisitions/{acquisition.pk}/preview/")
    assert answer.status_code == 202
    assert runner.execute(answer.json()["job"]) == "succeeded"
    job = client.get(f"/api/v1/jobs/{answer.json()['job']}/").json()
    assert (job["kind"], job["outputs"]) == ("preview", {})
    assert [group["primary"] for group in job["facts"]["preview"]["groups"]] == ["fibres.tif", "notes.txt"]
    found = client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()
    assert (found["status"], found["images"]) == ("empty", [])
    nothing_left()


@pytest.mark.django_db
def test_who_may_ask_for_a_preview_and_when(
    client: APIClient, acquisition: Acquisition, viewer: User, outsider: User
) -> None:
    url = f"/api/v1/acquisitions/{acquisition.pk}/preview/"
    assert [client_of(user).post(url).status_code for user in (None, outsider, viewer)] == [401, 404, 403]
    answer = client.post(url)
    assert answer.status_code == 409
    assert "has no files" in answer.json()["detail"]
    assert client.post(url, {"now": True}, format="json").status_code == 400


@pytest.mark.django_db
def test_the_files_time_counts_where_nobody_typed_one(
    client: APIClient, acquisition: Acquisition, ingested: Callable[..., Job]
) -> None:
    before = client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()
    assert before["acquired"] == {"value": None, "zone": None, "source": None}
    ingested(acquisition, ("a.tif", tiff_bytes(ramp((4, 5)))))
    acquisition.refresh_from_db()
    acquisition.facts["acquired_at"] = fact("2020-08-31T15:32:31")
    acquisition.save(update_fields=["facts"])
    after = client.get(f"/api/v1/acquisitions/{acquisition.pk}/").json()
    assert (after["acquired_at"], after["acquired"]["value"]) == ("", "2020-08-31T15:32:31")
    assert after["acquired"]["source"] == "file"
    assert Image.objects.get().modality == "xrm", "the acquisition's, where the file says none"
