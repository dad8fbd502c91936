"""Kubernetes quantities: ``100m``, ``64Mi``, ``2``, ``1e3``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i|)")
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_DECIMAL = ("E", "P", "T", "G", "M", "k")


@lru_cache(maxsize=4096)
def parse(text: str | float | None) -> Decimal:
    """The value in base units (cores, bytes, pieces); 0 for None. Raises ValueError on anything else."""
    if text is None:
        return Decimal(0)
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity such as 100m, 64Mi or 2")
    return Decimal(found[1]) * _SUFFIXES[found[2]]


def format_cpu(cores: Decimal) -> str:
    millis = cores * 1000
    if millis == millis.to_integral_value():
        value = int(millis)
        return str(value // 1000) if value % 1000 == 0 else f"{value}m"
    return f"{int((cores * 10**9).to_integral_value())}n"


def format_bytes(value: Decimal) -> str:
    size = int(value)
    for suffix in _BINARY:
        factor = int(_SUFFIXES[suffix])
        if size and size % factor == 0:
            return f"{size // factor}{suffix}"
    for suffix in _DECIMAL:
        factor = int(_SUFFIXES[suffix])
        if size and size % factor == 0 and size // factor >= 1:
            return f"{size // factor}{suffix}"
    return str(size)


def format_for(resource: str, value: Decimal) -> str:
    """The canonical text of ``value`` for a resource name such as ``requests.cpu`` or ``memory``."""
    last = resource.rsplit(".", 1)[-1]
    if last == "cpu":
        return format_cpu(value)
    if last in ("memory", "storage", "ephemeral-storage"):
        return format_bytes(value)
    return str(int(value))


def add_all(values: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total += value
    return total
