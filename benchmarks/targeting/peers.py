"""Runs in the peers' environment: reads a fibsemOS and a Navigator file with fibsemOS' and SerialEM's own readers."""

import json
import sys
from pathlib import Path

import pyserialem
import yaml
from fibsem.structures import FibsemStagePosition

positions = [FibsemStagePosition.from_dict(entry) for entry in yaml.safe_load(Path(sys.argv[1]).read_text())]
items = pyserialem.read_nav_file(Path(sys.argv[2]))
print(
    json.dumps(
        {
            "fibsemos": [[p.name, p.x, p.y, p.z, p.r, p.t, p.coordinate_system] for p in positions],
            "nav": [[item.kind, *map(float, item.StageXYZ)] for item in items],
        }
    )
)
