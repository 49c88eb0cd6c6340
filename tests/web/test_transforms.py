"""The page of a transform, and the picture of all frames of a specimen."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.catalog.selectors import would_go_stale
from apps.catalog.services import record_event
from apps.provenance import selectors as ledger
from apps.spatial import services
from apps.spatial.models import Found, Landmark, Transform, TransformOverride
from apps.web.present.frame_graph import Link, Node, column_of, column_words, draw, fold
from apps.web.present.residuals import Pair, plot_of
from tests.factories import ProjectFactory, member
from tests.spatial.places import join, moved
from tests.web.conftest import World
from tests.web.places import NOON, Places


@pytest.fixture
def places(world: World) -> Places:
    return Places(world)


def words(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    return " ".join(answer.content.decode().split())


def page(client: Client, row: Transform) -> str:
    return words(client.get(reverse("transform", args=[row.pk])))


def part(text: str, heading: str) -> str:
    """The card under a heading."""
    return text.split(f'<h2 id="{heading}"')[1].split("</section>")[0]


# --------------------------------------------------------------------------------------------------------------- seeing


def test_pages_open_for_members_and_nobody_else(places: Places, seen_by: Any) -> None:
    world, auditor = places.world, member(places.world.project, "auditor")
    for url in (
        reverse("transform", args=[places.first.pk]),
        reverse("specimen-frames", args=[world.specimen.pk]),
    ):
        for user in (world.viewer, world.contributor, world.manager, auditor):
            assert seen_by(user).get(url).status_code == 200
        assert seen_by(world.outsider).get(url).status_code == 404
        assert seen_by(ProjectFactory().created_by).get(url).status_code == 404
        assert Client().get(url).status_code == 302
    assert seen_by(world.viewer).get(reverse("transform", args=[uuid.uuid4()])).status_code == 404
    text = page(seen_by(auditor), places.candidate())
    assert "Accept it" not in text
    assert "Withdraw it" not in text


def test_matrix_in_words(places: Places, seen_by: Any) -> None:
    text = part(page(seen_by(places.world.viewer), places.first), "does")
    assert "180.000° about the axis (1, 0, 0)" in text
    assert "None: lengths stay as they are" in text
    assert "(-100, 120, 0) µm, 156 µm in all" in text


def test_landmarks_with_residuals_suspects_and_the_held_out_verdict(places: Places, seen_by: Any) -> None:
    text = page(seen_by(places.world.viewer), places.candidate())
    rows = part(text, "landmarks").split("<tbody>")[1].split("</tbody>")[0].split("</tr>")
    assert "suspect" in rows[5]
    assert not any("suspect" in row for row in (*rows[:5], rows[6]))
    assert "held out" in rows[6]
    assert "1 pair held out" in text
    assert "Computed again from the landmarks" in text
    assert "the same." in text.split('id="residual-check"')[1].split("</dd>")[0]
    assert 'role="img" aria-label="7 landmark pairs in the target frame' in text


def test_a_residual_that_is_not_recomputed_is_said(places: Places, seen_by: Any) -> None:
    row = places.candidate()
    Landmark.objects.filter(transform=row, number=0).update(source_x=0.0)
    check = page(seen_by(places.world.viewer), row).split('id="residual-check"')[1].split("</dd>")[0]
    assert "not what is stored" in check


def test_error_at_the_middle_and_the_corners(places: Places, seen_by: Any) -> None:
    text = part(page(seen_by(places.world.viewer), places.first), "error")
    assert text.count("4.19 µm") == 9  # a shift alone is uncertain: 2.7955 x 1.5 everywhere
    assert "The errors were given" in text
    unknown = join(places.mount.frame, _other(places).frame, sigma_um=None)
    assert "states no covariance" in part(page(seen_by(places.world.viewer), unknown), "error")


def _other(places: Places) -> Any:
    return services.create_mount(
        actor=places.world.manager, specimen=places.world.specimen, instrument=places.fib, mounted_at=NOON
    )


def test_a_loop_that_does_not_close_is_pointed_out(places: Places, seen_by: Any) -> None:
    join(places.volume.frame, places.mount.frame, moved((2700, 120, 500), np.diag([1.0, -1.0, -1.0])), 1.0)
    assert "agrees with it" in part(page(seen_by(places.world.viewer), places.first), "loops")
    row = places.candidate(kind="rigid", method="manual", matrix=moved((-150, 120, 0), np.diag([1, -1, -1])))
    assert "not known" in part(page(seen_by(places.world.viewer), row), "loops")
    covariance = np.diag([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]).astype(float).tolist()
    wrong = places.candidate(
        method="manual", matrix=moved((-150, 120, 0), np.diag([1, -1, -1])), covariance=covariance, landmarks=[]
    )
    text = part(page(seen_by(places.world.viewer), wrong), "loops")
    assert "contradicts it (p = " in text
    assert "50 µm" in text


def test_states_for_which_it_holds(places: Places, seen_by: Any) -> None:
    world = places.world
    record_event(actor=world.manager, specimen=world.specimen, kind="mill", occurred_at=NOON)
    client, url = seen_by(world.contributor), reverse("transform-override-page", args=[places.first.pk])
    text = part(page(client, places.first), "holds")
    assert "Mill in between" in text
    world.specimen.refresh_from_db()
    given = {"state": str(world.specimen.current_state_id), "reason": "far from the cut"}
    assert seen_by(world.viewer).post(url, given).status_code == 403
    assert client.post(url, given | {"reason": ""}).status_code == 400
    assert client.post(url, given).status_code == 302
    assert TransformOverride.objects.get().reason == "far from the cut"
    assert "far from the cut" in part(page(client, places.first), "holds")


# ------------------------------------------------------------------------------------------------------------- deciding


def test_accept_replaces_only_what_was_seen(places: Places, seen_by: Any) -> None:
    row = places.candidate()
    client, url = seen_by(places.world.contributor), reverse("transform-accept-page", args=[row.pk])
    assert seen_by(places.world.viewer).post(url, {"reason": "r"}).status_code == 403
    refused = words(client.post(url, {"reason": "looks right"}), 400)
    assert "between the same frames was accepted" in refused
    assert "looks right" in refused
    assert client.post(url, {"reason": "r", "replaces": "1", "standing": str(uuid.uuid4())}).status_code == 404
    given = {"reason": "checked by eye", "replaces": "1", "standing": str(places.first.pk)}
    assert client.post(url, given).status_code == 302
    row.refresh_from_db()
    assert row.status == "accepted"
    history = part(page(client, row), "history")
    assert "Refused: another was accepted" in history
    assert "checked by eye" in history
    assert "In the place of another" in history
    assert "Another took its place" in part(page(client, places.first), "history")


def test_accept_without_a_residual_asks_why(places: Places, seen_by: Any) -> None:
    row = services.create_transform(
        actor=places.world.manager,
        source=places.mount.frame,
        target=_other(places).frame,
        kind="rigid",
        method="manual",
        matrix=moved(),
    )
    client, url = seen_by(places.world.contributor), reverse("transform-accept-page", args=[row.pk])
    assert "Why it is accepted without a residual" in page(client, row)
    refused = words(client.post(url, {}), 400)
    assert 'aria-invalid="true"' in refused
    assert client.post(url, {"no_residual_reason": "one stage, taken off and put back"}).status_code == 302


def test_withdraw_marks_what_the_preview_said(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.contributor)
    services.send_roi(actor=places.world.manager, roi=places.pit, mount=places.mount)
    services.record_found(
        actor=places.world.manager, roi=places.pit, mount=places.mount, position={"x": 2820.0, "y": -40.0, "z": 450.0}
    )
    said = {thing["id"] for thing in would_go_stale(places.first.pk, places.world.manager, limit=1000)}
    assert said
    assert f"{len(said)} thing" in part(page(client, places.first), "rests")
    url = reverse("transform-withdraw-page", args=[places.first.pk])
    assert seen_by(places.world.viewer).post(url, {"reason": "r"}).status_code == 403
    assert client.post(url, {"reason": ""}).status_code == 400
    text = words(client.post(url, {"reason": "the volume is mirrored"}, follow=True))
    assert f"Withdrawn. {len(said)} things went stale." in text
    kept = Found.objects.get()
    assert {kept.pk, kept.targeting_id} <= said
    assert ledger.is_stale([kept.pk, kept.targeting_id]) == {kept.pk, kept.targeting_id}
    assert "the volume is mirrored" in part(text, "history")
    assert 'action="' + url not in text


def test_home_asks_for_judgement(places: Places, seen_by: Any) -> None:
    row = places.candidate()
    assert reverse("transform", args=[row.pk]) in words(seen_by(places.world.contributor).get("/"))
    assert "Transforms to be judged" not in words(seen_by(places.world.viewer).get("/"))


def test_image_and_specimen_lead_there(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.viewer)
    text = words(client.get(reverse("image", args=[places.volume.pk])))
    assert reverse("region", args=[places.pit.pk]) in part(text, "regions")
    assert reverse("transform", args=[places.first.pk]) in part(text, "transforms")
    text = words(client.get(reverse("specimen", args=[places.world.specimen.pk])))
    assert reverse("region", args=[places.pit.pk]) in part(text, "regions")
    assert reverse("specimen-frames", args=[places.world.specimen.pk]) in text


# -------------------------------------------------------------------------------------------------------------- picture


def test_frames_are_drawn_with_errors_and_marks(places: Places, seen_by: Any) -> None:
    world = places.world
    places.candidate()
    services.withdraw_transform(actor=world.manager, transform=places.second, reason="read wrongly")
    record_event(actor=world.manager, specimen=world.specimen, kind="mill", occurred_at=NOON)
    text = words(seen_by(world.viewer).get(reverse("specimen-frames", args=[world.specimen.pk])))
    drawing = text.split("<svg")[1].split("</svg>")[0]
    for word in ("volume", "micrograph", "Helios", "± 4.2 µm ⚠ not now", "◌ candidate", "✗ withdrawn"):
        assert word in drawing
    assert f'href="{reverse("image", args=[places.volume.pk])}"' in drawing
    assert f'href="{reverse("transform", args=[places.first.pk])}"' in drawing
    assert f'id="frame-{places.mount.frame_id}"' in text
    assert f'id="transform-{places.second.pk}"' in text
    assert "Does not hold for the specimen as it is now (mill in between)" in text


def test_queries_of_the_pages_do_not_grow(places: Places, seen_by: Any) -> None:
    client = seen_by(places.world.viewer)
    urls = [
        reverse("specimen-frames", args=[places.world.specimen.pk]),
        reverse("transform", args=[places.second.pk]),
    ]
    before = [_queries(client, url) for url in urls]
    for number in range(3):
        image = places.image(f"volume {number}", 10.0, "xrm")
        join(image.frame, places.sem.frame)
        places.candidate()
    assert [_queries(client, url) for url in urls] == before


def _queries(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def node(key: int, row: int = 0, column: int = 2) -> Node:
    return Node(key, f"frame {key}", "image", f"#{key}", row, column)


def test_columns_are_decades_from_a_centimetre_down() -> None:
    assert [column_of(um) for um in (20_000.0, 10_000.0, 9_999.0, 1_000.0, 1.0, 0.001, None)] == [0, 0, 1, 1, 4, 7, 99]
    assert column_words(1) == "1 mm to 1 cm"
    assert column_words(4) == "1 µm to 10 µm"


def test_boxes_do_not_lie_on_each_other() -> None:
    nodes = [node(key, key % 3, key % 4) for key in range(60)]
    drawing = draw(nodes, [Link(0, 5, "#", "0 to 5", "accepted")], ["a", "b", "c"])
    corners = {(box.x, box.y) for box in drawing.boxes}
    assert len(corners) == 60
    assert all(box.x + 190 <= drawing.width and box.y + 44 <= drawing.height for box in drawing.boxes)
    assert not drawing.folded


def test_more_than_the_picture_takes_is_folded_by_cell_and_keeps_what_hangs_together() -> None:
    nodes = [node(key, key % 2) for key in range(320)]
    links = [Link(318, 319, "#", "joined", "accepted"), Link(0, 319, "#", "loose", "candidate")]
    kept, joined, folded = fold(nodes, links, most=100)
    assert folded == 220
    assert {318, 319} <= {item.key for item in kept}
    assert [item.title for item in kept if item.css == "fold"] == ["and 110 more", "and 110 more"]
    assert len(draw(nodes, links, ["a", "b"]).boxes) == 302
    assert [link.words for link in joined] == ["joined", "loose"]
    seen = Link(0, 1, "#", "seen", "accepted")
    hidden = [Link(2, 4, "#", "in one cell", "candidate"), *[Link(6, 9, "#", "from cell to cell", "candidate")] * 2]
    kept_links = fold(nodes[:200], [seen, *hidden], most=2)[1]
    assert [link.words for link in kept_links] == ["seen", "2 transforms, in the table below"]


def test_residuals_are_drawn_in_the_plane_in_which_they_lie_magnified() -> None:
    pairs = [
        Pair(str(index), np.array([0.0, 100.0 * index, 50.0 * (index % 2)]), np.array([5.0, 0.5, 0.0]), "active", False)
        for index in range(4)
    ]
    plot = plot_of(pairs)
    assert plot is not None
    assert (plot.across, plot.down) == ("y", "z")
    assert [arrow.dx for arrow in plot.arrows] == pytest.approx([0.16 * 480] * 4)
    assert plot.bar_words == "100 µm"
    assert plot.arrows[1].x - plot.arrows[0].x == pytest.approx(plot.bar)
    assert plot_of([]) is None
