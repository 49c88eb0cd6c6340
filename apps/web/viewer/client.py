"""The pinned neuroglancer client: which files of it are loaded, and where they lie among the static files.

The files are those of ``neuroglancer/static/client`` in the wheel of this version on PyPI, unchanged, without the
source maps.  ``files.json`` beside them holds their digests; docs/howto/viewer.md says how to go to another version.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "2.41.2"
FOLDER: Final = f"web/vendor/neuroglancer-{VERSION}"
STYLE: Final = f"{FOLDER}/main.8608d1fc21b22785.css"
# In the order of the wheel's index.html; the last one starts the client.
SCRIPTS: Final = tuple(
    f"{FOLDER}/{name}"
    for name in (
        "822.a6ba03f3494c48e3.js",
        "213.57c390ab08d910be.js",
        "205.6bc228e2e1fdba68.js",
        "191.746a2dd720c8bead.js",
        "main.8608d1fc21b22785.js",
    )
)
# What the client calls the drawings of regions, of those from other frames, and of the one being drawn; names of layers
# are its keys.
REGIONS: Final = "regions"
ELSEWHERE: Final = "regions from elsewhere"
DRAFT: Final = "draft"
