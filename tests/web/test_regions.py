"""The page of a region: what covers it, where a stage has to go, what was found, and the sheet to print."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.catalog.services import record_event
from apps.spatial import services
from apps.spatial.models import Found, Mount, Roi, TransformOverride
from apps.spatial.targeting import target_roi
from tests.factories import InstrumentFactory, ProjectFactory, member
from tests.spatial.places import join, moved
from tests.web.conftest import World
from tests.web.places import NOON, Places

FOUND = {"x": "2.8230", "y": "-0,0420", "z": "0.4490", "rotation": "15", "u_um": "1.5", "note": "as dark as expected"}


@pytest.fixture
def places(world: World) -> Places:
    return Places(world)


@pytest.fixture
def auditor(world: World) -> Any:
    return member(world.project, "auditor")


def page(client: Client, row: Roi, name: str = "region", **asked: Any) -> str:
    answer = client.get(reverse(name, args=[row.pk]), {key: str(value) for key, value in asked.items()})
    assert answer.status_code == 200
    return words(answer)


def words(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


# --------------------------------------------------------------------------------------------------------------- seeing


@pytest.mark.parametrize("name", ["region", "region-sheet"])
def test_opens_for_every_member_and_nobody_else(name: str, places: Places, auditor: Any, seen_by: Any) -> None:
    url = f"{reverse(name, args=[places.pit.pk])}?mount={places.mount.pk}"
    world = places.world
    for user in (world.viewer, world.contributor, world.manager, auditor):
        assert seen_by(user).get(url).status_code == 200
    assert seen_by(world.outsider).get(url).status_code == 404
    assert seen_by(ProjectFactory().created_by).get(url).status_code == 404
    assert Client().get(url)["Location"].startswith(reverse("login"))
    assert seen_by(world.viewer).get(reverse(name, args=[uuid.uuid4()])).status_code == 404


def test_says_what_it_is_and_which_versions_there_are(places: Places, seen_by: Any) -> None:
    later = places.roi("pit", places.pit.geometry, purpose="corrosion, again", supersedes=places.pit)
    text = page(seen_by(places.world.viewer), places.pit)
    assert "A box of 20 µm × 20 µm × 20 µm" in text
    assert "x 120, y 80, z 50 µm" in text
    assert "A newer version supersedes this one" in text
    assert reverse("region", args=[later.pk]) in text
    assert reverse("region", args=[places.pit.pk]) in page(seen_by(places.world.viewer), later)


def test_shows_the_outline_where_the_region_is(places: Places, seen_by: Any) -> None:
    """The box from 110 to 130 um of a plane whose corner lies at -5 um: its outline runs from 115 to 135."""
    text = page(seen_by(places.world.viewer), places.pit)
    assert f"{reverse('image-slice', args=[places.volume.pk])}?axis=z&amp;index=5" in text
    assert "115,75" in text
    assert "135,95" in text
    assert f"/view/?images={places.volume.pk}&amp;frame={places.volume.frame_id}&amp;region={places.pit.pk}" in text


def test_lists_what_covers_it_with_scale_state_and_error(places: Places, seen_by: Any) -> None:
    row = places.roi("seen", {"type": "point", "coordinates": [110.0, 100.0, 0.0]})
    text = page(seen_by(places.world.viewer), row)
    table = text[text.index('id="coverage"') :].split("</table>")[0]
    assert table.index("volume") < table.index("micrograph")
    assert "exact: the same frame" in table
    assert "4.19 µm" in table  # 2.7955 x 1.5
    assert f"images={places.volume.pk},{places.sem.pk}&amp;frame={places.volume.frame_id}" in table
    shown = page(seen_by(places.world.viewer), row, picture=places.sem.pk)
    assert f"{reverse('image-slice', args=[places.sem.pk])}?axis=z" in shown
    assert "through 1 transform" in shown


def test_regions_near_are_linked(places: Places, seen_by: Any) -> None:
    other = places.roi("next to it", {"type": "point", "coordinates": [140.0, 80.0, 50.0]})
    places.roi("far away", {"type": "point", "coordinates": [0.0, 0.0, 5000.0]})
    near = page(seen_by(places.world.viewer), places.pit).split('id="near"')[1].split("</ul>")[0]
    assert reverse("region", args=[other.pk]) in near
    assert "far away" not in near


def test_tells_why_it_is_stale(places: Places, seen_by: Any) -> None:
    services.withdraw_transform(actor=places.world.manager, transform=places.first, reason="mirrored")
    text = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk)
    assert "No accepted transforms lead from" in text


# ------------------------------------------------------------------------------------------------------------ targeting


def test_position_is_in_the_units_of_the_stage(places: Places, seen_by: Any) -> None:
    """At (20, 40, -50) um of the micrograph, (2820, 40, 450) of the stage, whose reading along y falls."""
    text = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk)
    table = text[text.index('id="position"') :].split("</table>")[0]
    assert [part.split("</strong>")[0] for part in table.split("<strong>")[1:]] == [
        "2.8200",
        "−0.0400",
        "0.4500",
        "15.00",
        "0.00",
        "4.000",
    ]
    assert "6.99 µm" in text  # 2.7955 x sqrt(1.5^2 + 2^2)
    assert "2.80 standard errors; the errors on the path were given" in text
    assert "36 %" in text
    assert "64 %" in text
    assert "It fits" in text


def test_depth_and_entry_below_a_surface(places: Places, seen_by: Any) -> None:
    surface = places.surface()
    text = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk)
    assert "<strong>50 µm</strong> below" in text
    assert reverse("region", args=[surface.pk]) in text
    assert "0.5000 mm" in text
    named = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk, surface=surface.pk)
    assert f"surface={surface.pk}" in named


def test_files_lead_to_the_rest_surface(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.viewer)
    text = page(client, places.pit, mount=places.mount.pk)
    for form in ("json", "csv", "fibsemos", "nav"):
        url = f"{reverse('roi-targeting', args=[places.pit.pk])}?mount={places.mount.pk}&amp;format={form}"
        assert url in text
        assert client.get(url.replace("&amp;", "&")).status_code == 200


def test_an_unknown_sense_is_said_with_what_to_do(places: Places, seen_by: Any) -> None:
    mount = services.create_mount(
        actor=places.world.manager, specimen=places.world.specimen, instrument=InstrumentFactory(), mounted_at=NOON
    )
    text = page(seen_by(places.world.viewer), places.pit, mount=mount.pk)
    refusal = text[text.index('id="refusal"') :].split("</div>")[0]
    assert "sense of the stage axes" in refusal
    assert reverse("admin:catalog_instrument_change", args=[mount.instrument_id]) in refusal
    assert 'id="position"' not in text


def test_a_missing_path_names_the_candidates(places: Places, seen_by: Any) -> None:
    services.withdraw_transform(actor=places.world.manager, transform=places.first, reason="mirrored")
    row = places.candidate()
    text = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk)
    assert f'<a href="{reverse("transform", args=[row.pk])}">Judge the candidate volume → micrograph</a>' in text


def test_an_ended_mount_asks_for_a_new_one(places: Places, seen_by: Any) -> None:
    services.end_mount(actor=places.world.manager, mount=places.mount, unmounted_at=NOON)
    text = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk)
    assert reverse("mount-add", args=[places.world.specimen.pk]) in text.split('id="refusal"')[1].split("</div>")[0]


def test_after_milling_it_is_refused_until_somebody_overrides(places: Places, auditor: Any, seen_by: Any) -> None:
    world = places.world
    record_event(actor=world.manager, specimen=world.specimen, kind="mill", occurred_at=NOON)
    text = page(seen_by(world.viewer), places.pit, mount=places.mount.pk)
    assert "does not hold for state" in text
    assert "the transform volume → micrograph" in text.lower()
    assert "Use it all the same" not in text
    client, url = seen_by(world.contributor), reverse("region-override", args=[places.pit.pk])
    for transform in (places.first, places.second):
        given = {"mount": places.mount.pk, "transform": transform.pk, "state": _now(places), "reason": ""}
        refused = client.post(url, given)
        assert refused.status_code == 400
        assert "reason" in words(refused)
        given["reason"] = "only 2 µm were taken off elsewhere"
        assert seen_by(auditor).post(url, given).status_code == 403
        assert client.post(url, given).status_code == 302
    assert TransformOverride.objects.count() == 2
    text = page(client, places.pit, mount=places.mount.pk)
    assert "used all the same: only 2 µm were taken off elsewhere" in text
    assert 'id="position"' in text


def _now(places: Places) -> Any:
    places.world.specimen.refresh_from_db()
    return places.world.specimen.current_state_id


# ----------------------------------------------------------------------------------------------------------------- acts


def test_send_records_the_choice(places: Places, auditor: Any, seen_by: Any) -> None:
    url = reverse("region-send", args=[places.pit.pk])
    given = {"mount": str(places.mount.pk), "reason": "the deepest"}
    for user in (places.world.viewer, auditor):
        assert seen_by(user).post(url, given).status_code == 403
    assert seen_by(places.world.outsider).post(url, given).status_code == 404
    client = seen_by(places.world.contributor)
    assert client.post(url, given | {"mount": str(uuid.uuid4())}).status_code == 404
    assert client.get(url).status_code == 405
    assert client.post(url, given).status_code == 302
    places.pit.refresh_from_db()
    assert places.pit.status == "targeted"
    assert places.pit.target_instrument == places.fib
    assert reverse("region", args=[places.pit.pk]) in words(client.get("/"))
    sent = page(client, places.pit).split('<h2 id="sent"')[1].split("</section>")[0]
    assert "the deepest" in sent
    assert "X 2.8200 mm" in sent
    assert "6.99 µm" in sent


def test_found_is_kept_in_um_beside_the_prediction(places: Places, seen_by: Any) -> None:
    client, url = seen_by(places.world.contributor), reverse("region-found", args=[places.pit.pk])
    assert seen_by(places.world.viewer).post(url, FOUND | {"mount": str(places.mount.pk)}).status_code == 403
    assert client.post(url, FOUND | {"mount": str(places.mount.pk)}).status_code == 302
    row = Found.objects.get()
    assert [row.position[axis] for axis in "xyz"] == pytest.approx([2823, -42, 449])
    assert row.point == pytest.approx([2823, 42, 449])
    assert row.u_um == 1.5
    text = page(client, places.pit, mount=places.mount.pk)
    assert "3.74 µm" in text  # (3, 2, -1)
    assert "1.3 standard errors" in text  # sqrt(14) / sqrt(1.5^2 + 2^2 + 1.5^2)
    assert "What predictions from Xradia to Helios came to" in text
    assert "as dark as expected" in text
    assert "by the prediction of that time" in text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"x": "left"}, "give a number"), ({"z": ""}, "must be given"), ({"u_um": "-1"}, "-1"), ({"y": "1e30"}, "1e+3")],
)
def test_a_reading_that_is_none_is_refused_by_name(
    wrong: dict[str, str], said: str, places: Places, seen_by: Any
) -> None:
    url = reverse("region-found", args=[places.pit.pk])
    answer = seen_by(places.world.contributor).post(url, FOUND | wrong | {"mount": str(places.mount.pk)})
    assert answer.status_code == 400
    text = words(answer)
    assert 'aria-invalid="true"' in text
    assert said in text.split('class="cs-error"')[1].split("</div>")[0]
    assert "as dark as expected" in text, "what was typed stays"
    assert not Found.objects.exists()


def test_mounts_are_recorded_and_ended_by_form(places: Places, auditor: Any, seen_by: Any) -> None:
    add = reverse("mount-add", args=[places.world.specimen.pk])
    client = seen_by(places.world.contributor)
    assert client.get(add).status_code == 200
    assert seen_by(auditor).post(add, {}).status_code == 403
    refused = client.post(add, {"instrument": str(places.fib.pk), "mounted_at": "yesterday"})
    assert refused.status_code == 400
    assert "is no date and time" in words(refused)
    assert client.post(add, {"instrument": str(places.fib.pk), "mounted_at": "2024-08-02T09:00"}).status_code == 302
    made = Mount.objects.exclude(pk=places.mount.pk).get()
    end = reverse("mount-ended", args=[made.pk])
    assert client.post(end, {"unmounted_at": "2024-08-01T09:00"}).status_code == 400
    assert client.post(end, {"unmounted_at": "2024-08-03T09:00"}).status_code == 302
    made.refresh_from_db()
    assert made.unmounted_at is not None
    assert seen_by(ProjectFactory().created_by).get(end).status_code == 404


# ---------------------------------------------------------------------------------------------------------------- sheet


def test_sheet_has_all_on_one_page_of_words(places: Places, seen_by: Any) -> None:
    places.surface()
    text = page(seen_by(places.world.viewer), places.pit, "region-sheet", mount=places.mount.pk)
    for word in ("2.8200", "−0.0400", "6.99 µm", "50 µm", "0.5000", "Coupon", "What was seen", "by " + _name(places)):
        assert word in text
    assert f"http://testserver/regions/{places.pit.pk}/" in text
    assert "QR code" in text
    assert "<script>" not in text
    assert f"{reverse('image-slice', args=[places.sem.pk])}?axis=z" in text, "the image that was taken on the stage"


def _name(places: Places) -> str:
    return str(places.world.viewer.username)


def test_sheet_of_a_refusal_says_so(places: Places, seen_by: Any) -> None:
    services.withdraw_transform(actor=places.world.manager, transform=places.second, reason="read wrongly")
    text = page(seen_by(places.world.viewer), places.pit, "region-sheet", mount=places.mount.pk)
    assert "No position" in text
    assert "No accepted transforms lead" in text
    assert seen_by(places.world.viewer).get(reverse("region-sheet", args=[places.pit.pk])).status_code == 404


# ----------------------------------------------------------------------------------------------------------------- cost


def test_number_of_queries_does_not_grow(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.viewer)
    url = f"{reverse('region', args=[places.pit.pk])}?mount={places.mount.pk}"
    before = _queries(client, url)
    for number in range(3):
        places.roi(f"more {number}", {"type": "point", "coordinates": [120.0, 80.0, 50.0]})
        places.image(f"volume {number}", 10.0, "xrm")
    assert _queries(client, url) == before


def _queries(client: Client, url: str) -> int:
    client.get(url)  # what is asked once a process is not counted
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_a_line_in_the_stage_frame_opens_too(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.viewer)
    line = {"type": "polyline", "coordinates": [[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]}
    row = places.roi("scratch", line, frame=places.mount.frame)
    text = page(client, row, mount=places.mount.pk)
    assert "a line through 2 points, 5 µm long" in text.lower()
    assert "drawn in the stage frame itself" in text


def test_both_predictions_are_told_of_a_region_that_was_sent_and_registered_anew(places: Places, seen_by: Any) -> None:
    actor = places.world.manager
    services.send_roi(actor=actor, roi=places.pit, mount=places.mount, reason="deepest")
    join(places.sem.frame, places.mount.frame, moved((2803, 4, 500)), 0.5, replaces=places.second)
    x, y, z = target_roi(places.pit, places.mount).point
    services.record_found(actor=actor, roi=places.pit, mount=places.mount, position={"x": x, "y": -y, "z": z})
    shown = page(seen_by(places.world.viewer), places.pit, mount=places.mount.pk)
    assert "x +3, y +4, z +0 µm" in shown
    # 5 um along a direction in which the prediction of that time has a standard error of 2.5 um
    assert "2.0 standard errors" in shown
    assert "; the prediction when it was found missed by 0" in shown
