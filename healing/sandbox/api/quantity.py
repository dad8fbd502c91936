"""Kubernetes quantities: ``100m``, ``1.5Gi``, ``2e3``."""

from __future__ import annotations

import functools
import re
from fractions import Fraction

_PATTERN = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|))")
_BINARY: dict[str, int] = {unit: 1024 ** (index + 1) for index, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_BY_POWER = {power: unit for unit, power in _DECIMAL.items()}

INVALID = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@functools.lru_cache(maxsize=8192)
def parse_quantity(text: str) -> Fraction:
    """The exact value; ValueError with the API's words if it is no quantity."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(INVALID)
    number, exponent, unit = match.groups()
    value: Fraction = Fraction(number if not number.endswith(".") else number + "0")
    if exponent:
        return value * _power_of_ten(int(exponent[1:]))
    if unit in _BINARY:
        return value * _BINARY[unit]
    return value * _power_of_ten(_DECIMAL[unit or ""])


def _power_of_ten(exponent: int) -> Fraction:
    power = int(10 ** abs(exponent))
    return Fraction(power) if exponent >= 0 else Fraction(1, power)


@functools.lru_cache(maxsize=8192)
def canonical_quantity(text: str) -> str:
    """The one way the API writes this value: ``0.5`` is ``500m``, ``1024Mi`` is ``1Gi``."""
    value = parse_quantity(text)
    match = _PATTERN.fullmatch(text)
    unit = match.group(3) if match else ""
    if match and match.group(2):
        # Decimal exponents stay as they are written.
        return text
    return format_quantity(value, binary=unit in _BINARY)


def format_quantity(value: Fraction, *, binary: bool = False) -> str:
    """``value`` with the largest unit that leaves a whole number."""
    if value == 0:
        return "0"
    if binary and value.denominator == 1:
        number, suffix = int(value), ""
        for unit in ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"):
            if number % 1024:
                break
            number //= 1024
            suffix = unit
        if suffix or abs(number) < 1024:
            return f"{number}{suffix}"
    for power in (18, 15, 12, 9, 6, 3, 0, -3, -6, -9):
        scaled = value / _power_of_ten(power)
        if scaled.denominator == 1:
            return f"{int(scaled)}{_DECIMAL_BY_POWER[power]}"
    # Finer than a nano: rounded up, as the API does.
    nanos = value * 10**9
    return f"{-(-nanos.numerator // nanos.denominator)}n"


def is_binary(text: str) -> bool:
    """Was this written with Ki, Mi, ...?"""
    return text.endswith("i")
