"""The functions behind the pages: lengths, digits, the ladder, drawings, trees."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from analyses.sdk.omezarr import write_image
from apps.web.present import graphs, ladder, lengths, numbers, scale, slices, trees


def image(step: float | None, count: int = 100, name: str = "i") -> Any:
    entry = {"value": step, "unit": "um", "source": "file", "u": None} if step else None
    spacing = {"x": entry, "y": entry, "z": None} if step else None
    return SimpleNamespace(
        name=name,
        axes=["z", "y", "x"],
        shape=[1, count, count],
        spacing=spacing,
        calibrated=bool(step),
        calibration=None,
        kind="intensity",
    )


@pytest.mark.parametrize(
    ("um", "text"),
    [
        (12345, "1.23 cm"),
        (1000, "1 mm"),
        (999.96, "1 mm"),
        (50, "50 µm"),
        (0.02, "20 nm"),
        (4e-4, "0.4 nm"),
        (0, "0 µm"),
    ],
)
def test_lengths_take_the_unit_that_reads_best(um: float, text: str) -> None:
    assert lengths.format_length(um) == text


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_scale_bar_is_a_round_length_below_a_third_of_the_field(field: float) -> None:
    bar = lengths.scale_bar(field)
    assert bar is not None
    assert 10 < bar.percent <= 30 + 1e-6
    length = field * bar.percent / 100
    mantissa = length / 10 ** np.floor(np.log10(length * (1 + 1e-9)))
    assert min(abs(mantissa - step) for step in (1, 2, 5)) < 1e-6


@pytest.mark.parametrize("field", [None, 0.0, -1.0])
def test_no_field_no_scale_bar(field: float | None) -> None:
    assert lengths.scale_bar(field) is None


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("um", "µm"),
        ("um3", "µm³"),
        ("W/(m.K)", "W/(m·K)"),
        ("1", ""),
        ("um-1", "µm⁻¹"),
        ("1/um", "1/µm"),
        ("m2/s", "m²/s"),
        ("us", "µs"),
        ("deg", "°"),
    ],
)
def test_units_read_as_written_by_hand(code: str, text: str) -> None:
    assert numbers.readable_unit(code) == text


@pytest.mark.parametrize(
    ("value", "u", "text"),
    [
        (4.32284, 0.2161, "4.32"),
        (4.32284, 2.2, "4.3"),
        (0.0123, 0.0004, "0.01230"),
        (-0.04, 0.3, "−0.04"),
        (-0.001, 0.3, "0.00"),
    ],
)
def test_digits_follow_the_uncertainty(value: float, u: float, text: str) -> None:
    assert numbers.format_value(value, u) == text


def test_tensor_has_the_same_digits_everywhere() -> None:
    value = [[4.7852, -0.0455, 0.2254], [-0.0455, 3.8396, -0.0457], [0.2254, -0.0457, 5.1484]]
    low = [[entry - 0.6 for entry in row] for row in value]
    high = [[entry + 0.6 for entry in row] for row in value]
    rows = numbers.tensor_rows(value, {"low": low, "high": high, "level": None, "contains": []})
    assert [cell.text for _, cells in rows for cell in cells] == [
        "4.79",
        "−0.05",
        "0.23",
        "−0.05",
        "3.84",
        "−0.05",
        "0.23",
        "−0.05",
        "5.15",
    ]
    assert rows[0][1][0].interval == "4.19 to 5.39"


def test_ladder_runs_from_a_centimetre_to_a_nanometre() -> None:
    rungs = ladder.rungs()
    assert [rung.label for rung in rungs] == ["1 cm", "1 mm", "100 µm", "10 µm", "1 µm", "100 nm", "10 nm", "1 nm"]
    assert rungs[0].percent == 0
    assert rungs[-1].percent == pytest.approx(100)


def test_image_stands_from_its_field_to_its_sample_distance() -> None:
    bar = ladder.bar(image(1.0))
    assert bar is not None
    assert bar.start == pytest.approx(ladder.place(100.0))
    assert bar.start + bar.width == pytest.approx(ladder.place(1.0))
    assert not bar.clipped


def test_ladder_sorts_from_coarse_to_fine_and_sets_apart_what_has_no_scale() -> None:
    found = ladder.ladder([image(0.001, name="fine"), image(None, name="none"), image(10.0, name="coarse")])
    assert [bar.image.name for bar in found.bars] == ["coarse", "fine"]
    assert [row.name for row in found.without] == ["none"]


@given(st.floats(min_value=1e-9, max_value=1e9), st.integers(min_value=1, max_value=10**6))
def test_no_bar_leaves_the_ladder(step: float, count: int) -> None:
    bar = ladder.bar(image(step, count))
    assert bar is not None
    assert 0 <= bar.start < 100
    assert bar.width > 0
    assert bar.start + bar.width <= 101


@given(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40))
def test_reduction_keeps_what_can_be_reached(pairs: set[tuple[int, int]]) -> None:
    links: dict[int, set[int]] = {node: set() for node in range(12)}
    for a, b in pairs:
        if a < b:
            links[a].add(b)
    reduced = graphs.reduce(links)
    for node in links:
        assert graphs._reachable(node, links) == graphs._reachable(node, reduced)
    drawing = graphs.draw(list(links), reduced)
    y = {box.key: box.y for box in drawing.boxes}
    assert all(y[target] < y[node] for node, targets in reduced.items() for target in targets)
    assert len({(box.x, box.y) for box in drawing.boxes}) == 12


def test_left_out_nodes_are_bridged() -> None:
    links = {"number": {"act"}, "act": {"agent", "file"}, "agent": set(), "file": set()}
    assert graphs.contract(links, {"number", "file"}) == {"number": {"file"}, "file": set()}


def test_cycle_does_not_hang_the_drawing() -> None:
    drawing = graphs.draw(["a", "b"], {"a": {"b"}, "b": {"a"}})
    assert len(drawing.boxes) == 2


def test_tree_is_whole_from_any_of_its_specimens() -> None:
    ids = [uuid.uuid4() for _ in range(4)]
    parents = [None, ids[0], ids[1], None]
    rows = [
        SimpleNamespace(pk=pk, parent_id=parent, name=str(n))
        for n, (pk, parent) in enumerate(zip(ids, parents, strict=True))
    ]
    for here in ids[:3]:
        root = trees.tree(rows, here)
        assert root is not None
        assert root.specimen.pk == ids[0]
        assert root.children[0].children[0].specimen.pk == ids[2]
    assert trees.tree(rows, uuid.uuid4()) is None


@pytest.mark.parametrize(
    ("exponent", "text"), [(0, "unchanged"), (1, "× s"), (-1, "÷ s"), (3, "× s³"), (None, "no simple rule")]
)
def test_effect_of_the_spacing_follows_the_exponent(exponent: int | None, text: str) -> None:
    assert scale.effect(exponent) == text


@pytest.fixture
def store(tmp_path: Path) -> Path:
    z, y, x = np.meshgrid(np.arange(6), np.arange(8), np.arange(10), indexing="ij")
    write_image(tmp_path / "s", (100 * z + 10 * y + x).astype(np.uint16), axes=("z", "y", "x"), spacing_um={})
    return tmp_path / "s"


@pytest.mark.parametrize(("axis", "size"), [("z", (10, 8)), ("y", (10, 6)), ("x", (8, 6))])
def test_slice_is_the_plane_asked_for(axis: str, size: tuple[int, int], store: Path) -> None:
    picture = Picture.open(io.BytesIO(slices.render(store, slices.Plane(axis, 3), labels=False)))
    assert picture.size == size
    grey = np.asarray(picture)
    z, y, x = np.meshgrid(np.arange(6), np.arange(8), np.arange(10), indexing="ij")
    whole = 100 * z + 10 * y + x
    expected = np.take(whole, 3, axis="zyx".index(axis))
    low, high = np.percentile(whole, (0.5, 99.5))
    assert grey == pytest.approx(np.clip((expected - low) * 255 / (high - low), 0, 255), abs=1.0)


def test_labels_are_coloured_by_value_and_the_background_is_dark(tmp_path: Path) -> None:
    labels = np.zeros((1, 4, 4), np.uint8)
    labels[0, :, 2:] = 1
    write_image(tmp_path / "l", labels, axes=("z", "y", "x"), spacing_um={}, kind="labels")
    picture = np.asarray(Picture.open(io.BytesIO(slices.render(tmp_path / "l", slices.Plane("z", 0), labels=True))))
    assert picture[0, 0].max() < 64
    assert len({tuple(pixel) for pixel in picture.reshape(-1, 3)}) == 2
    assert (picture[:, 2:] == picture[0, 2]).all()


def test_constant_and_not_finite_images_are_drawn(tmp_path: Path) -> None:
    for name, value in (("constant", 7.0), ("nan", np.nan)):
        write_image(tmp_path / name, np.full((1, 4, 4), value, np.float32), axes=("z", "y", "x"), spacing_um={})
        assert slices.render(tmp_path / name, slices.Plane("z", 0), labels=False)
