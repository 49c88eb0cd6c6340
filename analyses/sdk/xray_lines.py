"""Energies of characteristic X-ray lines, and the width at which an energy-dispersive detector sees them.

Energies are those of the X-Ray Data Booklet (Lawrence Berkeley National Laboratory, LBNL/PUB-490 Rev. 3, 2009, tables
1-2 and 1-3), which takes them from J. A. Bearden, "X-Ray Wavelengths", Rev. Mod. Phys. 39, 78 (1967).  ``Ka``, ``Kb``,
``La`` and ``Ma`` are the strongest line of the family (K alpha 1, K beta 1, L alpha 1, M alpha 1): lines that such a
detector does not tell apart share one window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SOURCE = "X-Ray Data Booklet, LBNL/PUB-490 Rev. 3 (2009), tables 1-2 and 1-3, after Bearden (1967)"
MN_KA_KEV = 5.89875
ASSUMED_FWHM_EV = 130.0  # at Mn K alpha; what silicon drift detectors of the last decade state
# Variance of the charge per energy in silicon, times 8 ln 2, in eV^2 of squared full width per eV: C. E. Fiori and
# D. E. Newbury, Scanning Electron Microscopy 1978/I, 401.
_SPREAD_EV = 2.5

# Energies in eV.
_KA = {
    "Be": 108.5, "B": 183.3, "C": 277.0, "N": 392.4, "O": 524.9, "F": 676.8, "Ne": 848.6, "Na": 1040.98, "Mg": 1253.60,
    "Al": 1486.70, "Si": 1739.98, "P": 2013.7, "S": 2307.84, "Cl": 2622.39, "Ar": 2957.70, "K": 3313.8, "Ca": 3691.68,
    "Sc": 4090.6, "Ti": 4510.84, "V": 4952.20, "Cr": 5414.72, "Mn": 5898.75, "Fe": 6403.84, "Co": 6930.32,
    "Ni": 7478.15, "Cu": 8047.78, "Zn": 8638.86, "Ga": 9251.74, "Ge": 9886.42, "As": 10543.72, "Se": 11222.4,
    "Br": 11924.2, "Kr": 12649.0, "Rb": 13395.3, "Sr": 14165.0, "Y": 14958.4, "Zr": 15775.1, "Nb": 16615.1,
    "Mo": 17479.34, "Tc": 18367.1, "Ru": 19279.2, "Rh": 20216.1, "Pd": 21177.1, "Ag": 22162.92, "Cd": 23173.6,
    "In": 24209.7, "Sn": 25271.3, "Sb": 26359.1, "Te": 27472.3, "I": 28612.0,
}  # fmt: skip
_KB = {
    "Na": 1071.1, "Mg": 1302.2, "Al": 1557.45, "Si": 1835.94, "P": 2139.1, "S": 2464.04, "Cl": 2815.6, "Ar": 3190.5,
    "K": 3589.6, "Ca": 4012.7, "Sc": 4460.5, "Ti": 4931.81, "V": 5427.29, "Cr": 5946.71, "Mn": 6490.45, "Fe": 7057.98,
    "Co": 7649.43, "Ni": 8264.66, "Cu": 8905.29, "Zn": 9572.0, "Ga": 10264.2, "Ge": 10982.1, "As": 11726.2,
    "Se": 12495.9, "Br": 13291.4, "Zr": 17667.8, "Nb": 18622.5, "Mo": 19608.3, "Ag": 24942.4,
}  # fmt: skip
_LA = {
    "Sc": 395.4, "Ti": 452.2, "V": 511.3, "Cr": 572.8, "Mn": 637.4, "Fe": 705.0, "Co": 776.2, "Ni": 851.5, "Cu": 929.7,
    "Zn": 1011.7, "Ga": 1097.92, "Ge": 1188.00, "As": 1282.0, "Se": 1379.10, "Br": 1480.43, "Kr": 1586.0, "Rb": 1694.13,
    "Sr": 1806.56, "Y": 1922.56, "Zr": 2042.36, "Nb": 2165.89, "Mo": 2293.16, "Tc": 2424.0, "Ru": 2558.55,
    "Rh": 2696.74, "Pd": 2838.61, "Ag": 2984.31, "Cd": 3133.73, "In": 3286.94, "Sn": 3443.98, "Sb": 3604.72,
    "Te": 3769.33, "I": 3937.65, "Xe": 4109.9, "Cs": 4286.5, "Ba": 4466.26, "La": 4650.97, "Ce": 4840.2, "Pr": 5033.7,
    "Nd": 5230.4, "Pm": 5432.5, "Sm": 5636.1, "Eu": 5845.7, "Gd": 6057.2, "Tb": 6272.8, "Dy": 6495.2, "Ho": 6719.8,
    "Er": 6948.7, "Tm": 7179.9, "Yb": 7415.6, "Lu": 7655.5, "Hf": 7899.0, "Ta": 8146.1, "W": 8397.6, "Re": 8652.5,
    "Os": 8911.7, "Ir": 9175.1, "Pt": 9442.3, "Au": 9713.3, "Hg": 9988.8, "Tl": 10268.5, "Pb": 10551.5, "Bi": 10838.8,
    "Th": 12968.7, "U": 13614.7,
}  # fmt: skip
_MA = {
    "La": 833.0, "Ce": 883.0, "Pr": 929.2, "Nd": 978.0, "Sm": 1081.0, "Eu": 1131.0, "Gd": 1185.0, "Tb": 1240.0,
    "Dy": 1293.0, "Ho": 1348.0, "Er": 1406.0, "Tm": 1462.0, "Yb": 1521.4, "Lu": 1581.3, "Hf": 1644.6, "Ta": 1709.6,
    "W": 1775.4, "Re": 1842.5, "Os": 1910.2, "Ir": 1979.9, "Pt": 2050.5, "Au": 2122.9, "Hg": 2195.3, "Tl": 2270.6,
    "Pb": 2345.5, "Bi": 2422.6, "Th": 2996.1, "U": 3170.8,
}  # fmt: skip
_FAMILIES = {"Ka": _KA, "Kb": _KB, "La": _LA, "Ma": _MA}


@dataclass(frozen=True)
class Line:
    """A line by its name, such as ``Fe_Ka``, with its energy in keV."""

    name: str
    energy_kev: float


def find_line(name: str) -> Line:
    """The line of a name made of an element and a family, ``Fe_Ka``.

    Raises
    ------
    ValueError
        No such name; says which families the element has.
    """
    element, _, family = name.partition("_")
    found = _FAMILIES.get(family, {}).get(element)
    if found is None:
        there = [f"{element}_{known}" for known, table in _FAMILIES.items() if element in table]
        instead = f"{element} has {', '.join(there)}" if there else "write element and family, as in Fe_Ka"
        raise ValueError(f"no line {name[:40]!r} is tabulated; {instead}")
    return Line(name, found / 1000.0)


def all_lines() -> tuple[Line, ...]:
    """All tabulated lines, by energy."""
    lines = [Line(f"{el}_{family}", ev / 1000.0) for family, table in _FAMILIES.items() for el, ev in table.items()]
    return tuple(sorted(lines, key=lambda line: line.energy_kev))


def fwhm_kev(energy_kev: float, fwhm_mn_ka_ev: float = ASSUMED_FWHM_EV) -> float:
    """Full width at half maximum of a line as an energy-dispersive detector of silicon sees it, in keV.

    Parameters
    ----------
    energy_kev
        Energy of the line.
    fwhm_mn_ka_ev
        Resolution of the detector at Mn K alpha in eV, as its maker states it.

    Returns
    -------
    float
        ``sqrt(R^2 + 2.5 eV (E - E_Mn))`` after Fiori and Newbury (1978); not below a fifth of R, which the formula
        would undercut for a detector better than silicon can be.
    """
    squared = fwhm_mn_ka_ev**2 + _SPREAD_EV * (energy_kev - MN_KA_KEV) * 1000.0
    return math.sqrt(max(squared, (fwhm_mn_ka_ev / 5.0) ** 2)) / 1000.0
