"""Affine matrices as napari's layers take them.

napari counts axes as the array does, (z, y, x) for a volume, and a layer's ``affine`` takes data coordinates (indices)
to world coordinates in that order.  Index 0 is the centre of a sample there as here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analyses.sdk.spatial import AXES_XYZ, Matrix, check_affine, index_to_physical


def napari_layer(
    name: str, matrix: Matrix, spacing_um: Mapping[str, float | None], axes: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """Return the keyword arguments of a napari layer that shows an image in another frame.

    Parameters
    ----------
    name : str
    matrix : ndarray, 4 x 4
        From the image's frame to the frame that is shown, um, points (x, y, z).
    spacing_um : mapping
        Sample distance along x, y, z.
    axes : sequence of str
        Of the array in its order; axes other than x, y, z (channels, time) stay as they are.
    sizes : mapping
        Samples along each axis.

    Returns
    -------
    dict
        ``name``, ``affine`` ((n + 1) x (n + 1) for n axes, in the array's order), ``axis_labels`` and ``units``.
    """
    shown = check_affine(matrix, allow_mirror=True) @ index_to_physical(spacing_um, sizes)
    count = len(axes)
    affine = np.eye(count + 1)
    places = {axis: axes.index(axis) for axis in AXES_XYZ if axis in axes}
    for row, into in places.items():
        for column, out in places.items():
            affine[into, out] = shown[AXES_XYZ.index(row), AXES_XYZ.index(column)]
        affine[into, count] = shown[AXES_XYZ.index(row), 3]
    units = ["um" if axis in AXES_XYZ else "pixel" for axis in axes]
    return {"name": name, "affine": affine.tolist(), "axis_labels": list(axes), "units": units}
