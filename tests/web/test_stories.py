"""What the pages say: that it is true of the row, and nothing else is said."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests.web.conftest import World, spacing

PHASES = {"phases": {"0": {"k": 0.2, "source": "a book"}, "1": {"k": 10.0}}, "unit": "W/(m.K)"}
TENSOR = [[4.79, -0.045, 0.22], [-0.045, 3.84, -0.046], [0.22, -0.046, 5.15]]


def page(world: World, seen_by: Any, row: Any, name: str = "property") -> str:
    return " ".join(seen_by(world.contributor).get(reverse(name, args=[row.pk])).content.decode().split())


def study(world: World, verdict: str = "not an RVE", source: str = "user") -> Any:
    labels = world.image(scale=spacing(1.0, source), kind="labels", job=world.job(plugin="segmentation.threshold"))
    tensor = world.number("tensor", TENSOR, image=labels, params=PHASES, depends_on_anisotropy=True)
    world.number("wiener", [0.6, 6.7], plugin="bulk.bounds", image=labels, params=PHASES)
    world.number("hashin_shtrikman", [1.2, 5.8], plugin="bulk.bounds", image=labels, params=PHASES)
    facts = {"verdict": verdict, "reason": "k_y varies by 18%"}
    world.number("rve", [4.0, 4.0, 4.0], plugin="bulk.rve", image=labels, params=PHASES, facts=facts)
    world.number("fractions", [0.3, 0.7], plugin="bulk.rve", image=labels, unit="1", params=PHASES, facts=facts)
    diameter = world.number(
        "mean_diameter", 4.32, plugin="segmentation.measure", image=labels, unit="um", scale_exponent=1
    )
    surface = world.number(
        "specific_surface", 0.33, plugin="segmentation.measure", image=labels, unit="1/um", scale_exponent=-1
    )
    return tensor, diameter, surface


def test_tensor_has_its_verdict_its_bounds_and_its_phases(world: World, seen_by: Any) -> None:
    text = page(world, seen_by, study(world)[0])
    assert "Effective thermal conductivity" in text
    assert "Not an RVE for the thermal conductivity:</strong> k_y varies by 18%" in text
    assert "Wiener bounds, any mixture, 0.6 to 6.7 W/(m·K)" in text
    assert "isotropic mixtures only, 1.2 to 5.8 W/(m·K)" in text
    assert "a book" in text
    assert "no source" in text
    assert "outside the Wiener bounds" not in text


def test_representative_volume_is_called_so(world: World, seen_by: Any) -> None:
    text = page(world, seen_by, study(world, "RVE")[0])
    assert "Representative volume (RVE)" in text
    assert "Not an RVE" not in text


def test_unchecked_volume_is_not_called_representative(world: World, seen_by: Any) -> None:
    row = world.number("tensor", TENSOR, image=world.image(scale=spacing(1.0), kind="labels"), params=PHASES)
    text = page(world, seen_by, row)
    assert "Nobody has looked yet" in text
    assert "RVE" not in text


def test_verdict_of_other_phases_is_not_borrowed(world: World, seen_by: Any) -> None:
    tensor = study(world)[0]
    other = PHASES | {"phases": {"0": {"k": 1.0}, "1": {"k": 2.0}}}
    row = world.number("tensor", TENSOR, image=tensor.image, params=other)
    text = page(world, seen_by, row)
    assert "Nobody has looked yet" in text
    assert "Between its bounds" not in text


def test_bounds_of_a_conductivity_do_not_stand_beside_a_length(world: World, seen_by: Any) -> None:
    assert "Between its bounds" not in page(world, seen_by, study(world)[1])


def test_value_outside_its_bounds_is_flagged(world: World, seen_by: Any) -> None:
    tensor = study(world)[0]
    row = world.number("tensor", [[9.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]], image=tensor.image, params=PHASES)
    assert "outside the Wiener bounds" in page(world, seen_by, row)


def test_spacing_moves_lengths_and_not_the_conductivity(world: World, seen_by: Any) -> None:
    tensor, diameter, surface = study(world)
    said = page(world, seen_by, tensor)
    assert "It does not depend on the spacing" in said
    assert "Unequal changes along x, y and z would move it." in said
    assert "Only the ratios of the spacings enter this number" in said
    said = page(world, seen_by, diameter)
    assert "a spacing 5 % larger makes it 5 % larger (4.32 to 4.54 µm)" in said
    assert "The spacing is assumed: 1 ± 0.05 µm, typed by hand" in said
    assert "a spacing 5 % larger makes it 4.8 % smaller (0.33 to 0.314 1/µm)" in page(world, seen_by, surface)
    for text in (said, page(world, seen_by, tensor)):  # each page lists all of them with what becomes of each
        assert "× s<" in text
        assert "÷ s<" in text
        assert "unchanged<" in text


def test_spacing_from_the_file_is_not_called_assumed(world: World, seen_by: Any) -> None:
    text = page(world, seen_by, study(world, source="file")[1])
    assert "read from the file" in text
    assert "assumed" not in text


def test_lineage_names_who_and_links_what(world: World, seen_by: Any) -> None:
    row = study(world)[0]
    text = page(world, seen_by, row)
    assert world.manager.username in text.split("How it came to be")[1]


def test_scale_bar_is_true(world: World, seen_by: Any) -> None:
    text = page(world, seen_by, world.image(scale=spacing(0.5)), "image")  # 24 samples: a field of 12 um
    assert '<span class="cs-scalebar" style="width: 16.667%">2 µm</span>' in text


def test_scale_bar_does_not_lie_on_the_data_bar(world: World, seen_by: Any) -> None:
    row = world.image(scale=spacing(0.5), specimen_area={"y": [0, 15], "x": [6, 24]})
    text = page(world, seen_by, row, "image")
    assert "left: calc(25.000% + .6rem); bottom: calc(25.000% + .6rem); width: 16.667%" in text
    assert "18 × 15 samples; the others show a data bar" in text


def test_images_are_drawn_in_their_true_proportions(world: World, seen_by: Any) -> None:
    scale = spacing(1.0) | {"z": {"value": 4.0, "unit": "um", "source": "file", "u": None}}
    text = page(world, seen_by, world.image(scale=scale), "image")
    assert "aspect-ratio: 1.20000" in text  # x 24 um, y 20 um
    assert "aspect-ratio: 0.50000" in text  # x 24 um, z 48 um


def test_pressing_cancel_and_retry_goes_through_the_services(world: World, seen_by: Any) -> None:
    client = seen_by(world.contributor)
    running = world.job("running")
    client.post(reverse("job-cancel", args=[running.pk]))
    running.refresh_from_db()
    assert running.cancel_requested
    assert running.cancel_requested_by == world.contributor
    failed = world.job("failed", kind="ingest", plugin="", plugin_version="")
    answer = client.post(reverse("job-cancel", args=[failed.pk]), follow=True)
    assert "nothing to cancel" in answer.content.decode()


def test_ended_job_reloads_its_page_once(world: World, seen_by: Any) -> None:
    job = world.job("running")
    client = seen_by(world.viewer)
    url = reverse("job-live", args=[job.pk])
    assert 'hx-trigger="every 1s"' in client.get(url).content.decode()
    done = world.job("succeeded")
    answer = client.get(reverse("job-live", args=[done.pk]))
    assert answer["HX-Refresh"] == "true"
    assert "hx-trigger" not in answer.content.decode()


@pytest.mark.parametrize("rows", [0, 3])
def test_csv_holds_every_row_with_units(rows: int, world: World, seen_by: Any) -> None:
    table = world.table(rows=rows)
    answer = seen_by(world.viewer).get(reverse("table-csv", args=[table.pk]))
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert len(lines) == rows + 1
    assert lines[0] == "name [1],size [um3]"
