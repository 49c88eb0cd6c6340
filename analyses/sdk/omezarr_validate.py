"""Judge OME-Zarr metadata: the requirements (MUST) decide, recommendations (SHOULD) and doubts only warn.

Three judges, since each alone is wrong on some published cases: the JSON schemas of the specification (they miss
relations between fields, such as lengths), ome-zarr-models (it misses rendering settings, and rejects what the
specification's own examples do) and a few checks by hand.  The ``strict_`` schemas judge recommendations.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import ome_zarr_models.v04.bioformats2raw as v04_bf2raw
import ome_zarr_models.v04.hcs as v04_hcs
import ome_zarr_models.v04.image as v04_image
import ome_zarr_models.v04.image_label_types as v04_label
import ome_zarr_models.v04.well as v04_well
import ome_zarr_models.v05.bioformats2raw as v05_bf2raw
import ome_zarr_models.v05.hcs as v05_hcs
import ome_zarr_models.v05.image as v05_image
import ome_zarr_models.v05.image_label_types as v05_label
import ome_zarr_models.v05.well as v05_well
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from analyses.sdk.omezarr_files import StoreError, safe_key

Version = Literal["0.4", "0.5"]
VERSIONS = ("0.4", "0.5")
# Top-level key of the metadata -> the schema that judges it, in order of what a group is if it has several.
SCHEMA_OF_KEY = {
    "multiscales": "image",
    "plate": "plate",
    "well": "well",
    "image-label": "label",
    "bioformats2raw.layout": "bf2raw",
    "series": "ome",
}
_MODELS: Mapping[tuple[str, str], type[BaseModel]] = {
    ("0.4", "image"): v04_image.ImageAttrs,
    ("0.4", "label"): v04_label.Label,
    ("0.4", "plate"): v04_hcs.HCSAttrs,
    ("0.4", "well"): v04_well.WellAttrs,
    ("0.4", "bf2raw"): v04_bf2raw.BioFormats2RawAttrs,
    ("0.5", "image"): v05_image.ImageAttrs,
    ("0.5", "label"): v05_label.Label,
    ("0.5", "plate"): v05_hcs.HCSAttrs,
    ("0.5", "well"): v05_well.WellAttrs,
    ("0.5", "bf2raw"): v05_bf2raw.BioFormats2RawAttrs,
}
# Objections of ome-zarr-models to what the published cases of that version hold valid: doubts, not refusals.
_DOUBTS: Mapping[str, tuple[str, ...]] = {
    "0.4": ("does not match the dimensionality", "is not in list of rows", "is not in list of columns"),
    "0.5": ("is not in list of rows", "is not in list of columns"),
}


@dataclass(frozen=True)
class Verdict:
    """``valid`` if there are no errors; each message starts with the place it speaks of."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """True if every requirement is met."""
        return not self.errors


def validate_attributes(attributes: Mapping[str, Any], version: Version, schema: str) -> Verdict:
    """Judge the attributes of a group.

    Parameters
    ----------
    attributes
        0.4: the content of ``.zattrs``; 0.5: ``attributes`` of ``zarr.json``, with ``ome`` inside.
    version
        ``0.4`` or ``0.5``.
    schema
        ``image``, ``label``, ``plate``, ``well``, ``bf2raw`` or ``ome``; a ``strict_`` before and ``.schema`` behind
        it are understood and change nothing: recommendations are always judged, as warnings.

    Raises
    ------
    ValueError
        For a version or schema that is not known.
    """
    name = schema.removesuffix(".schema").removeprefix("strict_")
    if version not in VERSIONS or name not in SCHEMA_OF_KEY.values():
        raise ValueError(f"no schema {schema!r} for version {version!r}; versions are {VERSIONS}")
    data = json.loads(json.dumps(attributes))
    errors = list(_schema_findings(version, name, data))
    doubts: list[str] = []
    if not errors:
        objections, doubts = _model_findings(version, name, data)
        errors += objections
    if not errors:
        errors += _unsafe_paths(version, name, data)
        doubts += _hand_doubts(version, name, data)
    if not errors:
        doubts += _schema_findings(version, f"strict_{name}", data)
    return Verdict(tuple(errors), tuple(doubts))


def validate_group(attributes: Mapping[str, Any], version: Version) -> Verdict:
    """Judge attributes by every schema that their keys call for; an error if they call for none."""
    root = attributes.get("ome") if version == "0.5" else attributes
    names = [name for key, name in SCHEMA_OF_KEY.items() if isinstance(root, Mapping) and key in root]
    if not names:
        return Verdict(errors=(f"the attributes hold none of {', '.join(SCHEMA_OF_KEY)}: this is no OME-Zarr group",))
    verdicts = [validate_attributes(attributes, version, name) for name in names]
    return Verdict(
        tuple(message for verdict in verdicts for message in verdict.errors),
        tuple(message for verdict in verdicts for message in verdict.warnings),
    )


@lru_cache
def _registry() -> Registry[Any]:
    found = []
    for version in VERSIONS:
        for item in files("analyses.sdk").joinpath("schemas", version).iterdir():
            content = json.loads(item.read_text())
            found.append((content["$id"], Resource.from_contents(content, default_specification=DRAFT202012)))
    return Registry().with_resources(found)


@lru_cache
def _schema(version: str, name: str) -> Draft202012Validator | None:
    item = files("analyses.sdk").joinpath("schemas", version, f"{name}.json")
    if not item.is_file():
        return None
    return Draft202012Validator(json.loads(item.read_text()), registry=_registry())


def _schema_findings(version: str, name: str, data: Any) -> Iterator[str]:
    validator = _schema(version, name)
    if validator is not None:
        for error in validator.iter_errors(data):
            yield f"{error.json_path}: {error.message[:500]} ({name}.schema {version})"


def _model_findings(version: str, name: str, data: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Errors and doubts of ome-zarr-models."""
    model = _MODELS.get((version, name))
    if model is None:
        return [], []
    root = data["ome"] if version == "0.5" else data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objections = _objections(lambda: model.model_validate(root["image-label"] if name == "label" else root))
    doubtful = [o for o in objections if any(doubt in o for doubt in _DOUBTS[version])]
    notes = [f"{name}: {warning.message}" for warning in caught]
    return [o for o in objections if o not in doubtful], [*doubtful, *notes]


