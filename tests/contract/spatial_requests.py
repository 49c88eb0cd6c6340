"""What is sent to the routes of frames, mounts, transforms and regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.contract.world import World

WHEN = "2024-06-01T12:00:00Z"
MOMENT = "2024-06-01T12:00"
MATRIX = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
POINT = {"type": "point", "coordinates": [1.0, 2.0, 3.0]}
PAIRS = [{"source": [x, y, 0.0], "target": [x + 5.0, y, 0.0]} for x, y in ((0.0, 0.0), (10.0, 0.0), (0.0, 10.0))]
ITK = (
    "#Insight Transform File V1.0\n#Transform 0\nTransform: TranslationTransform_double_3_3\nParameters: 1 2 3\n"
    "FixedParameters:\n"
)
Build = Callable[[World], Any]


BODIES: dict[str, Build | None] = {
    "POST mounts/": lambda w: {"specimen": w.id("specimen"), "instrument": w.id("instrument"), "mounted_at": WHEN},
    "POST mounts/{pk}/end/": lambda w: {"unmounted_at": WHEN},
    "POST frames/{pk}/map/": lambda w: {"to": w.id("frame"), "points": [[0.0, 0.0, 0.0]]},
    "POST transforms/": lambda w: {
        "source": w.id("frame"),
        "target": w.id("target"),
        "kind": "translation",
        "method": "manual",
        "matrix": MATRIX,
    },
    "POST transforms/import/": lambda w: {
        "source": w.id("frame"),
        "target": w.id("target"),
        "format": "itk",
        "file": ITK,
    },
    "POST transforms/fit/": lambda w: {
        "source": w.id("frame"),
        "target": w.id("target"),
        "kind": "rigid",
        "landmarks": PAIRS,
    },
    "POST transforms/{pk}/accept/": lambda w: {"no_residual_reason": "read from the stage"},
    "POST transforms/{pk}/override/": lambda w: {"state": w.id("milled"), "reason": "milled far from here"},
    "POST transforms/{pk}/withdraw/": lambda w: {"reason": "the stage slipped"},
    "POST rois/": lambda w: {"frame": w.id("frame"), "geometry": POINT, "name": "another place"},
    "POST rois/{pk}/target/": lambda w: {"mount": w.id("mount")},
    "POST rois/{pk}/found/": lambda w: {"mount": w.id("mount"), "position": {"x": 1.0, "y": 2.0, "z": 3.0}},
}

# Forms of pages; a page's moments have no zone, and are in UTC.
PAGES: dict[str, Build | None] = {
    "POST /specimens/{pk}/mounts/add/": lambda w: {"instrument": w.id("instrument"), "mounted_at": MOMENT},
    "POST /mounts/{pk}/end/": lambda w: {"unmounted_at": MOMENT},
    "POST /regions/{pk}/send/": lambda w: {"mount": w.id("mount")},
    "POST /regions/{pk}/found/": lambda w: {"mount": w.id("mount"), "x": "1", "y": "2", "z": "3"},
    "POST /regions/{pk}/override/": lambda w: {
        "mount": w.id("mount"),
        "transform": w.id("accepted"),
        "state": w.id("milled"),
        "reason": "milled far from here",
    },
    "POST /transforms/{pk}/accept/": lambda w: {"no_residual_reason": "read from the stage"},
    "POST /transforms/{pk}/withdraw/": lambda w: {"reason": "the stage slipped"},
    "POST /transforms/{pk}/override/": lambda w: {"state": w.id("milled"), "reason": "milled far from here"},
}

QUERIES: dict[str, Callable[[World], str]] = {
    "GET frames/{pk}/paths/": lambda w: f"?to={w.id('frame')}",
    "GET frames/{pk}/napari/": lambda w: f"?images={w.id('image')}",
    "GET frames/{pk}/near/": lambda w: "?point=1,2,3&radius_um=5",
    "GET rois/{pk}/targeting/": lambda w: f"?mount={w.id('mount')}",
    "GET /regions/{pk}/sheet/": lambda w: f"?mount={w.id('mount')}",
    "GET /register/": lambda w: f"?source={w.id('image')}",
    "GET /images/{pk}/cut.png": lambda w: "?origin=0,0,0&right=0.5,0,0&down=0,0.5,0&columns=8&rows=8",
    "GET /view/": lambda w: f"?images={w.id('image')}",
    "GET images/{pk}/napari/": lambda w: f"?frame={w.image.frame_id}",
}

TARGETS = {
    **dict.fromkeys(("POST transforms/{pk}/override/", "POST /transforms/{pk}/override/"), "accepted"),
    "GET frames/{pk}/napari/": "image_frame",
}

_DATE = {"0": "2024-06-01", "1": "12:00:00"}
ADMIN: dict[str, Build] = {
    "spatial/mount/add": lambda w: {
        "specimen": w.id("specimen"),
        "instrument": w.id("instrument"),
        **{f"mounted_at_{part}": value for part, value in _DATE.items()},
    },
    "spatial/transform/add": lambda w: {
        "source": w.id("frame"),
        "target": w.id("target"),
        "kind": "translation",
        "method": "manual",
        "matrix": str(MATRIX),
    },
    "spatial/roi/add": lambda w: {
        "frame": w.id("frame"),
        "name": "by the admin",
        "geometry": '{"type": "point", "coordinates": [1, 2, 3]}',
    },
}
