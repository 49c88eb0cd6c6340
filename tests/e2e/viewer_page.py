"""The viewer's page under a test's hands: what is looked at, and where what is bright appears."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from PIL import Image as Picture

from tests.e2e.browser import Visitor
from tests.e2e.phantoms import BRIGHT, DARK

DRAW_SECONDS = 60.0
EDGE = 4  # pixels of the frame's border, left out of a picture
BAR = 60  # pixels at its foot, where the scale bar stands


def opened(visitor: Visitor, path: str) -> Any:
    """The viewer's page with all of its layers."""
    visitor.page.goto(visitor.address + path)
    visitor.page.wait_for_selector("#viewer[data-ready]")
    return visitor.page


def adapter(page: Any, script: str, argument: Any = None) -> Any:
    """Have the page's adapter do something: ``a`` is the adapter, ``v`` the client's own viewer, ``x`` the argument."""
    return page.evaluate(
        f"(x) => {{ const a = document.getElementById('viewer').adapter; const v = a.viewer; {script} }}", argument
    )


def look(page: Any, layer: str, at: np.ndarray, um_per_pixel: float, **more: Any) -> None:
    """Show one layer alone, a point of the viewed frame in the middle of the picture."""
    adapter(
        page,
        "for (const name of a.layerNames()) a.setVisible(name, name === x.layer);"
        "a.setOpacity(x.layer, 1);"
        "a.setGrey(x.layer, {window: x.window, limits: [0, 65535], colour: '#ffffff'});"
        "if (x.axes) a.setAxes(x.axes); a.setScale(x.scale); a.moveTo(x.at);",
        {"layer": layer, "at": at.tolist(), "scale": um_per_pixel, "window": [DARK, BRIGHT], **more},
    )


def spot(page: Any) -> tuple[float, float, int] | None:
    """Middle of what is bright, in pixels from the middle of the picture, to the right and down; and how much it is."""
    frame = page.locator("#viewer")
    left, top, width, height = adapter(
        page,
        "const box = a.panels()[0].element.getBoundingClientRect();"
        "const border = getComputedStyle(a.frame).borderLeftWidth;"
        "return [box.left + parseFloat(border), box.top + parseFloat(border), box.width, box.height];",
    )
    grey = np.array(Picture.open(io.BytesIO(frame.screenshot())).convert("L"), np.float64)
    grey[:EDGE] = grey[-BAR:] = grey[:, :EDGE] = grey[:, -EDGE:] = 0
    rows, columns = np.nonzero(grey > 100)
    if not len(rows):
        return None
    # An element that begins between two pixels is cut out from the whole pixel before it.
    offset = frame.bounding_box()
    left, top = left + offset["x"] % 1, top + offset["y"] % 1
    right = columns.mean() + 0.5 - left - width / 2
    return right, rows.mean() + 0.5 - top - height / 2, len(rows)


def settled(page: Any) -> tuple[float, float, int]:
    """The spot, once two pictures in a row agree."""
    end, before = time.monotonic() + DRAW_SECONDS, None
    while time.monotonic() < end:
        time.sleep(0.4)
        found = spot(page)
        if found is not None and found == before:
            return found
        before = found
    raise AssertionError(f"nothing bright came to rest: {before}; {page.evaluate('document.body.innerText')[:500]}")


def spot_on_page(page: Any, right: float, down: float) -> tuple[float, float]:
    """Where on the page a pixel lies that is so many from the middle of the picture."""
    box = page.locator("#viewer").bounding_box()
    size = adapter(page, "const p = a.panels()[0].element.getBoundingClientRect(); return [p.width, p.height];")
    return box["x"] + 1 + size[0] / 2 + right, box["y"] + 1 + size[1] / 2 + down


def hover(page: Any, right: float, down: float) -> None:
    page.mouse.move(*spot_on_page(page, right, down))


def click(page: Any, right: float, down: float) -> None:
    page.mouse.click(*spot_on_page(page, right, down))
