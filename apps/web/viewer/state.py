"""The state that neuroglancer is given, made from plain values: no request, no row, no file.

Conventions, each held by a browser test (tests/e2e/test_viewer.py):

- Dimensions are x, y, z of one frame, in one unit: ``View.unit_um`` micrometres, or one sample where there is no scale.
- neuroglancer computes positions in single precision, 24 bits: 5 nm samples 50 mm from the origin would be 4 nm apart.
  Everything it is given is therefore measured from ``View.origin_um``, a point in the middle of the finest image; who
  shows a coordinate adds the origin again in double precision.
- Our image frames have their origin in the centre of sample 0.  So has OME-Zarr, and neuroglancer's zarr driver moves
  every level by half of its sample, so that the coordinate 0 of the source is a centre: no half sample appears here.
- A layer's matrix maps physical lengths to physical lengths: rows and columns in the order of the source's axes, the
  linear part without dimension, the last column in the units of ``outputDimensions``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.web.viewer.client import DRAFT, ELSEWHERE, REGIONS

Matrix = npt.NDArray[np.float64]
_XYZ: Final = "xyz"
_UM: Final = 1e-6  # metres
# neuroglancer keeps one local coordinate a layer along dimensions that end so.
_LOCAL: Final = "'"
# Okabe and Ito, as the planes on the image page (present/slices.py).
_PALETTE: Final = (
    (0, 158, 115), (230, 159, 0), (86, 180, 233), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
REGION_COLOUR: Final = "#ffd43b"
ELSEWHERE_COLOUR: Final = "#7fdbff"
DRAFT_COLOUR: Final = "#ff5fa2"


@dataclass(frozen=True)
class Layer:
    """One image in the viewed frame.

    Attributes
    ----------
    name : str
        Key of the layer in the client.
    path : str
        Address of the store below the site, with a slash at the end.
    axes : tuple of str
        In the order of the array, from t, c, z, y, x.
    sizes : mapping
        Samples along each axis.
    spacing_um : mapping
        Along x, y and z; empty where the layer is drawn in samples.
    matrix : ndarray, 4 x 4
        From the image's frame to the viewed one, micrometres, (x, y, z); in samples where there is no scale.
    dtype : str
        numpy name.
    labels : bool
        Coloured by value instead of grey.
    window : tuple of float
        Values drawn black and white.
    limits : tuple of float
        Lowest and highest value there is.
    colour : str
        What white becomes, ``#rrggbb``.
    opacity : float
        0 to 1.
    visible : bool
        Drawn at first.
    local : tuple of int
        Channel or time shown, for each axis of ``axes`` that is not spatial.
    """

    name: str
    path: str
    axes: tuple[str, ...]
    sizes: Mapping[str, int]
    spacing_um: Mapping[str, float]
    matrix: Matrix
    dtype: str
    labels: bool = False
    window: tuple[float, float] = (0.0, 1.0)
    limits: tuple[float, float] = (0.0, 1.0)
    colour: str = "#ffffff"
    opacity: float = 1.0
    visible: bool = True
    local: tuple[int, ...] = ()

    def step(self, axis: str) -> float:
        """Distance of samples along a spatial axis in the units of the matrix."""
        return self.spacing_um.get(axis, 1.0)

    def centre(self) -> Matrix:
        """The middle sample's centre in the viewed frame, (x, y, z)."""
        middle = [self.step(axis) * (self.sizes.get(axis, 1) // 2) for axis in _XYZ]
        return self.matrix[:3, :3] @ np.array(middle) + self.matrix[:3, 3]

    def corners(self) -> Matrix:
        """The eight outer corners of the samples in the viewed frame, (8, 3)."""
        ends = [[-0.5 * self.step(a), (self.sizes.get(a, 1) - 0.5) * self.step(a)] for a in _XYZ]
        box = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        return box @ self.matrix[:3, :3].T + self.matrix[:3, 3]


@dataclass(frozen=True)
class View:
    """What is common to the layers.

    Attributes
    ----------
    origin_um : tuple of float
        Point of the viewed frame that the client takes as 0; (0, 0, 0) in samples.
    unit_um : float or None
        Length of the client's unit; None where it is one sample.
    position_um : tuple of float
        Point of the viewed frame in the middle of the picture.
    annotations : tuple of mapping
        As :func:`apps.web.viewer.regions.annotation` makes them.
    elsewhere : tuple of mapping
        Of regions of other frames, as :func:`apps.web.viewer.elsewhere.annotation` makes them.
    """

    origin_um: tuple[float, float, float]
    unit_um: float | None
    position_um: tuple[float, float, float]
    annotations: tuple[Mapping[str, Any], ...] = field(default=())
    elsewhere: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def dimension(self) -> list[Any]:
        """Unit of x, y and z as the client takes it."""
        return [1, ""] if self.unit_um is None else [self.unit_um * _UM, "m"]

    def local(self, point_um: Sequence[float]) -> list[float]:
        """A point of the viewed frame in the client's coordinates."""
        unit = self.unit_um or 1.0
        return [float((value - zero) / unit) for value, zero in zip(point_um, self.origin_um, strict=True)]


def view_of(layers: Sequence[Layer], annotations: Sequence[Mapping[str, Any]] = ()) -> View:
    """Return the view that the layers ask for: centred on the first, its origin in the finest, its unit the first's."""
    first = layers[0]
    middle = _point(first.centre())
    if not first.spacing_um:
        return View((0.0, 0.0, 0.0), None, middle, tuple(annotations))
    finest = min(layers, key=_finest_step)
    return View(_point(finest.centre()), _finest_step(first), middle, tuple(annotations))


def state_of(layers: Sequence[Layer], view: View) -> dict[str, Any]:
    """Return the client's state: JSON only.

    Parameters
    ----------
    layers : sequence of Layer
        Lowest first; later ones are drawn over them.
    view : View
        What they share.
    """
    return {
        "dimensions": dict.fromkeys(_XYZ, view.dimension),
        "position": view.local(view.position_um),
        "layers": [_layer(layer, view) for layer in layers]
        + [
            _drawing(ELSEWHERE, ELSEWHERE_COLOUR, view, view.elsewhere),
            _drawing(REGIONS, REGION_COLOUR, view, view.annotations),
            _drawing(DRAFT, DRAFT_COLOUR, view, ()),
        ],
        "layout": "xy",
        "showAxisLines": False,
        "showScaleBar": True,
        "showDefaultAnnotations": False,
        "crossSectionBackgroundColor": "#000000",
        "selectedLayer": {"visible": False},
    }


def _finest_step(layer: Layer) -> float:
    long = [axis for axis in _XYZ if layer.sizes.get(axis, 1) > 1] or ["x"]
    scale = np.linalg.norm(layer.matrix[:3, :3], axis=0)
    return float(min(layer.step(axis) * scale[_XYZ.index(axis)] for axis in long))


def _point(values: Matrix) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _layer(layer: Layer, view: View) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "image",
        "name": layer.name,
        "source": {
            "url": f"{layer.path}|zarr3:",  # the browser puts the site's origin before it
            "transform": _transform(layer, view),
            "subsources": {"default": True, "bounds": False},
            "enableDefaultSubsources": False,
        },
        "shader": _labels_shader(layer.dtype) if layer.labels else _GREY_SHADER,
        "opacity": layer.opacity,
        "visible": layer.visible,
        "blend": "default",
    }
    if not layer.labels:
        made["shaderControls"] = {
            "grey": {"range": list(layer.window), "window": list(layer.limits)},
            "colour": layer.colour,
        }
    if layer.local:
        made["localPosition"] = [float(index) for index in layer.local]
    return made


def _transform(layer: Layer, view: View) -> dict[str, Any]:
    """The map of a source: its own lengths, then the composed matrix, measured from the view's origin."""
    names = [axis if axis in _XYZ else axis + _LOCAL for axis in layer.axes]
    unit = [1, ""] if view.unit_um is None else None
    sources = {
        name: (unit or [layer.step(name) * _UM, "m"]) if name in _XYZ else [1, ""] for name in _source_names(layer.axes)
    }
    targets = {name: (unit or [_UM, "m"]) if name in _XYZ else [1, ""] for name in names}
    rows = np.eye(len(names), len(names) + 1)
    spatial = [names.index(axis) for axis in _XYZ]
    rows[np.ix_(spatial, spatial)] = layer.matrix[:3, :3]
    rows[spatial, -1] = layer.matrix[:3, 3] - np.array(view.origin_um)
    return {"inputDimensions": sources, "outputDimensions": targets, "matrix": rows.tolist()}


def _source_names(axes: Sequence[str]) -> list[str]:
    """Names as the zarr driver gives them: a channel axis is local, a time axis is not."""
    return [axis + _LOCAL if axis == "c" else axis for axis in axes]


def _drawing(name: str, colour: str, view: View, annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "type": "annotation",
        "name": name,
        "source": {
            "url": "local://annotations",
            "transform": {"outputDimensions": dict.fromkeys(_XYZ, view.dimension)},
        },
        "annotationColor": colour,
        "annotations": [dict(annotation) for annotation in annotations],
    }


_GREY_SHADER: Final = """#uicontrol invlerp grey
#uicontrol vec3 colour color(default="#ffffff")
void main() { emitRGB(colour * grey()); }
"""


def _labels_shader(dtype: str) -> str:
    value = "getDataValue().value.x" if dtype.endswith("int64") else "uint(toRaw(getDataValue()))"
    cases = "".join(
        f"  if (place == {number}u) {{ emitRGB(vec3({', '.join(f'{part / 255:.4f}' for part in colour)})); return; }}\n"
        for number, colour in enumerate(_PALETTE)
    )
    return (
        f"void main() {{\n  uint value = {value};\n  if (value == 0u) {{ emitTransparent(); return; }}\n"
        f"  uint place = value % {len(_PALETTE)}u;\n{cases}}}\n"
    )
