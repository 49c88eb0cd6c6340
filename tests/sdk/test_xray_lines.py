"""Energies of lines: against the published table, against Moseley's law, and the width a detector gives them."""

from __future__ import annotations

import math

import pytest

from analyses.sdk.xray_lines import all_lines, find_line, fwhm_kev

SYMBOLS = (  # noqa: SIM905  a table is read in rows
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U"
).split()


@pytest.mark.parametrize(
    ("name", "kev"),
    [
        ("C_Ka", 0.277), ("O_Ka", 0.5249), ("Al_Ka", 1.4867), ("Si_Ka", 1.7400), ("Ti_Ka", 4.5108), ("Mn_Ka", 5.8988),
        ("Fe_Ka", 6.4038), ("Fe_Kb", 7.0580), ("Fe_La", 0.7050), ("Cu_Ka", 8.0478), ("Cu_La", 0.9297),
        ("Mo_Ka", 17.4793), ("Mo_La", 2.2932), ("Ag_La", 2.9843), ("Ba_La", 4.4663), ("W_La", 8.3976), ("W_Ma", 1.7754),
        ("Au_La", 9.7133), ("Au_Ma", 2.1229), ("Pb_Ma", 2.3455), ("U_La", 13.6147),
    ],
)  # fmt: skip
def test_energies_are_those_of_the_x_ray_data_booklet(name: str, kev: float) -> None:
    assert find_line(name).energy_kev == pytest.approx(kev, abs=6e-5)


@pytest.mark.parametrize(("family", "tolerance"), [("Ka", 0.004), ("Kb", 0.012), ("La", 0.008), ("Ma", 0.010)])
def test_every_energy_lies_between_its_neighbours_as_moseley_has_it(family: str, tolerance: float) -> None:
    """The root of the energy runs straight with the atomic number: a slip of a digit stands out."""
    roots = {
        SYMBOLS.index(line.name.split("_")[0]) + 1: math.sqrt(line.energy_kev)
        for line in all_lines()
        if line.name.endswith(f"_{family}")
    }
    for number, root in roots.items():
        if number > 10 and {number - 1, number + 1} <= set(roots):
            assert root == pytest.approx((roots[number - 1] + roots[number + 1]) / 2, rel=tolerance), number


def test_an_unknown_line_names_those_of_its_element() -> None:
    with pytest.raises(ValueError, match="Fe has Fe_Ka, Fe_Kb, Fe_La"):
        find_line("Fe_Ma")
    for wrong in ("", "Fe", "fe_Ka", "Fe_Ka_1", "Zz_Ka"):
        with pytest.raises(ValueError, match="no line"):
            find_line(wrong)


def test_width_is_the_detectors_at_manganese_and_falls_with_the_energy() -> None:
    assert fwhm_kev(5.89875, 130.0) == pytest.approx(0.130)
    assert fwhm_kev(0.277, 130.0) == pytest.approx(math.sqrt(130.0**2 - 2.5 * 5621.75) / 1000)
    assert fwhm_kev(0.1, 60.0) == pytest.approx(0.012), "a detector better than silicon can be gets no imaginary width"
    widths = [fwhm_kev(line.energy_kev) for line in all_lines()]
    assert widths == sorted(widths)
