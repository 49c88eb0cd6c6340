"""Two made images of a known relation, and the registration page under a test's hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.e2e.browser import Visitor
from tests.e2e.phantoms import (
    BRIGHT,
    COARSE_AT,
    COARSE_UM,
    DARK,
    FINE_AT,
    FINE_UM,
    SHAPE,
    Rest,
    joining,
    phantom,
    place,
)
from tests.e2e.phantoms import rotation as turned

SOURCE_SHAPE, SOURCE_UM = (1, 300, 400), 0.5
TARGET_SHAPE, TARGET_UM = (1, 500, 640), 0.4
DEGREES = 20.0
# Where the dots are in the source, um; none of them on a line with two others.
DOTS_UM = np.array(
    [[30.0, 25.0], [160.0, 30.0], [95.0, 60.0], [40.0, 115.0], [150.0, 125.0], [100.0, 100.0], [70.0, 85.0]]
)


def truth() -> np.ndarray:
    """The rigid map from the source to the target, between two planes."""
    middle = np.array([SOURCE_SHAPE[2] / 2 * SOURCE_UM, SOURCE_SHAPE[1] / 2 * SOURCE_UM, 0.0])
    there = np.array([TARGET_SHAPE[2] / 2 * TARGET_UM, TARGET_SHAPE[1] / 2 * TARGET_UM, 0.0])
    return joining(turned((0.0, 0.0, 1.0), DEGREES), middle, there)


def dots(shape: tuple[int, int, int], um: float, at_um: np.ndarray, dark: int, bright: int) -> np.ndarray:
    """A plane with round dots of 2 um about given places."""
    rows, columns = np.mgrid[: shape[1], : shape[2]] * um
    field = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8.0) for x, y in at_um)
    return (dark + (bright - dark) * np.clip(field, 0.0, 1.0)).astype(np.uint16)[None]


@dataclass(frozen=True)
class MadePair:
    """Ids of the made images: planes of dots, and volumes of one bright sample joined by an accepted transform."""

    images: dict[str, str]
    frames: dict[str, str]

    def address(self, source: str, target: str, **more: str) -> str:
        query = "".join(f"&{name}={value}" for name, value in more.items())
        return f"/register/?source={self.images[source]}&target={self.images[target]}{query}"


def make_pair(rest: Rest) -> MadePair:
    project = rest.post("projects/", name="Made pairs")
    specimen = rest.post("specimens/", project=project["id"], name="Made coupon")
    there = np.column_stack([DOTS_UM, np.zeros(len(DOTS_UM))]) @ truth()[:3, :3].T + truth()[:3, 3]
    rows = {
        "source": rest.image(specimen, "made source", dots(SOURCE_SHAPE, SOURCE_UM, DOTS_UM, DARK, BRIGHT), SOURCE_UM),
        "target": rest.image(
            specimen, "made target", dots(TARGET_SHAPE, TARGET_UM, there[:, :2], BRIGHT, DARK), TARGET_UM
        ),
        "coarse": rest.image(specimen, "made coarse", phantom(SHAPE, COARSE_AT), COARSE_UM),
        "fine": rest.image(specimen, "made fine", phantom(SHAPE, FINE_AT), FINE_UM),
        "bare": rest.image(specimen, "made bare", phantom(SHAPE, COARSE_AT), None),
    }
    turn = turned((1.0, 2.0, 3.0), 30.0)
    rest.join(rows["fine"], rows["coarse"], joining(turn, place(FINE_AT, FINE_UM), place(COARSE_AT, COARSE_UM)))
    frames = {name: row["frame"] for name, row in rows.items() if row["frame"]}
    return MadePair({name: row["id"] for name, row in rows.items()}, frames)


def opened(visitor: Visitor, path: str) -> Any:
    """The page with both pictures drawn."""
    visitor.page.goto(visitor.address + path)
    visitor.page.wait_for_selector("#register[data-ready]")
    still(visitor.page)
    return visitor.page


def still(page: Any) -> None:
    """Wait until both panes show what they are to show."""
    for side in ("source", "target"):
        page.wait_for_selector(f"#pane-{side}[data-busy=false]")


def pane(page: Any, side: str, script: str, argument: Any = None) -> Any:
    """Have a pane do something: ``p`` is the pane, ``x`` the argument."""
    return page.evaluate(
        f"([side, x]) => {{ const p = document.getElementById(`pane-${{side}}`).pane; {script} }}", [side, argument]
    )


def on_page(page: Any, side: str, point: np.ndarray) -> tuple[float, float]:
    """The pixel of the page, as a pointer names it, that a point of a pane's frame lies in."""
    page.evaluate("side => document.getElementById(`pane-${side}`).scrollIntoView({block: 'center'})", side)
    x, y = pane(
        page,
        side,
        "const box = p.canvas.getBoundingClientRect(); const at = p.toCanvas(x); return [box.left + at[0], box.top + at[1]];",
        np.asarray(point, np.float64).tolist(),
    )
    return float(np.floor(x)), float(np.floor(y))


def click(page: Any, side: str, point: np.ndarray) -> None:
    page.mouse.click(*on_page(page, side, point))
