"""Who is believed: blocks judged one by one, also where the rim of a specimen looks different in the other image."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.registration.blocks import Overlay, layout
from analyses.registration.grids import Pixels
from analyses.registration.mutual import Settings, spun
from analyses.registration.verdict import agreement
from benchmarks.registration.phantoms import contrast, fibres
from tests.analyses.registration.pairs import value

EDGE = 64


def cylinder(inside: np.ndarray, radius: float, rim: float, wall: float) -> np.ndarray:
    """A round sample standing along z, with a wall of its own brightness and thickness, in air."""
    y, x = np.mgrid[0:EDGE, 0:EDGE] - (EDGE - 1) / 2
    r = np.hypot(y, x)
    return np.where(r < radius, inside, np.where(r < radius + wall, rim, 20.0)).astype(np.float32)


def asked(fixed: np.ndarray, moving: np.ndarray):
    rng = np.random.default_rng(0)
    noisy = [one + rng.normal(0, 6, one.shape).astype(np.float32) for one in (fixed, moving)]
    ours, theirs = Pixels(value(noisy[0], "fixed")), Pixels(value(noisy[1], "moving"))
    overlay = Overlay(ours, theirs, ((1, 1, 1),) * 2, layout(ours.shape))
    return agreement(overlay.map(np.eye(4), cubic=False))


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return fibres()


def test_a_rim_that_looks_different_does_not_outvote_what_is_inside(volume: np.ndarray) -> None:
    inside = volume[:EDGE, :EDGE, :EDGE]
    fixed = cylinder(inside, 24.0, 0.0, 5.0)
    related = asked(fixed, cylinder(contrast(inside), 24.0, 255.0, 3.0))
    stranger = np.rot90(volume[-EDGE:, -EDGE:, -EDGE:], axes=(0, 2))
    unrelated = asked(fixed, cylinder(contrast(stranger), 24.0, 255.0, 3.0))
    assert related.enough
    assert related.fraction >= 0.4
    assert unrelated.fraction < related.fraction / 2


def test_what_shows_nothing_is_not_asked(volume: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(100, 10, (2, EDGE, EDGE, EDGE)).astype(np.float32)
    assert not asked(noise[0], noise[1]).enough


def test_an_answer_that_found_the_rim_alone_is_turned(volume: np.ndarray) -> None:
    """A turn of 20 degrees hardly shows in the rim: a descent stops, a look round does not."""
    inside = volume[:EDGE, :EDGE, :EDGE]
    grid = Pixels(value(cylinder(inside, 30.0, 255.0, 3.0), "fixed")).at((2, 2, 2))
    turns = []
    for degrees in range(-30, 31, 5):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turns.append(np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    wrong = turns[2].copy()
    wrong[:3, 3] = grid.centre - wrong[:3, :3] @ grid.centre
    found = spun(grid, grid.image(), wrong, turns, Settings("rigid", sampling=0.3))
    assert found
    assert np.allclose(found[0], np.eye(4), atol=0.02 * EDGE)
    assert np.degrees(np.arccos(min(1.0, found[0][0, 0]))) <= 1.3
