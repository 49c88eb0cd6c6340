"""REST of specimens, materials, instruments and calibrations."""

from django.urls import path

from apps.catalog.api.calibrations import CalibrationViewSet
from apps.catalog.api.instruments import InstrumentViewSet
from apps.catalog.api.materials import MaterialViewSet
from apps.catalog.api.specimens import SpecimenViewSet
from apps.core.api.negotiation import AnyNegotiation

ROUTES = [
    ("specimens", SpecimenViewSet, "specimen"),
    ("materials", MaterialViewSet, "material"),
    ("instruments", InstrumentViewSet, "instrument"),
    ("calibrations", CalibrationViewSet, "calibration"),
]
# Without the router: this address ends without a slash.
URLS = [
    path(
        "specimens/<uuid:pk>/label.svg",
        SpecimenViewSet.as_view({"get": "label"}, content_negotiation_class=AnyNegotiation, filterset_class=None),
        name="specimen-label",
    ),
]
