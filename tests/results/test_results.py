"""Properties and tables as the REST surface gives them."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow.parquet as pq
import pytest
from rest_framework.test import APIClient

from apps.provenance import record
from apps.results.selectors import scale_dependents
from apps.results.services import create_property
from tests.study import EDGE, Study

pytestmark = pytest.mark.django_db

MOVED_BY = {
    ("measure", "mean_diameter"): "scale",
    ("measure", "table"): "scale",
    ("conductivity", "tensor"): "ratio",
    ("conductivity", "history"): "ratio",
    ("threshold", "fractions"): "nothing",
}


def get(user: Any, url: str) -> Any:
    client = APIClient()
    client.force_authenticate(user)
    return client.get(url)


def test_a_tensor_has_unit_error_and_no_scale(study: Study) -> None:
    tensor = study.result("conductivity", "tensor")
    body = get(study.viewer, f"/api/v1/properties/{tensor.pk}/").json()
    assert (body["unit"], body["scale_exponent"], body["stale"]) == ("W/(m.K)", 0, False)
    assert "scale" not in body["error"]
    assert (body["facts"]["scale"]["carried"], body["facts"]["scale"]["ratios"]) == (False, True)
    assert len(body["value"]) == 3
    # rods along z: conduction along them is the arithmetic mean of the phases
    fraction = study.result("threshold", "fractions").value[1]
    assert fraction == pytest.approx(4 * 64 / EDGE**2)
    assert body["value"][2][2] == pytest.approx(1 - fraction + 10 * fraction, rel=1e-4)


def test_a_length_carries_the_uncertainty_of_the_scale(study: Study) -> None:
    diameter = study.result("measure", "mean_diameter")
    body = get(study.viewer, f"/api/v1/properties/{diameter.pk}/").json()
    assert body["error"]["scale"] == pytest.approx(0.05 * body["value"])
    assert "scale" in body["interval"]["contains"]
    assert body["interval"]["low"] < body["value"] < body["interval"]["high"]


def typed(x: float, y: float, z: float) -> dict[str, Any]:
    return {
        axis: {"value": value, "unit": "um", "source": "user"} for axis, value in zip("xyz", (x, y, z), strict=True)
    }


def test_an_unequal_change_of_spacing_moves_tables_of_conductivities_too(study: Study) -> None:
    made = {(plugin, port): study.result(plugin, port).pk for plugin, port in MOVED_BY}
    changes = (
        (typed(2.0, 2.0, 2.0), set()),
        (typed(2.1, 2.1, 2.1), {"scale"}),
        (typed(2.0, 2.0, 2.5), {"scale", "ratio"}),
    )
    for spacing, reach in changes:
        moved = scale_dependents(made.values(), spacing=spacing)
        expected = {key for key, by in MOVED_BY.items() if by in reach}
        assert {key for key, pk in made.items() if pk in moved} == expected


def test_a_column_that_says_nothing_of_ratios_does_not_fail(study: Study) -> None:
    table = study.result("conductivity", "history")
    for column in table.columns:
        del column["depends_on_anisotropy"]
    table.save(update_fields=["columns"])
    assert scale_dependents([table.pk], spacing=typed(2.0, 2.0, 2.5)) == set()


def test_a_spacing_declared_exact_makes_no_interval(study: Study) -> None:
    job = study.result("measure", "mean_diameter").job
    image = study.result("measure", "mean_diameter").image
    image.spacing = {axis: {**entry, "u": 0.0} for axis, entry in image.spacing.items()}
    value = {"value": 5.0, "unit": "um", "interval": None, "error": {}, "facts": {}, "scale_exponent": 1}
    with record.act("run", actor=study.maker.pk, project=study.project.pk) as act:
        row = create_property(
            act=act, job=job, name="length", value={**value, "depends_on_anisotropy": True}, image=image
        )
    assert (row.interval, row.error, row.facts["scale_uncertainty"]) == (None, {}, "declared zero")
    assert (row.facts["scale"]["carried"], row.facts["scale"]["sources"]) == (True, [])


def test_a_table_is_the_same_in_three_forms(study: Study) -> None:
    table = study.result("measure", "table")
    url = f"/api/v1/tables/{table.pk}/"
    body = get(study.viewer, url).json()
    assert body["rows"] == len(body["data"]) == 4
    text = b"".join(get(study.viewer, f"{url}?format=csv").streaming_content).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == [f"{column['name']} [{column['unit']}]" for column in body["columns"]]
    assert len(rows) == 5
    parquet = b"".join(get(study.viewer, f"{url}?format=parquet").streaming_content)
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 4
    volume = [column["name"] for column in body["columns"]].index("volume_um3")
    assert [row[volume] for row in body["data"]] == pytest.approx([8 * 8 * EDGE * 8.0] * 4)
    assert [float(row[volume]) for row in rows[1:]] == [row[volume] for row in body["data"]]


def test_an_unknown_form_is_refused(study: Study) -> None:
    answer = get(study.viewer, f"/api/v1/tables/{study.result('measure', 'table').pk}/?format=xlsx")
    assert answer.status_code == 400
    assert "format" in answer.json()["errors"]


@pytest.mark.parametrize("things", ["properties", "tables"])
def test_lists_show_what_the_caller_may_see(study: Study, things: str) -> None:
    assert get(study.viewer, f"/api/v1/{things}/?project={study.project.pk}").json()["results"]
    assert get(study.outsider, f"/api/v1/{things}/").json()["results"] == []


@pytest.mark.parametrize("things", ["properties", "tables"])
def test_a_list_takes_a_constant_number_of_statements(
    study: Study, things: str, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(4):
        get(study.viewer, f"/api/v1/{things}/")
