"""Transforms from the files of other programs: read, checked, and made like those that are typed."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from analyses.sdk.spatial import Matrix
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.projects.models import User
from apps.spatial.exchange.bigwarp import read_bigwarp
from apps.spatial.exchange.itk import DIRECTIONS, read_itk
from apps.spatial.fitting import FITTED_KINDS
from apps.spatial.geometry import clean_matrix
from apps.spatial.models import Frame, Transform
from apps.spatial.services.transforms import create_transform

FORMATS: Final = ("itk", "bigwarp")
UNITS_UM: Final = {"nm": 1e-3, "um": 1.0, "mm": 1e3, "m": 1e6}
_WORDS: Final = {"itk": "an ITK transform file", "bigwarp": "landmarks of BigWarp"}
_KINDS: Final = (Transform.Kind.TRANSLATION, Transform.Kind.RIGID, Transform.Kind.SIMILARITY, Transform.Kind.AFFINE)


def import_transform(
    *,
    actor: User,
    source: Frame,
    target: Frame,
    format: str,  # noqa: A002 - as the interface calls it
    file: str,
    unit: str = "",
    direction: str = "points",
    kind: str = "",
    no_residual_reason: str = "",
    reason: str = "",
) -> Transform:
    """Make a candidate from the text of another program's file.

    Parameters
    ----------
    actor : User
        A contributor of the frames' project.
    source, target : Frame
        What the file joins; in a file of BigWarp the source is what it calls moving.
    format : str
        ``itk`` (text form, linear, in space) or ``bigwarp`` (landmarks, CSV).
    file : str
        The text.
    unit : str
        Of its lengths: nm, um, mm or m.  ITK files have um by default, as they are written here; BigWarp writes the
        units of its images, which have to be said.
    direction : str
        Of an ITK file: ``points`` takes source to target, ``resampling`` an output point to the input, target to
        source.
    kind : str
        What the map may do: of an ITK file the least that it is by default; of landmarks it has to be said.
    no_residual_reason, reason : str
        As of :func:`create_transform`.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the frames, or may not contribute.
    InvalidValueError
        No such format, unit or direction; a file that is not what it should be; what a typed transform is refused for.
    """
    access.require(actor, access.Action.CONTRIBUTE, source)
    if format not in FORMATS:
        raise InvalidValueError(f"{shown(format)} is no format: {', '.join(FORMATS)}", field="format")
    scale = _scale(format, unit)
    digest = hashlib.sha256(file.encode()).hexdigest()
    said = f"read from {_WORDS[format]} in {unit or 'um'}, sha256 {digest}"
    why = f"{reason.strip()}; {said}" if reason.strip() else said
    if format == "itk":
        if direction not in DIRECTIONS:
            raise InvalidValueError(f"{shown(direction)} is no direction: {', '.join(DIRECTIONS)}", field="direction")
        matrix = read_itk(file, direction=direction, unit_um=scale)
        return create_transform(
            actor=actor,
            source=source,
            target=target,
            kind=kind or least_kind(matrix),
            method=Transform.Method.REGISTRATION,
            matrix=matrix.tolist(),
            no_residual_reason=no_residual_reason,
            reason=why,
        )
    if kind not in FITTED_KINDS:
        raise InvalidValueError(f"say what is to be fitted to the landmarks: {', '.join(FITTED_KINDS)}", field="kind")
    return create_transform(
        actor=actor,
        source=source,
        target=target,
        kind=kind,
        method=Transform.Method.LANDMARKS,
        landmarks=read_bigwarp(file, unit_um=scale),
        reason=why,
    )


def _scale(format_: str, unit: str) -> float:
    if not unit and format_ == "bigwarp":
        raise InvalidValueError(
            f"BigWarp writes lengths in the units of its images; say which: {', '.join(UNITS_UM)}", field="unit"
        )
    if unit and unit not in UNITS_UM:
        raise InvalidValueError(f"{shown(unit)} is no unit of length: {', '.join(UNITS_UM)}", field="unit")
    return UNITS_UM[unit or "um"]


def least_kind(matrix: Matrix) -> str:
    """Return the narrowest kind that a matrix is: reflection where it mirrors, else from translation to affine."""
    if np.linalg.det(matrix[:3, :3]) < 0.0:
        return str(Transform.Kind.REFLECTION)
    for kind in _KINDS:
        try:
            clean_matrix(matrix.tolist(), kind=kind)
        except InvalidValueError:
            continue
        return str(kind)
    return str(Transform.Kind.AFFINE)
