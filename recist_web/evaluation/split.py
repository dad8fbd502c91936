"""Which half of the scenarios rules may be tuned on (`dev`), and which is only ever looked at in sums (`sealed`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Split = Literal["dev", "sealed"]
SPLITS: tuple[Split, ...] = ("dev", "sealed")
#: Fixed, so that what is sealed stays sealed.
DEFAULT_SEED = 20260101
_OPENED = Path(__file__).with_name("opened.txt")


def opened() -> frozenset[str]:
    """Names of bundled scenarios that rules have been tuned on."""
    lines = _OPENED.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def assign(
    strata: Mapping[str, str], seed: int = DEFAULT_SEED, opened_names: frozenset[str] | None = None
) -> dict[str, Split]:
    """Scenario name -> side, from scenario name -> stratum.

    What has been opened is dev. The others of a stratum are put in the order of a hash of seed and name; they are
    sealed until both sides are alike, then dealt out alternately, beginning with the stratum's hash. The same names
    with the same strata and seed always fall the same way; a scenario that is added moves others of its own stratum
    only, and never one that has been opened.
    """
    known = opened() if opened_names is None else opened_names
    sides: dict[str, Split] = {}
    for stratum in sorted(set(strata.values())):
        members = sorted((n for n, s in strata.items() if s == stratum), key=lambda name: _hash(seed, name))
        dev = [name for name in members if name in known]
        others = [name for name in members if name not in known]
        first = _hash(seed, f"stratum {stratum}") % 2
        sides |= dict.fromkeys(dev, "dev")
        for number, name in enumerate(others):
            sides[name] = "sealed" if number < len(dev) else SPLITS[(first + number - len(dev)) % 2]
    return sides


def _hash(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big")
