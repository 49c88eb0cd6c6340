"""The XML of a CZI: scaling in metres, channels, scenes in micrometres of the stage, parameters of an SEM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from analyses.sdk.values import Channel
from apps.imaging.readers.base import fact
from apps.imaging.readers.errors import MetadataError
from apps.imaging.readers.quantities import Facts, length_um, number, put, put_positive, put_text, shifted, words

_MOMENT = re.compile(r"^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})?$")
_QUANTITY = re.compile(r"^([-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(.*)$")
_LIGHT = {
    "WideField", "LaserScanningConfocalMicroscopy", "SpinningDiskConfocal", "StructuredIllumination", "TIRF", "SPIM",
    "BrightField", "Airyscan", "Lightsheet", "PALM", "Lattice", "ApoTome",
}  # fmt: skip
# Parameters of an SEM: name of the fact, its unit, whether it must be positive, powers of ten from the file's units.
_MICROMETRES = {"m": 6, "mm": 3, "µm": 0, "um": 0, "nm": -3, "pm": -6}
_DEGREES = {"°": 0, "deg": 0}
_SEM: dict[str, tuple[str, str, bool, dict[str, int]]] = {
    "StageCenterX": ("stage_x", "um", False, _MICROMETRES),
    "StageCenterY": ("stage_y", "um", False, _MICROMETRES),
    "StageZPosition": ("stage_z", "um", False, _MICROMETRES),
    "StageMPosition": ("stage_m", "um", False, _MICROMETRES),
    "BeamOffsetX": ("image_shift_x", "um", False, _MICROMETRES),
    "BeamOffsetY": ("image_shift_y", "um", False, _MICROMETRES),
    "StageRotation": ("stage_rotation", "deg", False, _DEGREES),
    "StageTilt": ("stage_tilt", "deg", False, _DEGREES),
    "ScanRotation": ("scan_rotation", "deg", False, _DEGREES),
    "AcceleratingVoltage": ("accelerating_voltage", "kV", True, {"kV": 0, "V": -3}),
    "Magnification": ("magnification", "1", True, {"K X": 3, "KX": 3, "X": 0, "x": 0}),
    "WorkingDistance": ("working_distance", "mm", True, {"mm": 0, "µm": -3, "um": -3, "m": 3}),
    "SystemVacuum": ("pressure", "Pa", True, {"Pa": 0, "mbar": 2, "hPa": 2, "kPa": 3, "bar": 5}),
}
_COLOUR_NAMES = ("red", "green", "blue")


class CziMetadata:
    """What the XML says; an absent file of metadata says nothing."""

    def __init__(self, xml: str, name: str) -> None:
        try:
            self.root: Any = ElementTree.fromstring(xml.encode("utf-8")) if xml.strip() else ElementTree.XML("<none/>")
        except (DefusedXmlException, ElementTree.ParseError, ValueError) as error:
            raise MetadataError(f"{name} has metadata that is not plain XML: {error}"[:500]) from error
        self.information = self._first(self.root, "Metadata/Information")
        self.image = self._first(self.information, "Image")
        self.sem = self._sem_parameters()

    @staticmethod
    def _first(element: Any, path: str) -> Any:
        return element.find(path) if element is not None else None

    def _text(self, element: Any, path: str) -> str:
        found = self._first(element, path)
        return words(found.text) if found is not None and found.text else ""

    def _all(self, element: Any, path: str) -> list[Any]:
        return list(element.findall(path)) if element is not None else []

    # ------------------------------------------------------------------------------------------------------- lengths
    def spacing_um(self) -> dict[str, float | None]:
        """Distances of samples; entries of zero, NaN or none at all are absent, "pixel" is no unit of length."""
        found: dict[str, float | None] = dict.fromkeys(("z", "y", "x"))
        for item in self._all(self.root, "Metadata/Scaling/Items/Distance"):
            axis = str(item.get("Id", "")).lower()
            if axis in found:
                found[axis] = length_um(self._text(item, "Value"), "m")
        return found

    # --------------------------------------------------------------------------------------------------- what it shows
    @property
    def modality(self) -> str:
        """``sem`` or ``light`` where the file says which, else empty."""
        modes = {self._text(c, "AcquisitionMode") for c in self._all(self.image, "Dimensions/Channels/Channel")}
        if "AcceleratingVoltage" in self.sem or "SEM" in modes:
            return "sem"
        objective = self._objective()
        return "light" if modes & _LIGHT or (objective is not None and self._text(objective, "LensNA")) else ""

    def channels(self, indices: Sequence[int], samples: Sequence[int]) -> tuple[Channel, ...]:
        """Channels of an image: one for each sample of each channel of the file; none where there is only one.

        Parameters
        ----------
        indices
            Number of each channel in the file.
        samples
            Samples a pixel of each.
        """
        found = []
        for index, count in zip(indices, samples, strict=True):
            label, detector = self._channel(index)
            if count > 1:
                found += [Channel(f"{label} {colour}".strip(), detector) for colour in _COLOUR_NAMES]
            else:
                found.append(Channel(label or f"channel {index}", detector))
        return tuple(found) if len(found) > 1 or (found and (found[0].detector or self._channel(indices[0])[0])) else ()

    def _channel(self, index: int) -> tuple[str, str | None]:
        """Label and detector of a channel of the file."""
        listed = self._all(self.image, "Dimensions/Channels/Channel")
        shown = self._all(self.root, "Metadata/DisplaySetting/Channels/Channel")
        element = listed[index] if index < len(listed) else None
        key = element.get("Id") if element is not None else None
        match = next((c for c in shown if key and c.get("Id") == key), shown[index] if index < len(shown) else None)
        label = words(element.get("Name")) if element is not None else ""
        label = label or (words(match.get("Name")) if match is not None else "") or self._text(element, "Fluor")
        reference = self._first(element, "DetectorSettings/Detector")
        return label, self._named("Detectors/Detector", reference) or None

    def _named(self, path: str, reference: Any) -> str:
        """Name of the instrument part that a reference points to."""
        part = self._part(path, reference)
        return "" if part is None else words(part.get("Name")) or self._text(part, "Manufacturer/Model")

    def _part(self, path: str, reference: Any) -> Any:
        parts = self._all(self.information, f"Instrument/{path}")
        if reference is None:
            return parts[0] if len(parts) == 1 else None
        return next((part for part in parts if part.get("Id") == reference.get("Id")), None)

    def _objective(self) -> Any:
        return self._part("Objectives/Objective", self._first(self.image, "ObjectiveSettings/ObjectiveRef"))

    # ----------------------------------------------------------------------------------------------------------- facts
    def facts(self, indices: Sequence[int]) -> Facts:
        """Facts of the whole file, and those of the channels ``indices`` of it."""
        facts: Facts = {}
        self._add_dates(facts)
        self._add_origin(facts)
        self._add_optics(facts, indices)
        self._add_sem(facts)
        return facts

    def _add_dates(self, facts: Facts) -> None:
        for name, element, path in (
            ("acquired_at", self.image, "AcquisitionDateAndTime"),
            ("file_created_at", self.information, "Document/CreationDate"),
        ):
            raw = self._text(element, path)
            if moment := iso_moment(raw):
                facts[name] = fact(moment, tag=path, raw=raw)

    def _add_origin(self, facts: Facts) -> None:
        microscope = self._part("Microscopes/Microscope", self._first(self.image, "MicroscopeRef"))
        if microscope is None:
            microscope = next(iter(self._all(self.information, "Instrument/Microscopes/Microscope")), None)
        if microscope is not None:
            named = words(microscope.get("Name"))
            put_text(facts, "instrument", named or self._text(microscope, "System"), tag="Microscope")
        software = (self._text(self.information, f"Application/{part}") for part in ("Name", "Version"))
        put_text(facts, "software", " ".join(software), tag="Application")
        user = self._first(self.information, "User")
        whole = f"{self._text(user, 'FirstName')} {self._text(user, 'LastName')}".strip()
        put_text(facts, "operator", self._text(user, "DisplayName") or whole, tag="User")
        if "operator" not in facts:
            put_text(facts, "operator", self._text(self.information, "Document/UserName"), tag="Document/UserName")
        put_text(facts, "title", self._text(self.information, "Document/Title"), tag="Document/Title")

    def _add_optics(self, facts: Facts, indices: Sequence[int]) -> None:
        objective = self._objective()
        if objective is not None:
            named = words(objective.get("Name")) or self._text(objective, "Manufacturer/Model")
            put_text(facts, "objective", named, tag="Objective")
            nominal = self._text(objective, "NominalMagnification")
            put_positive(facts, "objective_magnification", nominal, "1", tag="NominalMagnification")
            put_positive(facts, "numerical_aperture", self._text(objective, "LensNA"), "1", tag="LensNA")
        listed = self._all(self.image, "Dimensions/Channels/Channel")
        used = [listed[index] for index in indices if index < len(listed)]
        if len(used) == 1:
            put_text(facts, "detector", self._channel(indices[0])[1], tag="Detector")
        times = [number(self._text(channel, "ExposureTime")) for channel in used]
        if times and all(value and value > 0 for value in times):
            seconds = [value / 1e9 for value in times if value]
            raw = ", ".join(f"{value:.0f} ns" for value in times if value)
            value = seconds[0] if len(set(seconds)) == 1 else seconds
            facts["exposure_time"] = fact(value, "s", tag="ExposureTime", raw=raw)
        binnings = {self._text(channel, "DetectorSettings/Binning") for channel in used} - {""}
        if len(binnings) == 1:
            raw = binnings.pop()
            facts["binning"] = fact(raw.replace(",", "x"), tag="Binning", raw=raw)

    @property
    def is_cut_out(self) -> bool:
        """True if ZEN saved a part of the frame: the stage positions of its tiles are those of the whole."""
        return bool(self._text(self.root, "Metadata/CustomAttributes/SubsetString"))

    # ---------------------------------------------------------------------------------------------------------- scenes
    def scene_facts(self, index: int | None) -> Facts:
        """Name, centre on the stage and contour of a scene."""
        facts: Facts = {}
        scene = self._scene(index)
        if scene is None:
            return facts
        put_text(facts, "scene", scene.get("Name"), tag="Scene Name")
        centre = _pair(self._text(scene, "CenterPosition"))
        if centre:
            facts["scene_center"] = fact(list(centre), "um", tag="Scene CenterPosition")
            put(facts, "stage_x", centre[0], "um", tag="Scene CenterPosition")
            put(facts, "stage_y", centre[1], "um", tag="Scene CenterPosition")
        size = _pair(self._text(scene, "ContourSize"))
        if size:
            facts["scene_contour_size"] = fact(list(size), "um", tag="Scene ContourSize")
        put_text(facts, "scene_contour", self._text(scene, "ContourType"), tag="Scene ContourType")
        return facts

    def _scene(self, index: int | None) -> Any:
        scenes = self._all(self.image, "Dimensions/S/Scenes/Scene")
        return next((scene for scene in scenes if index is not None and scene.get("Index") == str(index)), None)

    def scene_name(self, index: int | None) -> str:
        """Name of a scene, empty if it has none."""
        scene = self._scene(index)
        return words(scene.get("Name")) if scene is not None else ""

    # ------------------------------------------------------------------------------------------------------------- SEM
    def _sem_parameters(self) -> dict[str, str]:
        """Parameters of an SEM, wherever this version of the format keeps them."""
        found: dict[str, str] = {}
        custom = ("Metadata/Information/CustomAttributes/KeyValue", "Metadata/CustomAttributes/KeyValue")
        holders = [*self.root.iter("Parameters"), *(e for path in custom for e in self._all(self.root, path))]
        for item in (item for holder in holders for item in holder):
            if item.text and (item.tag in _SEM or item.tag == "ScanRotationEnabled"):
                found.setdefault(item.tag, words(item.text))
        return found

    def _add_sem(self, facts: Facts) -> None:
        for tag, raw in self.sem.items():
            value, unit = _quantity(raw)
            if tag not in _SEM or value is None:
                continue
            name, wanted, positive, powers = _SEM[tag]
            if unit in powers and (value > 0 or not positive):
                facts[name] = fact(shifted(value, powers[unit]), wanted, tag=tag, raw=raw)
        switched_off = self.sem.get("ScanRotationEnabled", "").lower() in ("off", "false")
        if switched_off and "scan_rotation" in facts:
            raw = f"{self.sem['ScanRotation']}, switched off"
            facts["scan_rotation"] = fact(0.0, "deg", tag="ScanRotation", raw=raw)


def tile_facts(xml: str, planes: int) -> Facts:
    """Stage position of a tile from the XML of its sub-block; the focus only where there is one plane."""
    facts: Facts = {}
    try:
        tags = ElementTree.fromstring(xml.encode("utf-8")).find("Tags")
    except (DefusedXmlException, ElementTree.ParseError, ValueError):
        return facts
    if tags is None:
        return facts
    names = {"StageXPosition": "stage_x", "StageYPosition": "stage_y"}
    for tag, name in names.items() if planes != 1 else [*names.items(), ("FocusPosition", "stage_z")]:
        element = tags.find(tag)
        if element is not None and element.text:
            put(facts, name, element.text, "um", tag=tag)
    return facts


def iso_moment(raw: str) -> str | None:
    """A moment with the figures that the file has; the first year stands for "not known"."""
    found = _MOMENT.match(raw.strip())
    if found is None or raw.startswith("0001"):
        return None
    return found[1] + (found[2] or "") + (found[3] or "")


def _pair(value: str) -> tuple[float, float] | None:
    parts = [number(part) for part in value.split(",")]
    return (parts[0], parts[1]) if len(parts) == 2 and parts[0] is not None and parts[1] is not None else None


def _quantity(value: str | None) -> tuple[float | None, str]:
    """Number and unit of a text such as ``36.978 mm``."""
    found = _QUANTITY.match(value.strip()) if value else None
    return (number(found[1]), found[2].strip()) if found else (None, "")
