"""Tables that other programs left."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rest_framework.test import APIClient

from apps.catalog.models import Specimen
from apps.imaging.models import Image
from apps.projects.models import Project, User
from apps.results.models import Table
from apps.results.selectors import iterate_csv, read_rows
from tests.imaging.test_outside_work import URL, enter, read, story

Check = Callable[[], None]


def test_a_table_measured_outside_is_read_with_its_units(
    image: Image, client: APIClient, project: Project, ada: User
) -> None:
    text = "fibre,length [um],volume [um3],note,odd [furlong]\n1,12.5,80,broken,1\n2,,91,,2\n"
    answer = enter(client, project, ("fibres.csv", text.encode()), kind="measurement", inputs=[str(image.pk)])
    read(answer)
    (pk,) = client.get(f"{URL}{answer.json()['id']}/").json()["tables"]
    table = Table.objects.get(pk=pk)
    assert [(c["name"], c["unit"]) for c in table.columns] == [
        ("fibre", ""),
        ("length", "um"),
        ("volume", "um3"),
        ("note", ""),
        ("odd [furlong]", ""),
    ]
    assert read_rows(table) == [[1, 12.5, 80, "broken", 1], [2, None, 91, "", 2]]
    assert "".join(iterate_csv(table)).splitlines()[0] == "fibre,length [um],volume [um3],note,odd [furlong]"
    assert table.image_id == image.pk
    assert str(table.outside_activity_id) == answer.json()["id"]
    assert "performed outside, asserted by ada" in story(table, ada)
    body = client.get(f"/api/v1/tables/{pk}/").json()
    assert body["outside_activity"] == answer.json()["id"]


def test_parquet_and_semicolons_are_read_too(
    transactional_db: None, client: APIClient, project: Project, specimen: Specimen
) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"d [nm]": [1.0, float("nan")], "n": [3, 4]}), buffer)
    files = ("a.parquet", buffer.getvalue()), ("b.csv", b"x;y\n1;2\n"), ("readme.txt", b"how it was done")
    job = read(enter(client, project, *files, kind="measurement", specimen=str(specimen.pk)))
    tables = {table.name: table for table in Table.objects.filter(job=job)}
    assert read_rows(tables["a"]) == [[1.0, 3], [None, 4]]
    assert read_rows(tables["b"]) == [[1, 2]]
    assert [c["name"] for c in tables["b"].columns] == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("twice.csv", b"a,a\n1,2\n", "stands twice"),
        ("nameless.csv", b"a,\n1,2\n", "no heading"),
        ("ragged.csv", b"a,b\n1\n", "cannot be read"),
        ("broken.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("endless.csv", b"a\ninf\n", "infinite"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_reason(
    transactional_db: None,
    client: APIClient,
    project: Project,
    specimen: Specimen,
    nothing_left: Check,
    name: str,
    data: bytes,
    word: str,
) -> None:
    job = read(enter(client, project, (name, data), kind="measurement", specimen=str(specimen.pk)), "failed")
    assert job.exit_code == "not_a_table"
    assert word in job.message
    assert not Table.objects.exists()
    nothing_left()
