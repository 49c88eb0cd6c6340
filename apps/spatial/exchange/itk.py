"""ITK transform files in the text form (``.tfm``, ``.txt``), affine and less, in micrometres.

ITK names a transform by what it does to points.  To resample a *moving* image onto a *fixed* one it takes points of
the fixed (output) image to points of the moving (input) one: the inverse of what one tends to say of the images.  Of a
transform source -> target here, ``points`` writes the map of points as it is (``TransformPoint`` takes source to
target); ``resampling`` writes its inverse, the file that ``Resample(source image, onto target grid)`` needs.

ITK means LPS where it speaks of patients.  Specimens have no left: coordinates are written and read as they are, no
axis is flipped.  They are micrometres; a file in millimetres is read with ``unit_um=1000``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from analyses.sdk.spatial import AffineError, Matrix, check_affine, invert
from apps.spatial.exchange.errors import ExchangeError, number

Floats = npt.NDArray[np.float64]

HEADER: Final = "#Insight Transform File V1.0"
DIRECTIONS: Final = ("points", "resampling")
_MAX_LINES: Final = 1_000
_NAME: Final = re.compile(r"(\w+?)_(double|float)_3_3")


def write_itk(matrix: Matrix, *, direction: str = "points", comments: Sequence[str] = ()) -> str:
    """Return the text of a file with one ``AffineTransform_double_3_3``, centre at the origin.

    Parameters
    ----------
    matrix : ndarray, 4 x 4
        ``target = matrix @ source``, um.
    direction : str
        ``points`` or ``resampling``, see above.
    comments : sequence of str
        Lines that ITK passes over.
    """
    if direction not in DIRECTIONS:
        raise ExchangeError(f"{direction[:40]!r} is no direction: {', '.join(DIRECTIONS)}", field="direction")
    written = invert(matrix) if direction == "resampling" else check_affine(matrix, allow_mirror=True)
    numbers = " ".join(repr(float(value)) for value in [*written[:3, :3].ravel(), *written[:3, 3]])
    lines = [HEADER, *(f"# {' '.join(comment.split())}" for comment in comments), "#Transform 0"]
    return "\n".join([*lines, "Transform: AffineTransform_double_3_3", f"Parameters: {numbers}",
                      "FixedParameters: 0 0 0", ""])  # fmt: skip


def read_itk(text: str, *, direction: str = "points", unit_um: float = 1.0) -> Matrix:
    """Return the matrix source -> target of a text file with one linear transform in space.

    Parameters
    ----------
    text : str
        Affine, MatrixOffset, Translation, Euler3D, VersorRigid3D, Similarity3D or ScaleVersor-free forms of them.
    direction : str
        What the file does: ``points`` takes source to target, ``resampling`` target (fixed) to source (moving).
    unit_um : float
        Micrometres in one unit of the file.

    Raises
    ------
    ExchangeError
        Not such a file, several transforms, one that is not linear, or a matrix that has no inverse.
    """
    if direction not in DIRECTIONS:
        raise ExchangeError(f"{direction[:40]!r} is no direction: {', '.join(DIRECTIONS)}", field="direction")
    name, parameters, fixed = _entries(text)
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in _FORMS:
        raise ExchangeError(f"{name[:80]} is not read; read are {', '.join(_FORMS)} of 3 dimensions", field="file")
    count, form = _FORMS[match[1]]
    if len(parameters) != count:
        raise ExchangeError(f"{name} has {len(parameters)} parameters; it has {count}", field="file")
    if len(fixed) not in _FIXED.get(match[1], (0, 3)):
        wanted = " or ".join(str(length) for length in _FIXED.get(match[1], (0, 3)))
        raise ExchangeError(f"{name} has {len(fixed)} FixedParameters; it has {wanted}", field="file")
    linear, shift, centred = form(parameters) if len(fixed) < 4 or not fixed[3] else _euler_zyx(parameters)
    centre = np.array(fixed[:3]) if centred and fixed else np.zeros(3)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = (shift + centre - linear @ centre) * unit_um
    try:
        return invert(matrix) if direction == "resampling" else check_affine(matrix, allow_mirror=True)
    except AffineError as error:
        raise ExchangeError(str(error), field="file") from error


def _entries(text: str) -> tuple[str, list[float], list[float]]:
    lines = text.splitlines()
    if not lines or lines[0].strip() != HEADER or len(lines) > _MAX_LINES:
        raise ExchangeError(f"the file does not begin with {HEADER!r}; ITK's text form is read", field="file")
    found: dict[str, str] = {}
    for count, line in enumerate(lines[1:], 2):
        if not line.strip() or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if not colon:
            raise ExchangeError(f"line {count} is not `Key: value`", field="file")
        if key.strip() in found:
            raise ExchangeError("the file has several transforms; compose them, and give one", field="file")
        found[key.strip()] = value.strip()
    for key in ("Transform", "Parameters"):
        if key not in found:
            raise ExchangeError(f"the file has no line {key}:", field="file")
    numbers = [[number(part, key) for part in found.get(key, "").split()] for key in ("Parameters", "FixedParameters")]
    return found["Transform"], numbers[0], numbers[1]


# ------------------------------------------------------------------------------------- (linear part, shift, is centred)

_Parts = tuple[Floats, Floats, bool]


def _affine(values: list[float]) -> _Parts:
    return np.array(values[:9]).reshape(3, 3), np.array(values[9:]), True


def _translation(values: list[float]) -> _Parts:
    return np.eye(3), np.array(values), False


def _euler(values: list[float]) -> _Parts:
    """ITK's Euler3DTransform applies Z X Y by default: ``Rz Rx Ry``."""
    x, y, z = _turns(values)
    return (z * x * y).as_matrix(), np.array(values[3:]), True


def _euler_zyx(values: list[float]) -> _Parts:
    """Where the fourth fixed parameter, ``ComputeZYX``, is set: ``Rz Ry Rx``."""
    x, y, z = _turns(values)
    return (z * y * x).as_matrix(), np.array(values[3:]), True


def _turns(values: list[float]) -> list[Rotation]:
    return [Rotation.from_euler(axis, angle) for axis, angle in zip("xyz", values[:3], strict=True)]


def _versor(values: list[float]) -> _Parts:
    vector = np.array(values[:3])
    squared = float(vector @ vector)
    if squared > 1.0 + 1e-9:
        raise ExchangeError(f"a versor's vector part has length {squared**0.5:.6g}; it is at most 1", field="file")
    scalar = np.sqrt(max(0.0, 1.0 - squared))
    return Rotation.from_quat([*vector, scalar]).as_matrix(), np.array(values[3:6]), True


def _similarity(values: list[float]) -> _Parts:
    linear, shift, centred = _versor(values)
    return linear * values[6], shift, centred


_FORMS: Final[dict[str, tuple[int, Callable[[list[float]], _Parts]]]] = {
    "AffineTransform": (12, _affine),
    "MatrixOffsetTransformBase": (12, _affine),
    "TranslationTransform": (3, _translation),
    "Euler3DTransform": (6, _euler),
    "VersorRigid3DTransform": (6, _versor),
    "Similarity3DTransform": (7, _similarity),
}
# How many fixed parameters a file may have: the centre, which older files leave out, or what is said here.
_FIXED: Final[dict[str, tuple[int, ...]]] = {"TranslationTransform": (0,), "Euler3DTransform": (0, 3, 4)}
