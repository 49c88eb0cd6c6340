"""A small sample of the studies of ``benchmarks/registration``, on seeds that it does not report."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.registration import rigid
from analyses.registration.grids import Pixels
from analyses.sdk.values import ImageValue
from benchmarks.registration import run
from benchmarks.registration.cost import Tiled
from benchmarks.registration.phantoms import CONCRETE, fibres, turned_concrete

SEED = 70


def test_related_pairs_are_accepted_and_unrelated_ones_refused() -> None:
    told = run.pairs(SEED + 1, 1, 48)
    assert told["falsely_refused"] == 0
    assert told["accepted_but_wrong"] == 0
    assert told["falsely_accepted"] == 0


def test_stated_errors_of_landmark_fits_are_true() -> None:
    assert 0.9 <= run.landmarks(SEED, 60, 64)["covered"] <= 0.99


def test_stated_errors_of_grey_value_fits_are_true() -> None:
    assert run.intensity(SEED, 3, 48)["covered"] >= 0.75


@pytest.mark.skipif(not CONCRETE.exists(), reason="no pair-concrete-xray-neutron")
def test_the_concrete_is_found_where_its_reference_says() -> None:
    made = turned_concrete(CONCRETE, np.random.default_rng([SEED, 0]))
    told = run.attempt(rigid.SPEC, made, {"search_deg": 60.0})
    assert "refused" not in told
    middle = run.close_together([made.truth @ np.linalg.inv(told["matrix"])])
    assert abs(middle["median_turn_deg"][2] + 19.6) <= 1.5
    assert np.linalg.norm(np.array(middle["median_shift"]) - [0.41, 0.47, -1.28]) <= 0.5


def test_no_more_is_read_at_once_than_a_slab() -> None:
    """A level of an image of 256 MB, whose samples arise as they are read."""
    largest = [0]

    class Watched(Tiled):
        def __getitem__(self, key):  # type: ignore[no-untyped-def]
            found = super().__getitem__(key)
            largest[0] = max(largest[0], found.size)
            return found

    array = Watched(fibres(), (256, 512, 512), 4)
    image = ImageValue("image", "intensity", array, ("z", "y", "x"), dict.fromkeys("zyx", 1.0))  # type: ignore[arg-type]
    grid = Pixels(image).at((4, 4, 4))
    assert grid.samples.shape == (64, 128, 128)
    assert largest[0] <= 1 << 23
