"""Kubernetes quantities: ``500m``, ``1.5``, ``256Mi``, ``1e3``."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$")


def parse(text: str | float) -> Decimal:
    """The value in base units (cores, bytes). Raises `ValueError`."""
    match = _QUANTITY.match(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity such as 500m or 256Mi.")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def same(one: object, other: object) -> bool:
    """Whether two texts are one quantity: API servers write ``2`` where ``2000m`` was sent, and ``1Gi`` for
    ``1024Mi``."""
    try:
        return parse(str(one)) == parse(str(other))
    except ValueError:
        return False


def memory(value_bytes: Decimal) -> str:
    """Bytes as whole Mi, rounded up; whole Gi as such."""
    mebibytes = int((value_bytes / _SUFFIXES["Mi"]).to_integral_value(ROUND_CEILING))
    return f"{mebibytes // 1024}Gi" if mebibytes and mebibytes % 1024 == 0 else f"{mebibytes}Mi"


def cpu(value_cores: Decimal) -> str:
    """Cores as millicores, rounded up; whole cores as such."""
    millicores = int((value_cores * 1000).to_integral_value(ROUND_CEILING))
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def of_resource(resource: str, value: Decimal) -> str:
    """Written as people write that resource."""
    return cpu(value) if resource == "cpu" else memory(value)
