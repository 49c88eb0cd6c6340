"""Make the pictures of the tutorial on one place in four images anew, on a server of its own.

    python docs/correlate_pictures.py

Puts in the made study of ``fixtures/made_study`` by REST, then walks through it in a browser as the tutorial tells and
as ``tests/e2e/test_point_of_it_all.py`` checks.  The pictures are written to ``docs/_static``.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.e2e import browser  # noqa: E402
from tests.e2e.made_rest import WireRest  # noqa: E402
from tests.e2e.phantoms import PASSWORD  # noqa: E402
from tests.e2e.whole_walk import WEBGL, Walk, draw_face, measure, running, visitor, withdraw  # noqa: E402
from tests.made_study import TRUTH, MadeStudy, light_pairs, make  # noqa: E402

SIZE = {"width": 1280, "height": 900}
COLOURS = 128


def keeper(page: Any) -> Any:
    """Return what writes the window under a name."""

    def keep(name: str) -> None:
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(HERE / "_static" / f"{name}.png", optimize=True)

    return keep


def join_light(ben: WireRest, made: MadeStudy) -> None:
    """The light image on the micrograph by six pairs of the face, both planes."""
    ends = {"source": made.frame("light"), "target": made.frame("sem"), "kind": "rigid", "method": "landmarks"}
    fitted = ben.post("transforms/", **ends, landmarks=light_pairs())
    ben.post(f"transforms/{fitted['id']}/accept/", reason="six fibres seen in both")


def walk_through(chrome: Any, address: str, folder: Path) -> None:
    """All pages of the tutorial, in its order."""
    ben = WireRest(address, "ben", PASSWORD)
    made = make(WireRest(address, "ada", PASSWORD), ben)
    draw_face(ben, made)
    measure(ben, made)
    join_light(ben, made)
    lab = visitor(chrome, address, "ben")
    lab.page.set_viewport_size(SIZE)
    walk = Walk(lab, made, ben, keeper(lab.page))
    lab.goto(f"/specimens/{made.specimen}/")
    walk.keep("correlate-specimen")
    walk.register()
    walk.overlay()
    lab.page.goto(f"{address}{walk.both}&frame={made.frame('sem')}")
    lab.page.wait_for_selector("#viewer[data-ready]")
    lab.page.locator(f'[data-layer="{made.images["sem"]["id"]}"]').get_by_role("button", name="Go to").click()
    walk.keep("correlate-overlay")
    region = walk.draw_buried()
    walk.keep("correlate-place")
    walk.on_the_stage(region, folder)
    lab.goto(f"/specimens/{made.specimen}/frames/")
    walk.keep("correlate-frames")
    four = ",".join(made.images[name]["id"] for name in ("light", "sem", "eds"))
    lab.page.goto(f"{address}/view/?images={four}&frame={made.frame('sem')}")
    lab.page.wait_for_selector("#viewer[data-ready]")
    walk.keep("correlate-elements")
    withdraw(visitor(chrome, address, "ada"), made.calibrations["xrm"])
    lab.goto(f"/regions/{region}/?mount={made.mount}")
    walk.keep("correlate-stale")


def main() -> None:
    """Start server and browser and take the pictures."""
    print(TRUTH["made"])
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as server,
        browser.launched(*WEBGL) as chrome,
    ):
        walk_through(chrome, f"http://127.0.0.1:{server.port}", Path(folder))


if __name__ == "__main__":
    main()
