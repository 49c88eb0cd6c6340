"""Units by their UCUM codes (case sensitive): parsed from a table, compared by dimension, converted.

Source: The Unified Code for Units of Measure, https://ucum.org/ucum (grammar in section 2, tables in section 4); values
of the 2019 SI.  Only the atoms of the table below are known; annotations in braces (``{fibres}``) are accepted and
mean 1, as UCUM says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from apps.core.errors import InvalidValueError
from apps.core.quote import shown

Dimension = tuple[int, int, int, int, int, int, int]  # metre, kilogram, second, ampere, kelvin, mole, candela

MAX_CODE_LENGTH: Final = 32
_MAX_EXPONENT: Final = 12

_PREFIXES: Final = {
    "Y": 1e24, "Z": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "da": 1e1,
    "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18, "z": 1e-21, "y": 1e-24,
}  # fmt: skip

_ONE: Final[Dimension] = (0, 0, 0, 0, 0, 0, 0)
_EV: Final = 1.602176634e-19

# atom -> (value in SI base units, dimension); these take prefixes
_METRIC: Final[dict[str, tuple[float, Dimension]]] = {
    "m": (1.0, (1, 0, 0, 0, 0, 0, 0)),
    "g": (1e-3, (0, 1, 0, 0, 0, 0, 0)),
    "s": (1.0, (0, 0, 1, 0, 0, 0, 0)),
    "A": (1.0, (0, 0, 0, 1, 0, 0, 0)),
    "K": (1.0, (0, 0, 0, 0, 1, 0, 0)),
    "mol": (1.0, (0, 0, 0, 0, 0, 1, 0)),
    "cd": (1.0, (0, 0, 0, 0, 0, 0, 1)),
    "rad": (1.0, _ONE),
    "sr": (1.0, _ONE),
    "Hz": (1.0, (0, 0, -1, 0, 0, 0, 0)),
    "Bq": (1.0, (0, 0, -1, 0, 0, 0, 0)),
    "N": (1.0, (1, 1, -2, 0, 0, 0, 0)),
    "Pa": (1.0, (-1, 1, -2, 0, 0, 0, 0)),
    "bar": (1e5, (-1, 1, -2, 0, 0, 0, 0)),
    "J": (1.0, (2, 1, -2, 0, 0, 0, 0)),
    "eV": (_EV, (2, 1, -2, 0, 0, 0, 0)),
    "W": (1.0, (2, 1, -3, 0, 0, 0, 0)),
    "C": (1.0, (0, 0, 1, 1, 0, 0, 0)),
    "V": (1.0, (2, 1, -3, -1, 0, 0, 0)),
    "Ohm": (1.0, (2, 1, -3, -2, 0, 0, 0)),
    "S": (1.0, (-2, -1, 3, 2, 0, 0, 0)),
    "F": (1.0, (-2, -1, 4, 2, 0, 0, 0)),
    "H": (1.0, (2, 1, -2, -2, 0, 0, 0)),
    "Wb": (1.0, (2, 1, -2, -1, 0, 0, 0)),
    "T": (1.0, (0, 1, -2, -1, 0, 0, 0)),
    "Gy": (1.0, (2, 0, -2, 0, 0, 0, 0)),
    "L": (1e-3, (3, 0, 0, 0, 0, 0, 0)),
    "l": (1e-3, (3, 0, 0, 0, 0, 0, 0)),
    "t": (1e3, (0, 1, 0, 0, 0, 0, 0)),
    "u": (1.66053906660e-27, (0, 1, 0, 0, 0, 0, 0)),
}

# these take none
_PLAIN: Final[dict[str, tuple[float, Dimension]]] = {
    "%": (1e-2, _ONE),
    "[ppth]": (1e-3, _ONE),
    "[ppm]": (1e-6, _ONE),
    "[ppb]": (1e-9, _ONE),
    "deg": (math.pi / 180.0, _ONE),
    "'": (math.pi / 10800.0, _ONE),
    "''": (math.pi / 648000.0, _ONE),
    "min": (60.0, (0, 0, 1, 0, 0, 0, 0)),
    "h": (3600.0, (0, 0, 1, 0, 0, 0, 0)),
    "d": (86400.0, (0, 0, 1, 0, 0, 0, 0)),
    "wk": (604800.0, (0, 0, 1, 0, 0, 0, 0)),
    "a": (31557600.0, (0, 0, 1, 0, 0, 0, 0)),
    "Ao": (1e-10, (1, 0, 0, 0, 0, 0, 0)),
    "atm": (101325.0, (-1, 1, -2, 0, 0, 0, 0)),
}

# special units: a zero of their own (Cel) or a logarithm (pH); they stand alone
_SPECIAL: Final[dict[str, tuple[float, Dimension]]] = {
    "Cel": (1.0, (0, 0, 0, 0, 1, 0, 0)),
    "[pH]": (1.0, _ONE),
}

_USUAL_SLIPS: Final = MappingProxyType(
    {
        "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um", "Å": "Ao",
        "angstrom": "Ao", "degC": "Cel", "°C": "Cel", "C°": "Cel", "celsius": "Cel", "°": "deg", "degree": "deg",
        "degrees": "deg", "sec": "s", "seconds": "s", "minutes": "min", "hour": "h", "hours": "h", "hr": "h",
        "day": "d", "days": "d", "M": "mol/L", "mM": "mmol/L", "ohm": "Ohm", "Ω": "Ohm", "W/mK": "W/(m.K)",
        "W/(m*K)": "W/(m.K)", "W/(mK)": "W/(m.K)", "g/cm^3": "g/cm3", "g/cc": "g/cm3", "percent": "%", "pixel": "1",
        "ppm": "[ppm]", "ppb": "[ppb]", "pH": "[pH]", "kv": "kV", "KV": "kV",
    }
)  # fmt: skip

# quantities whose unit is known by its dimension; others may be named and take any unit
_QUANTITY_UNITS: Final = {
    "thermal_conductivity": "W/(m.K)",
    "electrical_conductivity": "S/m",
    "electrical_resistivity": "Ohm.m",
    "density": "kg/m3",
    "specific_heat": "J/(kg.K)",
    "specific_heat_capacity": "J/(kg.K)",
    "thermal_diffusivity": "m2/s",
    "diffusivity": "m2/s",
    "diffusion_coefficient": "m2/s",
    "permeability": "m2",
    "young_modulus": "Pa",
    "shear_modulus": "Pa",
    "bulk_modulus": "Pa",
    "yield_strength": "Pa",
    "tensile_strength": "Pa",
    "poisson_ratio": "1",
    "porosity": "1",
    "volume_fraction": "1",
    "mass_fraction": "1",
    "thermal_expansion": "1/K",
    "relative_permittivity": "1",
    "refractive_index": "1",
    "molar_mass": "kg/mol",
    "melting_temperature": "K",
    "glass_transition_temperature": "K",
}

_TOKEN: Final = re.compile(
    r"(?P<operator>[./()])|(?P<factor>10\*[+-]?\d+|10\^[+-]?\d+|\d+)|(?P<term>[^./()\s]+)", re.ASCII
)
_TERM: Final = re.compile(
    r"(?P<atom>(?:\[[^\]]*\]|[^\d+\-{}\[\]])+)(?P<exponent>[+-]?\d+)?(?:\{[\x21-\x7e]*\})?$", re.ASCII
)
_ANNOTATION: Final = re.compile(r"\{[\x21-\x7a\x7c\x7e]*\}$")


@dataclass(frozen=True)
class Unit:
    """A parsed unit.

    Attributes
    ----------
    code : str
        UCUM code as given.
    factor : float
        Value of one such unit in SI base units (metre, kilogram, second, ampere, kelvin, mole, candela).
    dimension : tuple of int, shape (7,)
        Exponents of these base units.
    special : str
        Name of the special unit whose values do not scale (``Cel``, ``[pH]``), empty for all others.
    """

    code: str
    factor: float
    dimension: Dimension
    special: str = ""


class _Parser:
    """Recursive descent over ``component ("." | "/") component ...`` of UCUM section 2.2."""

    def __init__(self, code: str) -> None:
        self.tokens = _tokens(code)
        self.position = 0

    def parse(self) -> tuple[float, Dimension]:
        value = self._chain()
        if self._peek() is not None:
            raise ValueError(f"{self._peek()!r} does not belong there")
        return value

    def _peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def _chain(self) -> tuple[float, Dimension]:
        value: tuple[float, Dimension] = (1.0, _ONE)
        if self._peek() != "/":
            value = self._component()
        while (operator := self._peek()) in (".", "/"):
            self.position += 1
            value = _times(value, self._component(), -1 if operator == "/" else 1)
        return value

    def _component(self) -> tuple[float, Dimension]:
        piece = self._peek()
        if piece is None:
            raise ValueError("something is missing at its end")
        self.position += 1
        if piece == "(":
            value = self._chain()
            if self._peek() != ")":
                raise ValueError("a closing bracket is missing")
            self.position += 1
            return value
        if piece in ("/", ".", ")"):
            raise ValueError(f"{piece!r} does not belong there")
        return _term(piece)


def _tokens(code: str) -> list[str]:
    tokens, position = [], 0
    while position < len(code):
        match = _TOKEN.match(code, position)
        if match is None:
            raise ValueError(f"{code[position]!r} does not belong in a unit")
        text = match.group()
        tail = re.match(r"[^./()\s]+", code[match.end() :]) if match.group("factor") else None
        if tail is not None:  # a factor ends at an operator, else it was the head of something else
            raise ValueError(f"{text + tail.group()!r} is no unit")
        tokens.append(text)
        position = match.end()
    return tokens


def _times(a: tuple[float, Dimension], b: tuple[float, Dimension], power: int) -> tuple[float, Dimension]:
    dimension = tuple(x + power * y for x, y in zip(a[1], b[1], strict=True))
    return a[0] * b[0] ** power, dimension  # type: ignore[return-value]


def _term(token: str) -> tuple[float, Dimension]:
    if token.startswith(("10*", "10^")):
        return 10.0 ** _exponent(token[3:]), _ONE
    if token.isascii() and token.isdigit():
        if int(token) == 0:
            raise ValueError("0 is no unit")
        return float(token), _ONE
    if _ANNOTATION.match(token):
        return 1.0, _ONE
    match = _TERM.match(token)
    if match is None:
        raise ValueError(f"{token!r} is no unit")
    factor, dimension = _atom(match.group("atom"))
    return _times((1.0, _ONE), (factor, dimension), _exponent(match.group("exponent") or "1"))


def _exponent(text: str) -> int:
    value = int(text)
    if value == 0 or abs(value) > 10 * _MAX_EXPONENT:
        raise ValueError(f"{text} is not an exponent that makes sense")
    return value


def _atom(name: str) -> tuple[float, Dimension]:
    found = _METRIC.get(name) or _PLAIN.get(name)
    if found is not None:
        return found
    if name in _SPECIAL:
        raise ValueError(f"{name} has a zero or scale of its own and stands alone")
    for prefix, scale in _PREFIXES.items():
        rest = _METRIC.get(name[len(prefix) :]) if name.startswith(prefix) else None
        if rest is not None:
            return scale * rest[0], rest[1]
    raise ValueError(f"{name!r} is no unit that is known here")


@lru_cache(maxsize=1024)
def _parse(code: str) -> Unit:
    if code in _SPECIAL:
        factor, dimension = _SPECIAL[code]
        return Unit(code, factor, dimension, special=code)
    factor, dimension = _Parser(code).parse()
    if not (math.isfinite(factor) and factor > 0) or any(abs(power) > _MAX_EXPONENT for power in dimension):
        raise ValueError("it is beyond any measure")
    return Unit(code, factor, dimension)


def parse_unit(code: object, *, field: str = "unit") -> Unit:
    """Parse a UCUM code.

    Parameters
    ----------
    code : object
        The code, e.g. ``um``, ``W/(m.K)``, ``g/cm3``, ``1``, ``%``.
    field : str
        Name of the request field, for the refusal.

    Returns
    -------
    Unit
        Code, factor to SI and dimension.

    Raises
    ------
    InvalidValueError
        Not a string, not a UCUM code, or an atom that is not in the table; a usual slip (``µm``, ``degC``) is answered
        with the code that was probably meant.
    """
    if not isinstance(code, str) or not code or len(code) > MAX_CODE_LENGTH:
        raise InvalidValueError(
            f"{shown(code)} is not a UCUM unit code; examples: um, kV, Cel, mol/L, W/(m.K), and 1 for a pure number",
            field=field,
        )
    try:
        return _parse(code)
    except (ValueError, ArithmeticError) as error:  # ArithmeticError: (Ym)120 is beyond a double
        meant = _USUAL_SLIPS.get(code) or _USUAL_SLIPS.get(code.strip())
        hint = (
            f"; UCUM writes it {meant!r}"
            if meant
            else "; examples: um, kV, Cel, mol/L, W/(m.K), and 1 for a pure number"
        )
        raise InvalidValueError(f"{code!r} is not a UCUM unit code: {error}{hint}", field=field) from error


def convert(value: float, source: str, target: str) -> float:
    """Convert a value between two units of one dimension.

    Parameters
    ----------
    value : float
        Number in ``source``.
    source, target : str
        UCUM codes.  ``Cel`` converts by its zero of 273.15 K; ``[pH]`` converts to nothing but itself.

    Returns
    -------
    float
        The number in ``target``.

    Raises
    ------
    InvalidValueError
        Unknown code, or the dimensions differ.
    """
    one, other = parse_unit(source), parse_unit(target)
    if one.code == other.code:
        return value
    if one.dimension != other.dimension or "[pH]" in (one.special, other.special):
        raise InvalidValueError(
            f"{source!r} cannot be converted to {target!r}: they measure different things", field="unit"
        )
    base = (value + 273.15 if one.special == "Cel" else value) * one.factor
    return (base - 273.15 if other.special == "Cel" else base) / other.factor


def length_um(value: float, unit: str, *, field: str = "unit") -> float:
    """Return a length in micrometres.

    Raises
    ------
    InvalidValueError
        The unit is unknown or no length.
    """
    parsed = parse_unit(unit, field=field)
    metre = _METRIC["m"][1]
    if parsed.dimension != metre:
        raise InvalidValueError(f"{unit!r} is no unit of length; use um, nm, mm, cm or m", field=field)
    return value * (parsed.factor / 1e-6)


def check_quantity_unit(quantity: str, code: object, *, field: str = "unit") -> Unit:
    """Parse the unit of a named quantity and check that it measures that quantity, where the name is a known one.

    Parameters
    ----------
    quantity : str
        E.g. ``thermal_conductivity``; names that are not in the table take any unit.
    code : object
        UCUM code.
    field : str
        Name of the request field, for the refusal.

    Raises
    ------
    InvalidValueError
        Unknown code, or the dimension is not that of the quantity.
    """
    unit = parse_unit(code, field=field)
    expected = _QUANTITY_UNITS.get(quantity)
    if expected is None or (parse_unit(expected).dimension == unit.dimension and unit.special != "[pH]"):
        return unit
    raise InvalidValueError(
        f"{quantity} cannot have the unit {unit.code!r}; a unit like {expected!r} would fit", field=field
    )


def known_quantities() -> Mapping[str, str]:
    """Return the quantities whose dimension is known, each with a unit that fits."""
    return MappingProxyType(_QUANTITY_UNITS)