def _objections(judge: Callable[[], Any]) -> list[str]:
    try:
        judge()
    except ValidationError as error:
        return [f"$.{'.'.join(map(str, e['loc']))}: {e['msg']} (ome-zarr-models)" for e in error.errors()]
    except (TypeError, AttributeError, KeyError, IndexError) as error:
        return [f"$: {type(error).__name__} {error} (ome-zarr-models)"]
    return []


def _multiscales(version: str, name: str, data: dict[str, Any]) -> list[dict[str, Any]]:
    if name != "image":
        return []
    found: list[dict[str, Any]] = (data["ome"] if version == "0.5" else data)["multiscales"]
    return found


def _unsafe_paths(version: str, name: str, data: dict[str, Any]) -> Iterator[str]:
    for i, multiscale in enumerate(_multiscales(version, name, data)):
        for j, dataset in enumerate(multiscale["datasets"]):
            try:
                safe_key(dataset["path"])
            except StoreError as error:
                yield f"$.multiscales[{i}].datasets[{j}].path: {error}"


def _hand_doubts(version: str, name: str, data: dict[str, Any]) -> Iterator[str]:
    """What neither judge sees: scales that are no distance, a level listed twice."""
    for i, multiscale in enumerate(_multiscales(version, name, data)):
        paths = [dataset["path"] for dataset in multiscale["datasets"]]
        if len(set(paths)) != len(paths):
            yield f"$.multiscales[{i}].datasets: a path is listed twice: {paths}"
        for j, dataset in enumerate(multiscale["datasets"]):
            for transformation in dataset["coordinateTransformations"]:
                scale = transformation.get("scale", ())
                if not all(isinstance(s, int | float) and math.isfinite(s) and s > 0 for s in scale):
                    yield f"$.multiscales[{i}].datasets[{j}]: scale {scale} is not positive and finite; it is ignored"
