"""REST of specimens, materials, instruments and calibrations."""

from apps.catalog.api.calibrations import CalibrationViewSet
from apps.catalog.api.instruments import InstrumentViewSet
from apps.catalog.api.materials import MaterialViewSet
from apps.catalog.api.specimens import SpecimenViewSet

ROUTES = [
    ("specimens", SpecimenViewSet, "specimen"),
    ("materials", MaterialViewSet, "material"),
    ("instruments", InstrumentViewSet, "instrument"),
    ("calibrations", CalibrationViewSet, "calibration"),
]
