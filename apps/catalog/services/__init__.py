"""Changes to specimens, events, materials, instruments and calibrations: the only functions that write these rows."""

from apps.catalog.services.calibrations import create_calibration, withdraw_calibration
from apps.catalog.services.events import ChildSpec, record_event
from apps.catalog.services.instruments import create_instrument
from apps.catalog.services.materials import add_material_property, create_material
from apps.catalog.services.specimens import create_specimen, update_specimen
from apps.catalog.services.staleness import DECISIONS, mark_stale

__all__ = [
    "DECISIONS",
    "ChildSpec",
    "add_material_property",
    "create_calibration",
    "create_instrument",
    "create_material",
    "create_specimen",
    "mark_stale",
    "record_event",
    "update_specimen",
    "withdraw_calibration",
]
